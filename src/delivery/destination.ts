import type { MailboxEvent } from "../events/event.ts";
import type { EventRecord, NotLoaded, Stretch } from "../journal/stretch.ts";
import type { Writer } from "../journal/writer.ts";

export type { EventRecord, NotLoaded, Stretch, Writer };

/** Why a notification was given up. */
export type DropReason =
  /** Its time to live ended while it could not be sent. */
  | "expired"
  /** More waits for one host than may be kept. */
  | "overflow"
  /** A name that the host's charset cannot express. */
  | "charset"
  /** A message that Dovecot gave no UID, or whose UID is not recorded. */
  | "no-uid"
  /** The host's address is not one that can be connected to. */
  | "bad-address"
  /** The resolver's record for the user does not decode, is too long, or has more hosts than are notified. */
  | "bad-record"
  /** The resolver string, or the key that it gives, is not usable. */
  | "bad-resolver"
  /** The host refuses, and is not registered for the user any more. */
  | "unregistered"
  /** The host was taken out of the resolver after refusing for too long. */
  | "host-removed"
  /** The journal lost the record before it was sent. */
  | "gone";

/** What a destination asks and tells of the events it was given. */
export interface Answers {
  /** An event will be answered so many times, once for each who is to be told; without this, once. */
  split(stretch: Stretch, index: number, answers: number): void;
  /** One who was to be told has been told or given up for good. What is not needed any more must have been parked. */
  done(stretch: Stretch, index: number): void;
  /** Puts the event away: it will not be needed soon. */
  park(record: EventRecord): void;
  /** The event, read from the journal again if it was put away. */
  load(record: EventRecord): MailboxEvent | NotLoaded;
  /** `accepting` has become true again. */
  resume(): void;
}

/** What a destination counts since it was started. */
export interface DestinationStatus {
  /** Events of which it does not tell. */
  readonly ignored: number;
  /** Events of users whom nobody listens for. */
  readonly nobody: number;
  /** Notifications that a receiver has. */
  readonly sent: number;
  /** Events that were sent again because a connection broke. */
  readonly resent: number;
  /** Look-ups that got no answer, each to be tried again. */
  readonly lookupFailures: number;
  /** Look-ups that found nobody in a memcached that had just been restarted, each made again. */
  readonly lookupsAgain: number;
  /** Connections that failed, each to be tried again. */
  readonly hostFailures: number;
  /** What was given up, for one receiver each, by reason. */
  readonly dropped: Readonly<Partial<Record<DropReason, number>>>;
  /** Events that wait for a look-up. */
  readonly lookingUp: number;
  /** Events that wait for a receiver or may yet have to be sent again, for one receiver each. */
  readonly waiting: number;
  /** Receivers known at the moment, and those of them that are connected. */
  readonly hosts: number;
  readonly connected: number;
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
  status(): DestinationStatus;
  /** Sends what it can within `drainMs`, then releases everything; what is not answered stays in the journal. */
  close(drainMs: number): Promise<void>;
}
