import type { Progress } from "./progress.ts";

/** A backlog that is read in a moment is not worth the effort. */
export const LONG_BACKLOG = 4 * 1024 * 1024;
/** More different users than this are not kept in mind: then nobody overtakes. */
const MAX_USERS = 500_000;
const NEWLINE = 0x0a;
const USER_FIELD = Buffer.from('"user":"');
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
  readonly #users = new Set<string>();

  /** @param segments those with something to read, oldest first: the backlog is all of it at this moment */
  constructor(segments: readonly Progress[]) {
    for (const progress of segments) progress.aheadAt = progress.segment.size;
    this.#unsearched = segments.map((progress) => ({ progress, from: progress.readAt, to: progress.segment.size }));
  }

  /** Whether the users of the backlog are known. */
  get ready(): boolean {
    return this.#unsearched.length === 0 && this.#users.size < MAX_USERS;
  }

  /** Whether there is more to search. */
  get searching(): boolean {
    return this.#unsearched.length > 0;
  }

  /** Whether a record of this user may go before the backlog. */
  mayOvertake(user: string): boolean {
    return !this.#users.has(user);
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
    const last = piece.from + length >= piece.to || length === 0;
    if (!last) {
      piece.from += end > 0 ? end : length;
      return;
    }
    piece.progress.aheadAt = piece.from + (end > 0 ? end : 0);
    this.#unsearched.shift();
  }

  /** Whatever looks like the field is taken: a name too many costs nobody his place. */
  #searchBytes(bytes: Buffer): void {
    for (let at = bytes.indexOf(USER_FIELD); at !== -1; at = bytes.indexOf(USER_FIELD, at)) {
      at += USER_FIELD.length;
      const end = bytes.indexOf(QUOTE, at);
      if (end === -1 || this.#users.size >= MAX_USERS) return;
      this.#users.add(bytes.toString("utf8", at, end));
      if (bytes.subarray(at, end).includes(BACKSLASH)) this.#addEscaped(bytes, at);
      at = end;
    }
  }

  /** A name with a character that JSON escapes ends at the first quote that is not escaped. */
  #addEscaped(bytes: Buffer, from: number): void {
    let end = from;
    while (end < bytes.length && bytes[end] !== QUOTE) end += bytes[end] === BACKSLASH ? 2 : 1;
    try {
      this.#users.add(JSON.parse(`"${bytes.toString("utf8", from, end)}"`) as string);
    } catch {
      // Then it is no record either.
    }
  }
}
