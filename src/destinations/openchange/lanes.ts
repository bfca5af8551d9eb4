import type { Writer } from "../../delivery/destination.ts";
import { Lane } from "../../delivery/lane.ts";
import type { Notification } from "./codec/extended.ts";
import type { Job, Route } from "./route.ts";

/** A job whose notifications are being made. */
export interface Current {
  readonly job: Job;
  readonly rest: Iterator<Notification, void>;
  /** Made, but did not fit into the last chunk. */
  next: Notification | undefined;
}

/** What waits for a host in order: that of one writer who is not trusted, or of all who are. */
export class WriterLane extends Lane<Job> {
  /** The job that is begun. It is not among those that wait in the lane. */
  current: Current | undefined;

  get empty(): boolean {
    return this.current === undefined && this.length === 0;
  }
}

/**
 * What waits for a host: in order for each writer who is not trusted, and for all others together. They take turns, so
 * that a record of a million messages holds up its own writer's only.
 */
export class Lanes {
  readonly #trusted = new WriterLane();
  readonly #onlyTrusted = [this.#trusted];
  /** The one whose turn it is comes first. Made when it is needed: most hosts need none. */
  #others: Map<Writer, WriterLane> | undefined;
  #othersTurn = false;
  /** Jobs whose events cannot be read for now, and later ones of the same users. */
  #aside: Job[] = [];
  readonly #asideRoutes = new Set<Route>();
  #length = 0;

  /** Jobs, those that are begun or set aside included. */
  get length(): number {
    return this.#length;
  }

  /** Whether more than one has something to send. */
  get several(): boolean {
    const others = this.#others?.size ?? 0;
    return others > 1 || (others === 1 && !this.#trusted.empty);
  }

  /** Whose turn it is; undefined when nothing waits. */
  get first(): WriterLane | undefined {
    const other = this.#firstOther();
    return other === undefined || (!this.#othersTurn && !this.#trusted.empty) ? this.#nonEmpty() : other;
  }

  push(job: Job): void {
    this.#laneOf(job).push(job);
    this.#length++;
  }

  /** Takes the next job out of a lane, not the one that is begun. */
  shift(lane: WriterLane): Job | undefined {
    const job = lane.shift();
    if (job !== undefined) this.#length--;
    return job;
  }

  begin(lane: WriterLane, current: Current): void {
    lane.current = current;
    this.#length++;
  }

  /** This job, which was shifted, lets others go first until `takeBackAside`; later ones of its user are to follow it. */
  setAside(job: Job): void {
    this.#aside.push(job);
    this.#asideRoutes.add(job.route);
    this.#length++;
  }

  /** Whether an earlier job of the same user is set aside. */
  isAside({ route }: Job): boolean {
    return this.#asideRoutes.size > 0 && this.#asideRoutes.has(route);
  }

  /** Puts what was set aside before the others again. */
  takeBackAside(): void {
    if (this.#aside.length === 0) return;
    const jobs = this.#aside;
    this.#aside = [];
    this.#asideRoutes.clear();
    this.#length -= jobs.length;
    this.putBack(jobs);
  }

  /** The job that is begun is done. */
  end(lane: WriterLane): void {
    if (lane.current === undefined) return;
    lane.current = undefined;
    this.#length--;
  }

  /** This lane, the first one, has had its turn. Every other turn is that of those who are trusted. */
  turn(lane: WriterLane): void {
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
    const byLane = new Map<WriterLane, Job[]>();
    for (const job of jobs) {
      const lane = this.#laneOf(job);
      const its = byLane.get(lane);
      if (its === undefined) byLane.set(lane, [job]);
      else its.push(job);
    }
    for (const [lane, its] of byLane) lane.putBack(its);
    this.#length += jobs.length;
  }

  /** Takes the oldest `count` that are not begun, of the longest lane first. */
  takeOldest(count: number): Job[] {
    this.takeBackAside();
    const taken: Job[] = [];
    for (const lane of this.#all().toSorted((a, b) => b.length - a.length)) {
      for (const job of lane.takeFirst(count - taken.length)) taken.push(job);
    }
    this.#length -= taken.length;
    return taken;
  }

  /** Takes those that are not begun and for which `test` holds. */
  takeIf(test: (job: Job) => boolean): Job[] {
    this.takeBackAside();
    const taken: Job[] = [];
    for (const lane of this.#all()) for (const job of lane.takeIf(test)) taken.push(job);
    this.#length -= taken.length;
    return taken;
  }

  /** Those that are not begun, oldest first of each lane. */
  [Symbol.iterator](): Generator<Job, void> {
    this.takeBackAside();
    return this.#others === undefined ? this.#trusted[Symbol.iterator]() : this.#each();
  }

  *#each(): Generator<Job, void> {
    for (const lane of this.#all()) yield* lane;
  }

  #all(): readonly WriterLane[] {
    return this.#others === undefined ? this.#onlyTrusted : [this.#trusted, ...this.#others.values()];
  }

  #nonEmpty(): WriterLane | undefined {
    return this.#trusted.empty ? undefined : this.#trusted;
  }

  /** Those that have become empty are forgotten on the way. */
  #firstOther(): WriterLane | undefined {
    const others = this.#others;
    if (others === undefined) return undefined;
    for (const [writer, lane] of others) {
      if (!lane.empty) return lane;
      others.delete(writer);
    }
    this.#others = undefined;
    return undefined;
  }

  #laneOf({ record }: Job): WriterLane {
    const { writer } = record.stretch;
    if (writer.trusted) return this.#trusted;
    this.#others ??= new Map();
    let lane = this.#others.get(writer);
    if (lane === undefined) {
      lane = new WriterLane();
      this.#others.set(writer, lane);
    }
    return lane;
  }
}
