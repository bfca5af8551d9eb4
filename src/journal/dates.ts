import type { Segment } from "./segment.ts";

/** A date that lies further back is taken for one that lies this far back: it is more likely that a clock was wrong. */
const MOST_AGE_MS = 30 * 24 * 60 * 60_000;

/**
 * What the dates of records are by the process's clock, in whole milliseconds. Records are dated by the wall clock, which
 * may be set while they wait. So the age of one is reckoned once, when it is read, and from then on by a clock that nobody
 * sets: 0 for a date in the future, and for one in a segment that this process saw appear, no more than the time since.
 */
export class Dates {
  /** When what was read last had been seen in the journal. */
  seenAt = 0;
  #now = 0;
  #unixMs = 0;
  #mostAge = 0;

  /** A segment is being read up to this offset. */
  read(segment: Segment, end: number): void {
    this.seenAt = segment.growth.seenAt(end);
    this.#now = Math.ceil(performance.now());
    this.#unixMs = Date.now();
    this.#mostAge = Math.min(MOST_AGE_MS, this.#now - segment.foundAt);
  }

  /** @param ts microseconds of unix time */
  happenedAt(ts: number): number {
    return this.#now - Math.max(0, Math.min(this.#mostAge, Math.round(this.#unixMs - ts / 1_000)));
  }
}
