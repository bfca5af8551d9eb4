import { Queue } from "../queue.ts";
import type { EventRecord } from "./destination.ts";

/** What waits for one receiver, in order; any of it can be taken back before its turn. */
export class Lane<Job> extends Queue<Job> {
  /** Takes those out for which `test` holds; the others keep their order. */
  takeIf(test: (job: Job) => boolean): Job[] {
    const taken: Job[] = [];
    // Asked at each failure of a receiver, and mostly without a hit: that must not copy all that waits.
    if (!this.some(test)) return taken;
    const kept: Job[] = [];
    for (const job of this) (test(job) ? taken : kept).push(job);
    this.clear();
    this.putBack(kept);
    return taken;
  }
}

/**
 * A test for `takeIf`: whether the job's change happened longer ago than its time to live.
 * @param nowMs milliseconds of the process's clock
 */
export function isExpired(timeToLiveMs: number, nowMs: number): (job: { readonly record: EventRecord }) => boolean {
  const bornBeforeMs = nowMs - timeToLiveMs;
  return ({ record }) => record.stretch.happenedAt < bornBeforeMs;
}
