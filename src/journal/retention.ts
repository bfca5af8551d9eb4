import type { Logger } from "../log.ts";
import type { JournalDirectory } from "./directory.ts";
import { BUCKET_SECONDS, type Segment } from "./segment.ts";

const SWEEP_MS = 60_000;

/**
 * Deletes segments that are of no more use: everybody is past their end, and they are older than the retention, by
 * their bucket and by their last write. A writer whose clock is behind may yet open an old one; it looks after its
 * write whether the file is still there.
 */
export class Retention {
  readonly #directory: JournalDirectory;
  readonly #retentionMs: number;
  readonly #isPast: (segment: Segment) => boolean;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | undefined;

  constructor(directory: JournalDirectory, retentionMs: number, isPast: (segment: Segment) => boolean, log: Logger) {
    this.#directory = directory;
    this.#retentionMs = retentionMs;
    this.#isPast = isPast;
    this.#log = log;
  }

  start(): void {
    this.#timer = setInterval(() => this.sweep(Date.now()), SWEEP_MS);
    this.#timer.unref();
  }

  /** @param now milliseconds of unix time @returns how many were deleted */
  sweep(now: number): number {
    const before = now - this.#retentionMs;
    let deleted = 0;
    for (const segment of this.#directory.segments.values()) {
      const ended = (segment.bucket + 1) * BUCKET_SECONDS * 1_000;
      if (ended > before || segment.modified > before || !this.#isPast(segment)) continue;
      if (this.#directory.remove(segment)) deleted++;
    }
    if (deleted > 0) this.#log.debug({ deleted }, "old segments of the journal deleted");
    return deleted;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
