import type { Segment } from "./segment.ts";
import type { Stretch } from "./stretch.ts";

/** How far a tail has read one segment, and what of that has not been answered. */
export class Progress {
  readonly segment: Segment;
  readAt: number;
  /** Within a line that is longer than a record may be. */
  skipping = false;
  /** The size at which the last line had no end yet: nothing to read before it grows. */
  stuckAt = -1;
  /** The size at which the last line was read and had no end. */
  tornAt = -1;
  /** Somebody has cut it off: offsets that were read come again. */
  shrunk = false;
  /** Its owner spoke for somebody else: left alone from there on, to be read when the configuration allows it. */
  distrusted = false;
  queued = false;
  malformed = 0;
  /** Records that were read, ahead or in their turn, and are not answered. */
  open = 0;
  /** What was read in its turn and is not answered. Insertion order is journal order, so the first one is the cursor. */
  readonly unanswered = new Set<Stretch>();
  /** Up to where it has been read ahead of its turn; see `Overtaking`. */
  aheadAt = 0;
  /** By the offset of each record that was read ahead and must not be read again. */
  readonly ahead = new Map<number, Stretch>();

  constructor(segment: Segment, readAt: number) {
    this.segment = segment;
    this.readAt = readAt;
  }

  get unread(): boolean {
    const { size, gone } = this.segment;
    return !gone && !this.distrusted && size > this.readAt && size !== this.stuckAt;
  }

  /** What is read ahead is behind `readAt`, so the cursor stays before it. */
  get cursor(): number {
    if (this.shrunk) {
      // What is first has not the least offset any more.
      let least = this.readAt;
      for (const { from } of this.unanswered) least = Math.min(least, from);
      return least;
    }
    const first = this.unanswered.values().next();
    return first.done === true ? this.readAt : first.value.from;
  }

  /** Whether there is nothing to read ahead, at the moment. */
  get isReadAhead(): boolean {
    return this.segment.gone || this.segment.size <= Math.max(this.aheadAt, this.readAt);
  }

  /** Whether nothing in it waits for anybody. Its end may be torn, which nobody will ever complete. */
  get past(): boolean {
    if (this.open > 0 || this.distrusted) return false;
    return this.readAt >= this.segment.size || this.tornAt === this.segment.size;
  }

  /** @returns whether that was the record's last answer */
  answer(stretch: Stretch, index: number): boolean {
    if (!stretch.answer(index)) return false;
    this.open--;
    if (stretch.answered) this.unanswered.delete(stretch);
    return true;
  }

  /** Whether the record at an offset was read ahead of its turn. */
  isAhead(offset: number): boolean {
    return this.ahead.size > 0 && this.ahead.has(offset);
  }

  /** The reader has gone past a record that was read ahead. */
  passAhead(offset: number): void {
    const stretch = this.ahead.get(offset);
    this.ahead.delete(offset);
    if (stretch?.answered === false) this.unanswered.add(stretch);
  }

  /** The bytes behind what was read are not those that were read ahead any more. */
  forgetAhead(): void {
    for (const stretch of this.ahead.values()) if (!stretch.answered) this.unanswered.add(stretch);
    this.ahead.clear();
    this.aheadAt = 0;
  }
}
