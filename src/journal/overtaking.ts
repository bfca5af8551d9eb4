import type { Progress } from "./progress.ts";

/** A backlog that is read in a moment is not worth the effort. */
export const LONG_BACKLOG = 4 * 1024 * 1024;
/** A power of two. Beside a hundred thousand users of the backlog, one in eighty of the others waits without need. */
const BITS = 2 ** 23;
/** What comes now is written to the newest segment, or for a moment to the one before, as long as nobody sets the clock. */
const NEWEST = 2;
/** From a record's beginning to the name of its user, at most. */
const MAX_DISTANCE = 256;
const NEWLINE = 0x0a;
const USER_FIELD = Buffer.from('"user":"');
const BRACE = 0x7b;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * Lets new records go before a long backlog of the same uid, where the order of a user's changes allows it: for users
 * of whom the backlog has nothing. For that the backlog is first searched for the names of its users, many times
 * faster than it can be worked off.
 */
export class Overtaking {
  /** What of the backlog has yet to be searched: from where to where. */
  readonly #unsearched: { progress: Progress; from: number; to: number }[];
  /** Their names' hashes, one bit each: who shares one with somebody waits as well, which does no harm. */
  readonly #users = new Uint8Array(BITS / 8);
  /** What is read ahead, oldest first: nothing of one before all of those that are older. */
  readonly #front: Progress[];
  /** From the beginning of the last record to its field. */
  #distance = 0;
  /** Part of the backlog could not be read: it may be of anybody. */
  #isUnknown = false;

  /** @param segments those with something to read, oldest first: the backlog is all of it at this moment */
  constructor(segments: readonly Progress[]) {
    this.#front = segments.slice(-NEWEST);
    for (const progress of segments) progress.aheadAt = progress.segment.size;
    this.#unsearched = segments.map((progress) => ({ progress, from: progress.readAt, to: progress.segment.size }));
  }

  /** Whether there is more to search. Until then, nobody may overtake. */
  get searching(): boolean {
    return this.#unsearched.length > 0;
  }

  /** Whether a record of this user may go before the backlog. */
  mayOvertake(user: string): boolean {
    if (this.#isUnknown) return false;
    const bit = bitOf(user);
    return ((this.#users[bit >>> 3] as number) & (1 << (bit & 7))) === 0;
  }

  /** A record of this user was left to its turn, so those that follow it have to wait as well. */
  hold(user: string): void {
    this.#add(bitOf(user));
  }

  /** A segment of the uid is new or has grown: nearly always the newest, another when the clock has been set back. */
  grown(progress: Progress): void {
    const front = this.#front;
    if (front.includes(progress)) return;
    const { bucket } = progress.segment;
    const after = front.findIndex(({ segment }) => segment.bucket > bucket);
    front.splice(after === -1 ? front.length : after, 0, progress);
  }

  /** The segments that are to be read ahead, in this order, each only when the one before has been. */
  front(): readonly Progress[] {
    const front = this.#front;
    while (front.length > NEWEST && front[0]?.isReadAhead === true) front.shift();
    return front;
  }

  /**
   * Searches one more piece of the backlog.
   * @param read fills the buffer from an offset of the segment and returns the number of bytes
   */
  search(buffer: Buffer, read: (progress: Progress, offset: number, length: number) => number): void {
    const piece = this.#unsearched[0];
    if (piece === undefined) return;
    const length = read(piece.progress, piece.from, Math.min(buffer.length, piece.to - piece.from));
    const bytes = buffer.subarray(0, length);
    const end = bytes.lastIndexOf(NEWLINE) + 1;
    // Without a line's end it is garbage, or the beginning of a line that is being written: that one is not backlog.
    this.#searchBytes(end > 0 ? bytes.subarray(0, end) : bytes);
    if (length === 0 && piece.from < piece.to && !piece.progress.segment.gone) this.#isUnknown = true;
    const last = piece.from + length >= piece.to || length === 0;
    if (!last) {
      piece.from += end > 0 ? end : length;
      return;
    }
    piece.progress.aheadAt = piece.from + (end > 0 ? end : 0);
    this.#unsearched.shift();
  }

  /**
   * Whatever looks like the field is taken: a name too many costs nobody his place. Where it stood in the last record it is
   * looked for first, since to search each record to its end takes many times longer; only the plugin's form is a record
   * with one such field.
   */
  #searchBytes(bytes: Buffer): void {
    let from = 0;
    for (let at = bytes.indexOf(BRACE); at !== -1; at = bytes.indexOf(BRACE, at + 1)) {
      const field = at + this.#distance;
      if (!isFieldAt(bytes, field)) continue;
      // What lies before has no field where it was looked for: garbage, another form, or a text with a brace in it.
      if (at > from) this.#searchAll(bytes, from, at);
      this.#take(bytes, field + USER_FIELD.length);
      from = bytes.indexOf(BRACE, at + 1);
      if (from === -1) return;
      at = from - 1;
    }
    this.#searchAll(bytes, from, bytes.length);
  }

  #searchAll(bytes: Buffer, from: number, to: number): void {
    for (let at = bytes.indexOf(USER_FIELD, from); at !== -1 && at < to; at = bytes.indexOf(USER_FIELD, at)) {
      const before = Math.min(at, MAX_DISTANCE);
      const brace = bytes.subarray(at - before, at).lastIndexOf(BRACE);
      if (brace !== -1) this.#distance = before - brace;
      at += USER_FIELD.length;
      this.#take(bytes, at);
    }
  }

  /** Takes the name that begins at `from`. */
  #take(bytes: Buffer, from: number): void {
    let hash = 0;
    for (let at = from; at < bytes.length; at++) {
      const byte = bytes[at] as number;
      if (byte === QUOTE) {
        this.#add(hash & (BITS - 1));
        return;
      }
      if (byte === BACKSLASH || byte > 0x7f) {
        this.#takeDecoded(bytes, from);
        return;
      }
      hash = hashOf(hash, byte);
    }
  }

  /** What is not plain is taken as the reader reads it. With escapes, it ends at the first quote that is not escaped. */
  #takeDecoded(bytes: Buffer, from: number): void {
    let end = from;
    while (end < bytes.length && bytes[end] !== QUOTE) end += bytes[end] === BACKSLASH ? 2 : 1;
    try {
      this.#add(bitOf(JSON.parse(`"${bytes.toString("utf8", from, end)}"`) as string));
    } catch {
      // Then it is no record either.
    }
  }

  #add(bit: number): void {
    this.#users[bit >>> 3] = (this.#users[bit >>> 3] as number) | (1 << (bit & 7));
  }
}

function bitOf(user: string): number {
  let hash = 0;
  for (const byte of Buffer.from(user)) hash = hashOf(hash, byte);
  return hash & (BITS - 1);
}

/** FNV-1a, with its bits mixed so that the lowest of them are as good as the others. */
function hashOf(hash: number, byte: number): number {
  const product = Math.imul(hash ^ byte, 0x0100_0193);
  return product ^ (product >>> 15);
}

function isFieldAt(bytes: Buffer, from: number): boolean {
  for (let at = 0; at < USER_FIELD.length; at++) if (bytes[from + at] !== USER_FIELD[at]) return false;
  return true;
}
