import { Queue } from "../../queue.ts";
import type { Chunk } from "./chunk.ts";
import type { Job } from "./route.ts";

/**
 * SP has no acknowledgement, and what a killed server had not read from its socket is lost with it. So what was drained is
 * kept this long, and sent again when the connection breaks meanwhile: more than a server needs to read it.
 */
const CONFIRM_MS = 1_000;
/**
 * Pessimistic read speed in bytes per millisecond. After a burst the sockets hold an amount that nobody sees: a drained
 * chunk is kept until a host this slow would have read it, and `CONFIRM_MS` more.
 */
const CERTAIN_PACE = 1_000;
/** The same for a host that was slow: the sockets between were full, and it has yet to read all that. */
const SLOW_CONFIRM_MS = 10_000;
/** Bytes that the sockets between hold at most, or nearly. A host that takes this many more has read what was before. */
const IN_SOCKETS = 8 * 1024 * 1024;
/** A host stands still when it has taken nothing for this long, */
const TAKES_MS = 1_000;
/** or for this long after it was slow: the kernel frees a large buffer in large steps. */
const TAKES_SLOWLY_MS = 5_000;
/** A host that has taken nothing for this long is not waited for any more. */
const MAY_TAKE_MS = 10_000;
/** A host that takes nothing for this long is slow. */
const SLOW_MS = 100;

/**
 * What was handed to one host's kernel, and whether it counts as received. Handles one chunk at a time: `handOver`, then
 * `drained`. All times are milliseconds of the process's clock, those that are given whole ones: unlike fractions, they take
 * no memory of their own.
 */
export class Confirmation {
  readonly #chunks = new Queue<Chunk>();
  #unconfirmed = 0;
  #draining: Chunk | undefined;
  #drainingSinceMs = 0;
  /** When the host took something last. */
  #drainedAtMs = 0;
  /** When the host will have read everything at the certain pace. */
  #readAtMs = 0;
  /** Until when the host may have much to read that was drained long ago. */
  #slowUntilMs = 0;

  /** Jobs that were sent and may yet have to be sent again. */
  get unconfirmed(): number {
    return this.#unconfirmed;
  }

  /** Whether the kernel has yet to take the last chunk. */
  get draining(): boolean {
    return this.#draining !== undefined;
  }

  /** For how long the kernel has not taken the last chunk; 0 when it has. */
  drainingForMs(nowMs: number): number {
    return this.#draining === undefined ? 0 : nowMs - this.#drainingSinceMs;
  }

  /** Whether the kernel has not taken the last chunk for longer than a host that is not slow needs. */
  stalls(nowMs: number): boolean {
    return this.drainingForMs(nowMs) > SLOW_MS;
  }

  /** Whether the host has lately taken something, even slowly. */
  takes(nowMs: number): boolean {
    return nowMs - this.#drainedAtMs < (nowMs < this.#slowUntilMs ? TAKES_SLOWLY_MS : TAKES_MS);
  }

  /** True within 10 s of the host's last progress. Slow and stuck look alike until then. */
  mayTake(nowMs: number): boolean {
    return nowMs - this.#drainedAtMs < MAY_TAKE_MS;
  }

  /** The chunk is given to the kernel, which had taken all before it. */
  handOver(chunk: Chunk, nowMs: number): void {
    this.#draining = chunk;
    this.#drainingSinceMs = nowMs;
    this.#chunks.push(chunk);
    this.#unconfirmed += chunk.length;
  }

  /**
   * The kernel has taken the chunk.
   * @param length bytes of the chunk
   * @param bytesDrained bytes that the kernel has taken on this connection
   */
  drained(length: number, bytesDrained: number, nowMs: number): void {
    const chunk = this.#draining;
    if (chunk === undefined) return;
    this.#draining = undefined;
    this.#drainedAtMs = nowMs;
    this.#readAtMs = Math.max(this.#readAtMs, nowMs) + length / CERTAIN_PACE;
    chunk.drainedAtMs = nowMs;
    chunk.drainedBytes = bytesDrained;
    chunk.readAtMs = Math.ceil(this.#readAtMs);
    if (nowMs - this.#drainingSinceMs > SLOW_MS) this.#slowUntilMs = nowMs + SLOW_CONFIRM_MS;
  }

  /**
   * Takes out what counts as received by now.
   * @param bytesDrained bytes that the kernel has taken on this connection
   */
  takeConfirmed(bytesDrained: number, nowMs: number): Chunk[] {
    let count = 0;
    for (const chunk of this.#chunks) {
      if (chunk.drainedAtMs === 0 || nowMs - chunk.drainedAtMs < CONFIRM_MS) break;
      if (this.#mayBeUnread(chunk, nowMs) && bytesDrained - chunk.drainedBytes < IN_SOCKETS) break;
      count++;
    }
    return this.#take(count);
  }

  /** Takes the oldest out before their time, until no more than `most` jobs are unconfirmed. */
  takeEarly(most: number): Chunk[] {
    let left = this.#unconfirmed;
    let count = 0;
    for (const chunk of this.#chunks) {
      if (left <= most || chunk.drainedAtMs === 0) break;
      left -= chunk.length;
      count++;
    }
    return this.#take(count);
  }

  /** The connection broke. @returns the jobs that have to be sent again, in order */
  lost(): Job[] {
    const jobs: Job[] = [];
    for (const chunk of this.#take(Infinity)) for (const job of chunk.jobs()) jobs.push(job);
    this.#draining = undefined;
    this.#readAtMs = 0;
    return jobs;
  }

  #mayBeUnread(chunk: Chunk, nowMs: number): boolean {
    // While the host takes nothing, what it took last may still lie unread.
    if (this.stalls(nowMs) || nowMs - chunk.readAtMs < CONFIRM_MS) return true;
    return nowMs < this.#slowUntilMs && nowMs - chunk.drainedAtMs < SLOW_CONFIRM_MS;
  }

  #take(count: number): Chunk[] {
    const chunks = this.#chunks.takeFirst(count);
    for (const chunk of chunks) this.#unconfirmed -= chunk.length;
    return chunks;
  }
}
