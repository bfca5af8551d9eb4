/** Growth within this time is one step. In milliseconds. */
const STEP_MS = 50;

/**
 * When the bytes of a segment were seen, in two steps: what has been there for a while, and what has come since. Times
 * are milliseconds of the process's clock, which nobody sets: the dates that records bear are those of another clock.
 */
export class Growth {
  /** Up to here it has been there for a while. */
  #settled: number;
  #settledAt: number;
  /** When the last step began, and when it grew last. */
  #stepAt: number;
  #grownAt: number;

  constructor(size: number, now: number) {
    this.#settled = size;
    this.#settledAt = Math.ceil(now);
    this.#stepAt = this.#settledAt;
    this.#grownAt = this.#settledAt;
  }

  /** The size has been seen to be another than `before`. */
  changed(before: number, size: number, now: number): void {
    const at = Math.ceil(now);
    if (at - this.#stepAt > STEP_MS) {
      this.#settled = before;
      this.#settledAt = this.#grownAt;
      this.#stepAt = at;
    }
    this.#settled = Math.min(this.#settled, size);
    this.#grownAt = at;
  }

  /** When the last byte before the offset `end` had been seen, at the latest. */
  seenAt(end: number): number {
    return end <= this.#settled ? this.#settledAt : this.#grownAt;
  }
}
