import { Queue } from "../queue.ts";
import { LongestRanges, type Place, type Range } from "./cursor.ts";
import type { Segment } from "./segment.ts";
import type { Origin, Stretch } from "./stretch.ts";
import type { Writer } from "./writer.ts";

/** Lines that the reader passes by when it comes to them, in bytes from the segment's beginning. */
interface Taken {
  readonly from: number;
  to: number;
  /** Those that were read ahead of their turn. Without any, the cursor said that the records are answered. */
  readonly stretches: Stretch[];
  /** Records that were read ahead. */
  records: number;
}

/** How far a tail has read one segment, and what of that has not been answered. */
export class Progress implements Origin {
  readonly segment: Segment;
  readonly writer: Writer;
  readAt: number;
  /** Within a line that is longer than a record may be. */
  skipping = false;
  /** The size at which the last line had no end yet: nothing to read before it grows. */
  stuckAt = -1;
  /** The size at which the last line was read and had no end. */
  tornAt = -1;
  /** Somebody has cut it off: offsets that were read come again. */
  shrunk = false;
  /** Why it cannot be read for now: the system does not say who its owner is, or it cannot be opened. */
  obstacle: "owner" | "file" | undefined;
  /** Of whom its owner wrote who may not speak for that user: left alone from there on, until he may. */
  left: { readonly user: string; readonly by: string | undefined } | undefined;
  queued = false;
  malformed = 0;
  /** Records that were read, ahead or in their turn, and are not answered. */
  open = 0;
  /** What was read in its turn and is not answered. Insertion order is journal order, so the first one is the cursor. */
  readonly unanswered = new Set<Stretch>();
  /** Up to where it has been read ahead of its turn; see `Overtaking`. */
  aheadAt = 0;
  /** Records that were read ahead and that the reader has not come to. */
  ahead = 0;
  /** Where the next lines are that the reader passes by, in bytes from the segment's beginning. */
  takenAt = Infinity;
  /** In the order of the segment. None overlaps another, and all come after `readAt`. */
  readonly #taken = new Queue<Taken>();
  #lastTaken: Taken | undefined;
  #takenBytes = 0;

  /** @param answered what need not be read, after `readAt` */
  constructor(segment: Segment, writer: Writer, readAt: number, answered: readonly Range[] = []) {
    this.segment = segment;
    this.writer = writer;
    this.readAt = readAt;
    for (const [from, to] of answered) this.#push({ from, to, stretches: [], records: 0 });
  }

  get unread(): boolean {
    const { size, gone } = this.segment;
    return !gone && this.left === undefined && size > this.readAt && size !== this.stuckAt;
  }

  /** Bytes that have yet to be read. */
  get unreadBytes(): number {
    return Math.max(0, this.segment.size - this.readAt - this.#takenBytes);
  }

  /** Bytes of the records that were read and put away, and are not answered. */
  get parkedBytes(): number {
    let bytes = 0;
    for (const stretch of this.unanswered) bytes += stretch.parkedBytes;
    for (const { stretches } of this.#taken) for (const stretch of stretches) bytes += stretch.parkedBytes;
    return bytes;
  }

  /** Where to go on after a restart. */
  get place(): Place {
    const { identity } = this.segment;
    const open: number[] = [];
    for (const stretch of this.unanswered) stretch.addOpenTo(open);
    if (this.shrunk) {
      // Offsets come again: what is first has not the least any more, and what lies between two of them says nothing.
      let least = this.readAt;
      for (let at = 0; at < open.length; at += 2) least = Math.min(least, open[at] as number);
      return { identity, offset: least };
    }
    const answered = new LongestRanges();
    answered.addBetween(open, open[0] ?? this.readAt, this.readAt);
    for (const { from, to, stretches } of this.#taken) {
      const ahead: number[] = [];
      for (const stretch of stretches) stretch.addOpenTo(ahead);
      answered.addBetween(ahead, from, to);
    }
    return { identity, offset: open[0] ?? this.readAt, answered: answered.ranges() };
  }

  /** Whether there is nothing to read ahead, at the moment. */
  get isReadAhead(): boolean {
    return this.segment.size <= this.nextAhead || this.segment.gone;
  }

  /** Where reading ahead goes on. */
  get nextAhead(): number {
    return Math.max(this.aheadAt, this.readAt, this.#lastTaken?.to ?? 0);
  }

  /** Whether nothing in it waits for anybody. Its end may be torn, which nobody will ever complete. */
  get past(): boolean {
    if (this.open > 0 || this.left !== undefined) return false;
    return this.readAt >= this.segment.size || this.tornAt === this.segment.size;
  }

  /** Whether the record that begins there, in bytes from the segment's beginning, was read and has an answer to come. */
  isOpenAt(offset: number): boolean {
    for (const stretch of this.unanswered) if (stretch.isOpenAt(offset)) return true;
    for (const { stretches } of this.#taken) if (stretches.some((stretch) => stretch.isOpenAt(offset))) return true;
    return false;
  }

  /** @returns whether that was the record's last answer */
  answer(stretch: Stretch, index: number): boolean {
    if (!stretch.answer(index)) return false;
    this.open--;
    if (stretch.answered) this.unanswered.delete(stretch);
    return true;
  }

  /** A line was read ahead of its turn, as a record of this stretch. */
  take(from: number, to: number, stretch: Stretch): void {
    let taken = this.#lastTaken;
    if (taken?.to === from) {
      taken.to = to;
      this.#takenBytes += to - from;
    } else {
      taken = { from, to, stretches: [], records: 0 };
      this.#push(taken);
    }
    if (taken.stretches.at(-1) !== stretch) taken.stretches.push(stretch);
    taken.records++;
    this.ahead++;
  }

  /** The reader has come to `takenAt`. @returns where it goes on */
  pass(): number {
    const taken = this.#taken.shift();
    if (taken === undefined) return this.readAt;
    this.#takenBytes -= taken.to - taken.from;
    this.ahead -= taken.records;
    for (const stretch of taken.stretches) if (!stretch.answered) this.unanswered.add(stretch);
    this.takenAt = this.#taken.first?.from ?? Infinity;
    if (this.takenAt === Infinity) this.#lastTaken = undefined;
    return taken.to;
  }

  /** The bytes after what was read are not those that were taken any more. */
  forgetTaken(): void {
    while (this.takenAt !== Infinity) this.pass();
    this.aheadAt = 0;
  }

  #push(taken: Taken): void {
    if (this.takenAt === Infinity) this.takenAt = taken.from;
    this.#taken.push(taken);
    this.#lastTaken = taken;
    this.#takenBytes += taken.to - taken.from;
  }
}
