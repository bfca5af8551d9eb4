import { Queue } from "../../queue.ts";
import type { Writer } from "../../delivery/destination.ts";
import type { Notification } from "./codec/extended.ts";
import type { Job } from "./route.ts";

/** A job whose notifications are being made. */
export interface Current {
  readonly job: Job;
  readonly rest: Iterator<Notification, void>;
  /** Made, but did not fit into the last chunk. */
  next: Notification | undefined;
}

/** What waits in order. */
export class Lane {
  readonly waiting = new Queue<Job>();
  current: Current | undefined;

  get empty(): boolean {
    return this.current === undefined && this.waiting.length === 0;
  }
}

/**
 * What waits for a host: in order for each writer who is not trusted, and for all others together. They take turns, so
 * that a record of a million messages holds up its own writer's only.
 */
export class Lanes {
  readonly #trusted = new Lane();
  readonly #onlyTrusted = [this.#trusted];
  /** The one whose turn it is comes first. Made when it is needed: most hosts need none. */
  #others: Map<Writer, Lane> | undefined;
  #othersTurn = false;
  #length = 0;

  /** Jobs, those that are begun included. */
  get length(): number {
    return this.#length;
  }

  /** Whether more than one has something to send. */
  get several(): boolean {
    const others = this.#others?.size ?? 0;
    return others > 1 || (others === 1 && !this.#trusted.empty);
  }

  /** Whose turn it is; undefined when nothing waits. */
  get first(): Lane | undefined {
    const other = this.#firstOther();
    return other === undefined || (!this.#othersTurn && !this.#trusted.empty) ? this.#nonEmpty() : other;
  }

  push(job: Job): void {
    this.#laneOf(job).waiting.push(job);
    this.#length++;
  }

  /** Takes the next job out of a lane, not the one that is begun. */
  shift(lane: Lane): Job | undefined {
    const job = lane.waiting.shift();
    if (job !== undefined) this.#length--;
    return job;
  }

  begin(lane: Lane, current: Current): void {
    lane.current = current;
    this.#length++;
  }

  /** The job that is begun is done. */
  end(lane: Lane): void {
    if (lane.current === undefined) return;
    lane.current = undefined;
    this.#length--;
  }

  /** This lane, the first one, has had its turn. Every other turn is that of those who are trusted. */
  turn(lane: Lane): void {
    this.#othersTurn = lane === this.#trusted;
    if (this.#othersTurn) return;
    for (const [writer, other] of this.#others ?? []) {
      this.#others?.delete(writer);
      if (!other.empty) this.#others?.set(writer, other);
      break;
    }
  }

  /** The jobs that are begun, which are taken out. */
  takeBegun(): Job[] {
    const begun: Job[] = [];
    for (const lane of this.#all()) {
      if (lane.current !== undefined) begun.push(lane.current.job);
      this.end(lane);
    }
    return begun;
  }

  /** Puts jobs before those that wait, in their order. */
  putBack(jobs: readonly Job[]): void {
    const byLane = new Map<Lane, Job[]>();
    for (const job of jobs) {
      const lane = this.#laneOf(job);
      const its = byLane.get(lane);
      if (its === undefined) byLane.set(lane, [job]);
      else its.push(job);
    }
    for (const [{ waiting }, its] of byLane) waiting.putBack(its);
    this.#length += jobs.length;
  }

  /** Takes the oldest `count` that are not begun, of the longest lane first. */
  takeOldest(count: number): Job[] {
    const taken: Job[] = [];
    for (const lane of this.#all().toSorted((a, b) => b.waiting.length - a.waiting.length)) {
      while (taken.length < count) {
        const job = this.shift(lane);
        if (job === undefined) break;
        taken.push(job);
      }
    }
    return taken;
  }

  /** Takes those that are not begun and for which `test` holds. */
  takeIf(test: (job: Job) => boolean): Job[] {
    const taken: Job[] = [];
    for (const { waiting } of this.#all()) {
      const before = taken.length;
      // Asked at each failure of each host, and mostly for nothing: that must not make an array of all that waits.
      for (const job of waiting) if (test(job)) taken.push(job);
      if (taken.length === before) continue;
      const kept = [...waiting].filter((job) => !test(job));
      waiting.clear();
      waiting.putBack(kept);
    }
    this.#length -= taken.length;
    return taken;
  }

  /** Those that are not begun, oldest first of each lane. */
  [Symbol.iterator](): Generator<Job, void> {
    return this.#others === undefined ? this.#trusted.waiting[Symbol.iterator]() : this.#each();
  }

  *#each(): Generator<Job, void> {
    for (const { waiting } of this.#all()) yield* waiting;
  }

  #all(): readonly Lane[] {
    return this.#others === undefined ? this.#onlyTrusted : [this.#trusted, ...this.#others.values()];
  }

  #nonEmpty(): Lane | undefined {
    return this.#trusted.empty ? undefined : this.#trusted;
  }

  /** Those that have become empty are forgotten on the way. */
  #firstOther(): Lane | undefined {
    const others = this.#others;
    if (others === undefined) return undefined;
    for (const [writer, lane] of others) {
      if (!lane.empty) return lane;
      others.delete(writer);
    }
    this.#others = undefined;
    return undefined;
  }

  #laneOf({ record }: Job): Lane {
    const { writer } = record.stretch;
    if (writer.trusted) return this.#trusted;
    this.#others ??= new Map();
    let lane = this.#others.get(writer);
    if (lane === undefined) {
      lane = new Lane();
      this.#others.set(writer, lane);
    }
    return lane;
  }
}
