import type { EventRecord, MailboxEvent } from "../event.ts";

/** Why a notification was given up. */
export type DropReason =
  /** Its time to live ended while it could not be sent. */
  | "expired"
  /** More waits for one host than may be kept. */
  | "overflow"
  /** A name that the host's charset cannot express. */
  | "charset"
  /** The host's address is not one that can be connected to. */
  | "bad-address"
  /** The resolver's record for the user does not decode. */
  | "bad-record"
  /** The resolver string, or the key that it gives, is not usable. */
  | "bad-resolver"
  /** The host was taken out of the resolver after refusing for too long. */
  | "host-removed"
  /** The journal lost the record before it was sent. */
  | "gone";

/** What a destination asks and tells of the events it was given. */
export interface Answers {
  /** Everybody who was to be told has been told or given up for good. Once for each event. */
  done(record: EventRecord): void;
  /** Puts the event away: it will not be needed soon. */
  park(record: EventRecord): void;
  /** So many events are in memory that one which has to wait for anything should be put away. */
  readonly crowded: boolean;
  /** The event, read from the journal again if it was put away; undefined when the journal lost it. */
  load(record: EventRecord): MailboxEvent | undefined;
  /** `accepting` has become true again. */
  resume(): void;
}

/** A place to which events go. Order, retry and memory bounds within it are its own. */
export interface Destination {
  /** False when it has as much as it may keep: no further `deliver` until it calls `resume`. */
  readonly accepting: boolean;
  /** Takes events, in journal order. Never throws; answers each later or at once. */
  deliver(records: readonly EventRecord[]): void;
  /** Sends what it can within `drainMs`, then releases everything; what is not answered stays in the journal. */
  close(drainMs: number): Promise<void>;
}
