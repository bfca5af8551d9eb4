import type { MessageAppend, MessageNew } from "./event.ts";
import { countUids } from "./sequence-set.ts";
import { TextTable } from "./text-table.ts";

/** The fields of a record that a destination needs; the others are checked and not built. */
type Scanned = Omit<MessageNew | MessageAppend, "messageId" | "session" | "size" | "uidvalidity">;

const NEWLINE = 0x0a;
const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const CLOSING = 0x7d;
const DELETE = 0x7f;
/** The first byte of U+FFFD in UTF-8. */
const PERHAPS_REPLACEMENT = 0xef;
const START = '{"v":1,';
/** Names longer than this are for `parseRecord` to judge. */
const MAX_NAME = 1024;

/** A whole number, and a text, of which only the form matters. */
const UINT = 0;
const TEXT = 1;
/** A text that is kept, or of which only the form matters, and which is mostly the same in the next record. */
const SAME = 2;
/** A text that is kept and is another one in the next record. */
const NAME = 3;

/** Bytes to compare with: four at a time, which is what makes that fast. */
interface Literal {
  readonly bytes: DataView;
  /** At least four. */
  length: number;
}

/** A field that is known. */
interface Field {
  /** Its name as it stands in a record: `"user":`. */
  readonly key: Literal;
  readonly kind: typeof UINT | typeof TEXT | typeof SAME | typeof NAME;
  readonly slot: number;
  /** Whether a record with that text is one for the scanner. */
  readonly takes: (text: string) => boolean;
  /** Of a `SAME` field the last value with its key: `"sep":"/"`. */
  readonly last: Literal;
  /** The field that came after it in the last record. */
  follower: Field | undefined;
}

const [EVENT, USER, MAILBOX, SEP, UIDS, CN, BACKEND, RESOLVER] = [0, 1, 2, 3, 4, 5, 6, 7] as const;
const TS = 8;
const SERVICE = 9;
/** For a field that is not kept. */
const NONE = 10;
const REQUIRED = (1 << EVENT) | (1 << USER) | (1 << MAILBOX) | (1 << SEP) | (1 << TS);

const any = (): boolean => true;
const notEmpty = (text: string): boolean => text !== "";
const withoutDelete = (text: string): boolean => !text.includes("\u007f");

type FieldForm = readonly [name: string, kind: Field["kind"], slot: number, takes: Field["takes"]];

const FIELDS: readonly FieldForm[] = [
  ["ts", UINT, TS, any],
  ["event", SAME, EVENT, (text) => text === "MessageNew" || text === "MessageAppend"],
  ["user", NAME, USER, notEmpty],
  ["mailbox", SAME, MAILBOX, notEmpty],
  ["sep", SAME, SEP, (text) => text.length === 1 && text <= "\u007f"],
  ["uidvalidity", UINT, NONE, any],
  ["uids", NAME, UIDS, (text) => "count" in countUids(text)],
  ["size", UINT, NONE, any],
  ["messageId", TEXT, NONE, any],
  ["service", TEXT, NONE, any],
  ["session", TEXT, NONE, any],
  ["cn", SAME, CN, (text) => text === "username" || text === "email"],
  ["backend", SAME, BACKEND, withoutDelete],
  ["resolver", SAME, RESOLVER, withoutDelete],
];
const KEPT_SERVICE: FieldForm = ["service", SAME, SERVICE, any];

/**
 * Reads the records of new mail, which are nearly all there are, in the form in which the plugin writes them: without
 * white space, without escapes, every field one that is known. What it takes is what `parseRecord` would take, without
 * the fields that no destination needs, in a tenth of the time; what it leaves is for `parseRecord`.
 */
export class RecordScanner {
  readonly #fields: readonly Field[];
  readonly #keepsService: boolean;
  readonly #start: Field = { ...fieldOf(["", TEXT, NONE, any]), key: literal(START) };
  readonly #names = new TextTable();
  /** The last value of each field that is kept. */
  readonly #texts: string[] = FIELDS.map(() => "");
  #line: Buffer = Buffer.alloc(0);
  #view: DataView = new DataView(new ArrayBuffer(0));
  /** Behind the newline of the line that was scanned last. */
  end = 0;

  /** @param keepsService whether events get their `service` too, which few need and each record would pay for */
  constructor(keepsService = false) {
    this.#keepsService = keepsService;
    this.#fields = FIELDS.map((form) => fieldOf(keepsService && form[0] === KEPT_SERVICE[0] ? KEPT_SERVICE : form));
  }

  /**
   * Reads the line that begins at `from` in bytes that end at `limit`; afterwards `end` is after its newline.
   * @returns undefined when the line is not of that form or has no end, which says nothing about it
   */
  scan(line: Buffer, from: number, limit: number): Scanned | undefined {
    if (line !== this.#line) {
      this.#line = line;
      this.#view = new DataView(line.buffer, line.byteOffset, line.length);
    }
    const view = this.#view;
    const { length } = this.#start.key;
    if (from + length >= limit || !isAt(this.#start.key, view, from)) return undefined;
    let present = 0;
    let ts = 0;
    let before = this.#start;
    for (let at = from + length; ;) {
      let end: number;
      const { follower } = before;
      if (follower?.kind === SAME && at + follower.last.length <= limit && isAt(follower.last, view, at)) {
        present |= 1 << follower.slot;
        before = follower;
        end = at + follower.last.length;
      } else {
        const field = this.#fieldAt(view, at, limit, follower);
        if (field === undefined) return undefined;
        before.follower = field;
        before = field;
        at += field.key.length;
        if (field.kind === UINT) {
          end = endOfNumber(line, at, limit);
          if (end === -1) return undefined;
          if (field.slot === TS) ts = numberAt(line, at, end);
        } else {
          if (at >= limit || line[at] !== QUOTE) return undefined;
          end = endOfString(view, line, at + 1, limit);
          if (end === -1 || (field.kind !== TEXT && !this.#keep(field, line, at + 1, end))) return undefined;
          end++;
        }
        present |= 1 << field.slot;
      }
      if (end + 1 >= limit) return undefined;
      if (line[end] === CLOSING && line[end + 1] === NEWLINE) {
        this.end = end + 2;
        break;
      }
      if (line[end] !== COMMA) return undefined;
      at = end + 1;
    }
    return (present & REQUIRED) === REQUIRED ? this.#record(ts, present) : undefined;
  }

  #record(ts: number, present: number): Scanned {
    const texts = this.#texts;
    const uids = present & (1 << UIDS) ? texts[UIDS] : undefined;
    const cn = present & (1 << CN) ? texts[CN] : undefined;
    const backend = present & (1 << BACKEND) ? texts[BACKEND] : undefined;
    const resolver = present & (1 << RESOLVER) ? texts[RESOLVER] : undefined;
    const [event, user, mailbox, sep] = [texts[EVENT], texts[USER], texts[MAILBOX], texts[SEP]];
    // The same shape for every record: that is what makes reading its fields fast.
    if (!this.#keepsService) return { ts, event, user, mailbox, sep, uids, cn, backend, resolver } as Scanned;
    const service = present & (1 << SERVICE) ? texts[SERVICE] : undefined;
    return { ts, event, user, mailbox, sep, uids, cn, backend, resolver, service } as Scanned;
  }

  /** The fields of records come in one order: the one that followed the last time is tried first. */
  #fieldAt(view: DataView, at: number, limit: number, follower: Field | undefined): Field | undefined {
    if (follower !== undefined && at + follower.key.length <= limit && isAt(follower.key, view, at)) return follower;
    return this.#fields.find(({ key }) => at + key.length <= limit && isAt(key, view, at));
  }

  /** @returns false for a text that is for `parseRecord` to judge */
  #keep(field: Field, line: Buffer, from: number, to: number): boolean {
    if (to - from > MAX_NAME) return false;
    if (field.slot === USER) {
      for (let at = from; at < to; at++) if (line[at] === DELETE || line[at] === PERHAPS_REPLACEMENT) return false;
    }
    const text = this.#names.decode(line, from, to);
    if (!field.takes(text)) return false;
    this.#texts[field.slot] = text;
    if (field.kind === SAME) {
      const begin = from - 1 - field.key.length;
      field.last.length = to + 1 - begin;
      for (let at = begin; at <= to; at++) field.last.bytes.setUint8(at - begin, line[at] as number);
    }
    return true;
  }
}

function fieldOf([name, kind, slot, takes]: FieldForm): Field {
  const key = literal(`"${name}":`);
  const bytes = new DataView(new ArrayBuffer(kind === SAME ? key.length + MAX_NAME + 2 : 0));
  // There is no last value yet, and no line has that many bytes.
  return { key, kind, slot, takes, last: { bytes, length: 0x3fff_ffff }, follower: undefined };
}

function literal(text: string): Literal {
  const bytes = Uint8Array.from(Buffer.from(text));
  return { bytes: new DataView(bytes.buffer), length: bytes.length };
}

/** Whether the bytes at `at` are those; there must be as many. */
function isAt({ bytes, length }: Literal, view: DataView, at: number): boolean {
  const last = length - 4;
  for (let part = 0; part < last; part += 4) {
    if (bytes.getInt32(part, true) !== view.getInt32(at + part, true)) return false;
  }
  return bytes.getInt32(last, true) === view.getInt32(at + last, true);
}

/** Where the string ends that begins at `from`; -1 for one with an escape or a control character. */
function endOfString(view: DataView, line: Buffer, from: number, limit: number): number {
  let at = from;
  for (; at + 4 <= limit; at += 4) {
    // Four bytes at a time; the highest bit of some byte becomes set when there is a quote, a backslash or less than 0x20.
    const word = view.getInt32(at, true);
    const quote = word ^ 0x2222_2222;
    const backslash = word ^ 0x5c5c_5c5c;
    const found =
      ((word - 0x2020_2020) & ~word) | ((quote - 0x0101_0101) & ~quote) | ((backslash - 0x0101_0101) & ~backslash);
    if ((found & 0x8080_8080) !== 0) break;
  }
  for (; at < limit; at++) {
    const byte = line[at] as number;
    if (byte === QUOTE) return at;
    if (byte === BACKSLASH || byte < 0x20) return -1;
  }
  return -1;
}

/** Behind the digits at `from`; -1 for what is not a plain whole number that JavaScript can surely hold. */
function endOfNumber(line: Buffer, from: number, limit: number): number {
  let at = from;
  while (at < limit && (line[at] as number) >= 0x30 && (line[at] as number) <= 0x39) at++;
  const digits = at - from;
  return digits === 0 || digits > 16 || (digits === 16 && line[from] === 0x39) || (digits > 1 && line[from] === 0x30)
    ? -1
    : at;
}

function numberAt(line: Buffer, from: number, to: number): number {
  // In two halves, which are small integers.
  const middle = Math.max(from, to - 8);
  return digitsAt(line, from, middle) * 1e8 + digitsAt(line, middle, to);
}

function digitsAt(line: Buffer, from: number, to: number): number {
  let value = 0;
  for (let at = from; at < to; at++) value = (value * 10 + (line[at] as number) - 0x30) | 0;
  return value;
}
