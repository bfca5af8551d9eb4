import type { Answers, EventRecord, Outcome } from "../../delivery/destination.ts";
import type { Chunk } from "./chunk.ts";
import type { DetailName, DropReason } from "./counters.ts";
import type { Job } from "./route.ts";

/** What is counted as it happens; the other details are what there is at the moment. */
type Count = Exclude<DetailName, "lookingUp" | "hosts" | "connected">;

/** Brings what becomes of each notification into the counts and to the record's answers: each is settled exactly once. */
export class Ledger {
  readonly counts: Record<Count, number> = { sent: 0, resent: 0, lookupFailures: 0, lookupsAgain: 0, hostFailures: 0 };
  readonly #dropped: Partial<Record<DropReason, number>> = {};
  readonly #answers: Answers;
  #unsettled = 0;

  constructor(answers: Answers) {
    this.#answers = answers;
  }

  /** Notifications that were given up, by reason. */
  get dropped(): Readonly<Record<string, number>> {
    return { ...this.#dropped };
  }

  /** Notifications that wait for a host or may yet have to be sent again. */
  get unsettled(): number {
    return this.#unsettled;
  }

  /** The job goes to this many hosts, and is to be settled as often. */
  expect(job: Job, hosts: number): void {
    const { stretch, index } = job.record;
    if (hosts > 1) this.#answers.split(stretch, index, hosts);
    job.unencoded = hosts;
    this.#unsettled += hosts;
  }

  /** The hosts have these. */
  received(chunk: Chunk): void {
    this.counts.sent += chunk.notifications;
    this.#unsettled -= chunk.length;
    chunk.forEach((stretch, index) => this.#answers.done(stretch, index, "notified"));
  }

  /** The job is given up for one host. */
  dropJob(job: Job, reason: DropReason): void {
    const { stretch, index } = job.record;
    this.count(reason, 1);
    this.encoded(job);
    this.#unsettled--;
    this.#answers.dropped(stretch, index, reason);
  }

  /** One host less for which the job's event is needed. */
  encoded(job: Job): void {
    job.unencoded--;
    if (job.unencoded <= 0) this.park(job.record);
  }

  /** The event will not be needed soon. */
  park(record: EventRecord): void {
    this.#answers.park(record);
  }

  /** The record is answered without any host. */
  answer({ stretch, index }: EventRecord, outcome: Exclude<Outcome, "dropped">): void {
    this.#answers.done(stretch, index, outcome);
  }

  /** The record is given up, before any host of it is known. */
  dropRecord({ stretch, index }: EventRecord, reason: DropReason, notifications = 1): void {
    this.count(reason, notifications);
    this.#answers.dropped(stretch, index, reason);
  }

  /** Counts notifications that are given up, or would have been made. */
  count(reason: DropReason, notifications: number): void {
    this.#dropped[reason] = (this.#dropped[reason] ?? 0) + notifications;
  }
}
