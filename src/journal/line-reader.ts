import type { OcnotifyError } from "../errors.ts";
import { parseRecord, type MailboxEvent } from "../events/event.ts";
import type { RecordScanner } from "../events/record-scanner.ts";

/** The longest line that is a record, in bytes; a longer one is skipped to its end. */
export const MAX_LINE = 64 * 1024;
const NEWLINE = 0x0a;
const BRACE = 0x7b;
/** How a record begins. A torn record has no newline, so the next one follows it on the same line. */
const RECORD_START = Buffer.from('{"v":');

/** Why a line is no record. */
export interface LineFault {
  readonly reason: string;
  /** That of `parseRecord`; undefined for what does not even look like a record. */
  readonly code?: string;
}

export const TOO_LONG: LineFault = { reason: `a line of more than ${MAX_LINE} bytes` };
const NO_BRACE: LineFault = { reason: "it does not begin with {" };

/**
 * Splits the bytes of a chunk into lines and says what each is. Positions are bytes from the chunk's beginning. It reads
 * no file and keeps nothing of one chunk for the next, but for what `begin` is given.
 */
export class LineReader {
  readonly #chunk: Buffer;
  readonly #scanner: RecordScanner | undefined;
  #length = 0;
  /** Where the next line begins. */
  at = 0;
  /** Whether that is the rest of a line that is longer than a record may be. */
  skipping = false;
  /** The line that `next` has read: where it begins, and where the one after it does. */
  from = 0;
  to = 0;
  /** Its record, and where that begins: after `from` when something torn stands before it on the line. */
  event: MailboxEvent | undefined;
  recordAt = 0;
  /** Why the whole line is no record. There may be one at its end. */
  fault: LineFault | undefined;

  /**
   * @param chunk what is read, filled anew before each `begin`
   * @param scanner reads most records faster, without the fields that no destination needs
   */
  constructor(chunk: Buffer, scanner?: RecordScanner) {
    this.#chunk = chunk;
    this.#scanner = scanner;
  }

  /** The chunk holds `length` bytes now. @param skipping whether they go on with a line that is too long */
  begin(length: number, skipping = false): void {
    this.#length = length;
    this.at = 0;
    this.skipping = skipping;
  }

  /** Bytes from the next line's beginning to the chunk's end. */
  get rest(): number {
    return this.#length - this.at;
  }

  /** Reads one line. @returns false when there is no whole one any more */
  next(): boolean {
    const from = this.at;
    if (from >= this.#length) return false;
    let event: MailboxEvent | undefined;
    let end = -1;
    if (this.#scanner !== undefined && !this.skipping) {
      event = this.#scanner.scan(this.#chunk, from, Math.min(this.#length, from + MAX_LINE + 1));
      if (event !== undefined) end = this.#scanner.end - 1;
    }
    if (event === undefined) end = this.#chunk.indexOf(NEWLINE, from);
    if (end === -1 || end >= this.#length) return false;
    this.from = from;
    this.to = end + 1;
    this.event = event;
    this.recordAt = from;
    this.fault = undefined;
    if (event === undefined && end > from) this.#readLine(this.#chunk.subarray(from, end));
    this.skipping = false;
    this.at = end + 1;
    return true;
  }

  /** What is left is of one line, which is too long: it goes on at its last 64 KiB, since it may end with a record. */
  skip(): void {
    this.skipping = true;
    this.at = this.#length - MAX_LINE;
  }

  #readLine(line: Buffer): void {
    const { skipping } = this;
    if (!skipping) {
      this.event = this.#parse(line);
      if (this.event !== undefined) return;
    }
    const { fault } = this;
    const start = line.lastIndexOf(RECORD_START);
    if (start > 0 || (start === 0 && skipping)) {
      this.event = this.#parse(line.subarray(start));
      if (this.event !== undefined) this.recordAt += start;
    }
    this.fault = fault;
  }

  #parse(line: Buffer): MailboxEvent | undefined {
    if (line.length > MAX_LINE) {
      this.fault = TOO_LONG;
      return undefined;
    }
    if (line[0] !== BRACE) {
      this.fault = NO_BRACE;
      return undefined;
    }
    try {
      return parseRecord(line.toString());
    } catch (error) {
      const { code, message } = error as OcnotifyError;
      this.fault = { code, reason: message };
      return undefined;
    }
  }
}
