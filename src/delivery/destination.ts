import type { MailboxEvent } from "../events/event.ts";
import type { NotLoaded } from "../journal/stretch.ts";
import type { Writer as JournalWriter } from "../journal/writer.ts";

export type { NotLoaded };

/** Who wrote a record, as far as a destination needs to know. */
export type Writer = Pick<JournalWriter, "uid" | "trusted" | "pending">;

/** Where a record stands, with a few others beside it. */
export interface Place {
  readonly writer: Writer;
  /** Of the segment's file. */
  readonly segment: { readonly name: string };
  /** When the first of these changes happened, in whole milliseconds of the process's clock; at most the time of reading. */
  readonly happenedAt: number;
  /** When all of these records had been seen in the journal, by the same clock. */
  readonly seenAt: number;
}

/** One event on its way: read from the journal and not yet answered. */
export interface EventRecord {
  readonly stretch: Place;
  /** Which of the records there. */
  readonly index: number;
  /** Bytes from the segment's beginning. */
  readonly offset: number;
  /** Absent while put away to save memory; the journal still has it. */
  readonly event: MailboxEvent | undefined;
}

/**
 * What became of a record. `notified`: all who were to be notified have been. `nobody`: there was nobody to notify.
 * `ignored`: the destination notifies nobody of such an event. `dropped`: given up for one receiver at least.
 */
export type Outcome = "notified" | "nobody" | "ignored" | "dropped";

/** What a destination says of the events that it was given, and asks for. */
export interface Answers {
  /** An event will be answered this many times, once for each who is to be notified; without this, once. */
  split(stretch: Place, index: number, answers: number): void;
  /**
   * One who was to be notified has been. After the last answer of a record nothing of it is kept. Of several answers, one that is
   * `dropped` is the record's outcome.
   */
  done(stretch: Place, index: number, outcome: Exclude<Outcome, "dropped">): void;
  /** The same, for one that was given up: why, a reason of the kind. */
  dropped(stretch: Place, index: number, reason: string): void;
  /** Puts the event away: it will not be needed soon. */
  park(record: EventRecord): void;
  /** The event, read from the journal again if it was put away. */
  load(record: EventRecord): MailboxEvent | NotLoaded;
  /** The id of the record's event, by which receivers know it again: see `eventId`. */
  idOf(record: EventRecord, event: MailboxEvent): string;
  /** `accepting` has become true again. */
  resume(): void;
  /**
   * Its receiver is at fault, and it is given no more until `release`. What it has it keeps, and may try again.
   * @param reason what is wrong with the receiver, and what to do: for the status and the log
   */
  hold(reason: string): void;
  /** The receiver is in order again; does nothing when it was not held. */
  release(): void;
}

/** What a destination counts since it was started. */
export interface DestinationStatus {
  /** Notifications that were given up, for one receiver each, by a reason of its kind. */
  readonly dropped: Readonly<Record<string, number>>;
  /** Notifications that wait for a receiver or may yet have to be sent again, for one receiver each. */
  readonly waiting: number;
  /** What else its kind counts. */
  readonly details: Readonly<Record<string, number>>;
}

/** A place to which events go. Order, retry and memory bounds within it are its own. */
export interface Destination {
  /**
   * False when it has as much of a backlog as it may keep, until it calls `resume`. What has just been written is still
   * given to it, though there is a backlog: that is little, and whom it is for may not be those who hold it up.
   */
  readonly accepting: boolean;
  /** Takes events, in journal order. Never throws; answers each later or at once. */
  deliver(records: readonly EventRecord[]): void;
  /**
   * A segment was deleted because the journal was full, with changes that this destination has not been given, or has put
   * away. Called once for each such segment: receivers that can look for themselves should be asked to.
   */
  missed?(): void;
  status(): DestinationStatus;
  /** Sends what it can within `drainMs`, then releases everything; what is not answered stays in the journal. */
  close(drainMs: number): Promise<void>;
}
