import type { EventRecord } from "../event.ts";
import type { Segment } from "./segment.ts";

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
  /** Its owner spoke for somebody else: left alone from there on, to be read when the configuration allows it. */
  distrusted = false;
  queued = false;
  malformed = 0;
  /** Insertion order is journal order, so the first one is the cursor. */
  readonly unanswered = new Set<EventRecord>();
  /** Up to where it has been read ahead of its turn; see `Overtaking`. */
  aheadAt = 0;
  /** By offset, what was read ahead and must not be read again: the record, or undefined once it is answered. */
  readonly ahead = new Map<number, EventRecord | undefined>();

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
    const first = this.unanswered.values().next();
    return first.done === true ? this.readAt : first.value.offset;
  }

  /** Whether nothing in it waits for anybody. Its end may be torn, which nobody will ever complete. */
  get past(): boolean {
    if (this.unanswered.size > 0 || this.distrusted) return false;
    return this.readAt >= this.segment.size || this.tornAt === this.segment.size;
  }

  /** @returns whether the record was waiting for its answer */
  answered(record: EventRecord): boolean {
    if (this.unanswered.delete(record)) return true;
    if (this.ahead.get(record.offset) !== record) return false;
    this.ahead.set(record.offset, undefined);
    return true;
  }

  /** The reader has come to an offset. @returns whether its record was read ahead already */
  passAhead(offset: number): boolean {
    if (this.ahead.size === 0 || !this.ahead.has(offset)) return false;
    const record = this.ahead.get(offset);
    this.ahead.delete(offset);
    if (record !== undefined) this.unanswered.add(record);
    return true;
  }

  /** The bytes behind what was read are not those that were read ahead any more. */
  forgetAhead(): void {
    for (const record of this.ahead.values()) if (record !== undefined) this.unanswered.add(record);
    this.ahead.clear();
    this.aheadAt = 0;
  }

  /** Records of it that wait for their answer. */
  get open(): number {
    let open = this.unanswered.size;
    for (const record of this.ahead.values()) if (record !== undefined) open++;
    return open;
  }
}
