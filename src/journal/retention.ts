import type { Logger } from "../log.ts";
import { Clearing } from "./clearing.ts";
import type { JournalDirectory } from "./directory.ts";
import { isBeingWritten, type Segment } from "./segment.ts";

const SWEEP_MS = 60_000;
/**
 * How long what is done with is kept where the configuration leaves it open. Each cursor names each segment, so with this
 * many of them they go sooner.
 */
const MANY_SEGMENTS = 20_000;
const LONG_MS = 24 * 60 * 60_000;
const SHORT_MS = 60 * 60_000;
/** Segments that are deleted in one sweep: some 100 ms. */
const MAX_DELETED = 2_000;
/** The same while there is more to do than is done at once. */
const MORE_MS = 1_000;

/**
 * Deletes segments that are of no more use: everybody is past their end, and nothing was written to them for as long as the
 * retention, by the process's clock; an empty one after a minute. What the wall clock says, which may be set, decides only
 * which segment is being written to now. A writer may yet open another one when its clock is set; it looks after its write
 * whether the file is still there.
 */
export class Retention {
  readonly #directory: JournalDirectory;
  readonly #retentionMs: number | undefined;
  readonly #isPast: (segment: Segment) => boolean;
  readonly #log: Logger;
  readonly #clearing: Clearing;
  #timer: NodeJS.Timeout | undefined;

  /** @param retentionMs undefined for a day while there are fewer than 20,000 segments, and an hour otherwise */
  constructor(
    directory: JournalDirectory,
    retentionMs: number | undefined,
    isPast: (segment: Segment) => boolean,
    log: Logger,
  ) {
    this.#clearing = new Clearing(directory, log);
    this.#directory = directory;
    this.#retentionMs = retentionMs;
    this.#isPast = isPast;
    this.#log = log;
  }

  start(): void {
    this.#sweepIn(SWEEP_MS);
  }

  /** Files that were deleted because they were no segments, though they had the names of some. */
  get cleared(): number {
    return this.#clearing.cleared;
  }

  /**
   * @param now milliseconds of the process's clock
   * @param unixMs milliseconds of unix time
   * @returns how many were deleted
   */
  sweep(now: number, unixMs: number): number {
    const before = now - (this.#retentionMs ?? (this.#directory.segments.size < MANY_SEGMENTS ? LONG_MS : SHORT_MS));
    // What nobody has written to is kept for nobody.
    const emptyBefore = Math.max(before, now - SWEEP_MS);
    let deleted = 0;
    for (const segment of this.#directory.segments.values()) {
      if (isBeingWritten(segment, unixMs)) continue;
      if (segment.writtenAt > (segment.size === 0 ? emptyBefore : before) || !this.#isPast(segment)) continue;
      if (this.#directory.remove(segment)) deleted++;
      if (deleted >= MAX_DELETED) break;
    }
    if (deleted > 0) this.#log.debug({ deleted }, "old segments of the journal deleted");
    return deleted;
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #sweepIn(ms: number): void {
    this.#timer = setTimeout(() => {
      const more = this.sweep(performance.now(), Date.now()) >= MAX_DELETED;
      this.#sweepIn(this.#clearing.sweep() || more ? MORE_MS : SWEEP_MS);
    }, ms);
    this.#timer.unref();
  }
}
