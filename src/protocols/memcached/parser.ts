import { MemcachedError } from "./errors.ts";
import { MAX_KEY_BYTES } from "./key.ts";

/**
 * One item of a retrieval answer: `VALUE <key> <flags> <bytes> [<cas>]\r\n<data>\r\n`.
 * `value` shares memory with the chunk it came in; copy what must outlive it.
 */
export interface ValueItem {
  key: string;
  flags: number;
  /** The cas unique, 64 bits in decimal; only in the answer to `gets`. */
  cas: string | undefined;
  /** Bytes of the value. */
  size: number;
  /** Undefined for a value over the limit: its bytes were skipped. */
  value: Buffer | undefined;
}

/** A line that ends an answer, without its CR LF. */
export interface ReplyLine {
  type: ReplyType;
  /** What follows the word: the message of an error, the number of a version. */
  text: string;
}

export type ReplyType =
  | "end"
  | "stored"
  | "not-stored"
  | "exists"
  | "not-found"
  | "deleted"
  | "error"
  | "client-error"
  | "server-error"
  | "version"
  | "stat";

export interface ParserHandlers {
  onValue(item: ValueItem): void;
  onReply(reply: ReplyLine): void;
}

/** The longest line an answer may have, in bytes. Memcached's own are far shorter; it bounds what garbage can hold. */
export const MAX_LINE_BYTES = 2048;

/** The longest value taken by default, in bytes (memcached's own default limit is 1 MiB). */
export const DEFAULT_MAX_VALUE_SIZE = 8 * 1024 * 1024;

interface PartialValue {
  item: ValueItem;
  /** Bytes before the body that are passed over: all of a value over the limit, none of any other. */
  skip: number;
  /** With room for the CR LF. */
  body: Buffer;
  filled: number;
}

const EMPTY = Buffer.alloc(0);
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const MAX_FLAGS = 0xffff_ffff;

const LINES: ReadonlyMap<string, ReplyType> = new Map([
  ["END", "end"],
  ["STORED", "stored"],
  ["NOT_STORED", "not-stored"],
  ["EXISTS", "exists"],
  ["NOT_FOUND", "not-found"],
  ["DELETED", "deleted"],
  ["ERROR", "error"],
]);

// "ERROR Too many open connections" is what memcached says before it closes a connection above its limit.
const LINES_WITH_TEXT: ReadonlyMap<string, ReplyType> = new Map([
  ["CLIENT_ERROR", "client-error"],
  ["SERVER_ERROR", "server-error"],
  ["VERSION", "version"],
  ["STAT", "stat"],
  ["ERROR", "error"],
]);

/**
 * Parser of memcached's text protocol (protocol.txt of memcached), answers only. It is fed chunks as they come and does
 * no I/O. It holds at most one line and one value within the limit. A value over the limit is the fault of its key alone:
 * it is passed over, and what follows is read.
 */
export class ResponseParser {
  readonly #handlers: ParserHandlers;
  readonly #maxValueSize: number;
  /** The beginning of a line. */
  #rest: Buffer = EMPTY;
  #partial: PartialValue | undefined;
  #cursor = 0;
  #failure: unknown;

  constructor(handlers: ParserHandlers, options: { maxValueSize?: number } = {}) {
    this.#handlers = handlers;
    this.#maxValueSize = options.maxValueSize ?? DEFAULT_MAX_VALUE_SIZE;
  }

  /** Whether it stands in the middle of a line or a value. */
  get midway(): boolean {
    return this.#rest.length > 0 || this.#partial !== undefined;
  }

  /** Whether it is passing over a value that is over the limit. */
  get skipping(): boolean {
    return this.#partial !== undefined && this.#partial.item.size > this.#maxValueSize;
  }

  /**
   * Takes the next bytes and calls the handlers for what they complete, before it returns.
   *
   * @throws MemcachedError ERR_MEMCACHED_PROTOCOL at the first byte that cannot be right, or what a handler threw; the
   *   place in the stream is lost then, and every later call throws the same.
   */
  feed(chunk: Buffer): void {
    if (this.#failure !== undefined) {
      throw this.#failure;
    }
    try {
      this.#consume(chunk);
    } catch (error) {
      this.#failure = error;
      this.#rest = EMPTY;
      this.#partial = undefined;
      throw error;
    }
  }

  #consume(chunk: Buffer): void {
    let buffer = chunk;
    let at = this.#partial === undefined ? 0 : this.#fill(this.#partial, chunk, 0);
    if (this.#rest.length > 0) {
      buffer = Buffer.concat([this.#rest, chunk]);
      this.#rest = EMPTY;
    }
    while (at < buffer.length) {
      const newline = buffer.indexOf(LF, at);
      if ((newline < 0 ? buffer.length : newline) - at >= MAX_LINE_BYTES) {
        throw garbage(`a line of over ${MAX_LINE_BYTES} bytes`, buffer, at);
      }
      if (newline < 0) {
        this.#rest = Buffer.from(buffer.subarray(at));
        return;
      }
      if (newline === at || buffer[newline - 1] !== CR) {
        throw garbage("a line that does not end in CR LF", buffer, at);
      }
      // 'V', 'A': VERSION is the only other word with a V.
      if (buffer[at] === 0x56 && buffer[at + 1] === 0x41) {
        const item = this.#parseValueLine(buffer, at, newline - 1);
        at = this.#takeValue(item, buffer, newline + 1);
      } else {
        this.#handlers.onReply(parseReplyLine(buffer, at, newline - 1));
        at = newline + 1;
      }
    }
  }

  #parseValueLine(buffer: Buffer, start: number, end: number): ValueItem {
    const keyStart = start + 6;
    const keyEnd = buffer.indexOf(SPACE, keyStart);
    if (
      buffer.toString("latin1", start, Math.min(keyStart, end)) !== "VALUE " ||
      keyEnd <= keyStart ||
      keyEnd >= end ||
      keyEnd - keyStart > MAX_KEY_BYTES
    ) {
      throw garbage("a malformed VALUE line", buffer, start);
    }
    this.#cursor = keyEnd;
    const flags = this.#parseNumber(buffer, end);
    const size = this.#parseNumber(buffer, end);
    if (!(flags <= MAX_FLAGS) || !(size >= 0)) {
      throw garbage("a malformed VALUE line", buffer, start);
    }
    let cas: string | undefined;
    if (this.#cursor !== end) {
      cas = buffer.toString("latin1", this.#cursor + 1, end);
      if (buffer[this.#cursor] !== SPACE || !/^\d{1,20}$/.test(cas)) {
        throw garbage("a malformed VALUE line", buffer, start);
      }
    }
    return { key: buffer.toString("utf8", keyStart, keyEnd), flags, cas, size, value: undefined };
  }

  /** A space and a decimal number of at most 10 digits at the cursor, or NaN. */
  #parseNumber(buffer: Buffer, end: number): number {
    let at = this.#cursor;
    if (buffer[at++] !== SPACE) {
      return Number.NaN;
    }
    const first = at;
    let value = 0;
    for (; at < end; at++) {
      const digit = (buffer[at] ?? 0) - 0x30;
      if (digit < 0 || digit > 9) {
        break;
      }
      value = value * 10 + digit;
    }
    this.#cursor = at;
    return at === first || at - first > 10 ? Number.NaN : value;
  }

  /** Delivers the item, if the chunk has all of its data, or keeps what there is; answers where the rest begins. */
  #takeValue(item: ValueItem, buffer: Buffer, at: number): number {
    const { size } = item;
    if (buffer.length - at < size + 2 || size > this.#maxValueSize) {
      const skip = size > this.#maxValueSize ? size : 0;
      this.#partial = { item, skip, body: Buffer.allocUnsafe(size - skip + 2), filled: 0 };
      return this.#fill(this.#partial, buffer, at);
    }
    this.#deliver(item, buffer, at);
    return at + size + 2;
  }

  #fill(partial: PartialValue, chunk: Buffer, start: number): number {
    const { item, body } = partial;
    const skipped = Math.min(partial.skip, chunk.length - start);
    partial.skip -= skipped;
    const at = start + skipped;
    const copied = chunk.copy(body, partial.filled, at);
    partial.filled += copied;
    if (partial.filled === body.length) {
      this.#partial = undefined;
      this.#deliver(item, body, 0);
    }
    return at + copied;
  }

  #deliver(item: ValueItem, buffer: Buffer, at: number): void {
    const size = item.size > this.#maxValueSize ? 0 : item.size;
    if (buffer[at + size] !== CR || buffer[at + size + 1] !== LF) {
      throw garbage("a value that does not end in CR LF", buffer, at + size);
    }
    if (size === item.size) item.value = buffer.subarray(at, at + size);
    this.#handlers.onValue(item);
  }
}

function parseReplyLine(buffer: Buffer, start: number, end: number): ReplyLine {
  const line = buffer.toString("utf8", start, end);
  const whole = LINES.get(line);
  if (whole !== undefined) {
    return { type: whole, text: "" };
  }
  const space = line.indexOf(" ");
  const type = space < 0 ? undefined : LINES_WITH_TEXT.get(line.slice(0, space));
  if (type === undefined) {
    throw garbage("an unknown line", buffer, start);
  }
  return { type, text: line.slice(space + 1) };
}

function garbage(what: string, buffer: Buffer, at: number): MemcachedError {
  const shown = JSON.stringify(buffer.toString("latin1", at, Math.min(at + 60, buffer.length)));
  return new MemcachedError("ERR_MEMCACHED_PROTOCOL", `memcached answered with ${what}: ${shown}`, { canRetry: true });
}
