import type { MailboxEvent } from "../events/event.ts";
import { Once, type Logger } from "../log.ts";
import type { JournalDirectory } from "./directory.ts";
import type { Progress } from "./progress.ts";

/** Writers that are named in the status, of those whose segments are left. */
const MAX_NAMED = 5;

/** A writer whose segments are left because it may not speak for the user whom they name. */
export interface LeftWriter {
  readonly uid: number;
  readonly user: string;
  /** What to do about it. */
  readonly advice: string;
}

/**
 * Whether a tail may read a segment, and believes its records. A segment whose owner names a user for whom it may not
 * speak is left from that record on, and is gone on with when the owner may: the system is asked about it anew whenever
 * the segment grows, and once a minute.
 */
export class Trust {
  readonly #directory: JournalDirectory;
  readonly #counters: { untrusted: number };
  readonly #resume: (progress: Progress) => void;
  readonly #log: Logger;
  readonly #once = new Once();
  readonly #left = new Set<Progress>();
  readonly #asking = new Set<Promise<void>>();
  #closed = false;

  /**
   * @param counters where what is passed over is counted
   * @param resume called with a segment that can be read now
   */
  constructor(
    directory: JournalDirectory,
    counters: { untrusted: number },
    resume: (progress: Progress) => void,
    log: Logger,
  ) {
    this.#directory = directory;
    this.#counters = counters;
    this.#resume = resume;
    this.#log = log;
  }

  /** Some of the writers whose segments are left. */
  get leftWriters(): LeftWriter[] {
    const writers = new Map<number, LeftWriter>();
    for (const { segment, left } of this.#left) {
      if (left === undefined || writers.has(segment.uid)) continue;
      if (writers.size >= MAX_NAMED) break;
      const advice = this.#directory.owners.advice(segment.uid, left.user);
      writers.set(segment.uid, { uid: segment.uid, user: left.user, advice });
    }
    return [...writers.values()];
  }

  /** A segment of a user of the system speaks for that user alone; who that is may have to be asked first. */
  mayRead(progress: Progress): boolean {
    const { owners } = this.#directory;
    const { uid } = progress.segment;
    if (owners.knows(uid)) return true;
    this.#ask(async () => {
      const learned = await owners.learn(uid);
      if (learned) {
        this.#resume(progress);
      } else if (!this.#closed) {
        progress.obstacle = "owner";
        this.#waits(progress);
      }
    });
    return false;
  }

  /** Whether a record of the segment is believed. When not, it is to be passed over, or the segment is left. */
  believes(progress: Progress, offset: number, { user, by }: MailboxEvent): boolean {
    const { owners } = this.#directory;
    const { uid, name } = progress.segment;
    if (owners.speaksFor(uid, user)) return true;
    if (by !== undefined && owners.speaksFor(uid, by)) {
      // A user of the system who changed another's mailbox: nobody vouches for him, but his own records count.
      this.#counters.untrusted++;
      if (this.#once.first(`shared ${uid}`)) {
        this.#log.warn(
          { segment: name, offset, user, by },
          `not believed: user ${by} may not speak for user ${user}. Such records are passed over. Where users change shared mailboxes under uids of their own, name those whom you trust to speak for everybody in journal.mail_users`,
        );
      }
      return false;
    }
    progress.left = { user, by };
    this.#left.add(progress);
    this.reconsider(progress);
    return false;
  }

  /** Asks whether a segment that is left can be gone on with. */
  reconsider(progress: Progress): void {
    const { left } = progress;
    if (left === undefined) return;
    const { owners } = this.#directory;
    const { uid } = progress.segment;
    const { user, by } = left;
    this.#ask(async () => {
      const verdict = await owners.reconsider(uid, by === undefined ? [user] : [user, by]);
      this.#release(uid);
      if (progress.left !== left || progress.segment.gone || this.#closed) return;
      this.#waits(progress, verdict === "unanswered");
      if (verdict === "answered" && this.#once.first(`left ${uid}`)) {
        this.#log.error(
          { segment: progress.segment.name, offset: progress.readAt, user, uid },
          `not believed: uid ${uid} wrote of user ${user}. Its segments are left as they are until it may. ${owners.advice(uid, user)}`,
        );
      }
    });
  }

  /** The segment is gone, or its bytes are not those that were read. */
  forget(progress: Progress): void {
    progress.left = undefined;
    this.#left.delete(progress);
  }

  /** Resolves when no question is under way. */
  async settled(): Promise<void> {
    while (this.#asking.size > 0) await Promise.all(this.#asking);
  }

  close(): void {
    this.#closed = true;
  }

  /** Goes on with the segments of a uid that were left and need not be any more. */
  #release(uid: number): void {
    const { owners } = this.#directory;
    for (const progress of this.#left) {
      const { left, segment } = progress;
      if (segment.uid !== uid || left === undefined) continue;
      if (!owners.speaksFor(uid, left.user) && (left.by === undefined || !owners.speaksFor(uid, left.by))) continue;
      this.forget(progress);
      if (!this.#closed) this.#resume(progress);
    }
  }

  #waits(progress: Progress, unanswered = true): void {
    const { segment } = progress;
    this.#directory.retryLater(segment);
    if (!unanswered || !this.#once.first("unanswered")) return;
    this.#log.error(
      { segment: segment.name, uid: segment.uid },
      `cannot find out who uid ${segment.uid} is: getent gives no answer. Segments of such uids wait, and it is asked again every minute. Try it: getent passwd ${segment.uid}`,
    );
  }

  #ask(question: () => Promise<void>): void {
    const asking = question();
    this.#asking.add(asking);
    void asking.finally(() => this.#asking.delete(asking));
  }
}
