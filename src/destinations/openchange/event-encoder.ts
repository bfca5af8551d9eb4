import type { Answers } from "../../delivery/destination.ts";
import { isExpired } from "../../delivery/lane.ts";
import type { Charset } from "./codec/charset.ts";
import { NotificationEncoder, type Notification } from "./codec/extended.ts";
import { modifiedUtf7 } from "./codec/modified-utf7.ts";
import type { JobEncoder } from "./encode-chunk.ts";
import type { Faults } from "./faults.ts";
import type { Ledger } from "./ledger.ts";
import { hasUids, notificationsOf, type NotificationSettings } from "./notifications.ts";
import type { Job } from "./route.ts";

export interface EventEncoderSettings {
  readonly notify: NotificationSettings;
  /** The servers' "dos charset". */
  readonly charset: Charset;
  readonly timeToLiveMs: number;
}

/** Makes the payloads of a job from its event, and settles a job of which none can be made. */
export class EventEncoder implements JobEncoder {
  readonly #settings: EventEncoderSettings;
  readonly #load: Answers["load"];
  readonly #ledger: Ledger;
  readonly #faults: Faults;
  readonly #encoder: NotificationEncoder;

  /** @param load reads an event that was put away from the journal */
  constructor(settings: EventEncoderSettings, load: Answers["load"], ledger: Ledger, faults: Faults) {
    this.#settings = settings;
    this.#load = load;
    this.#ledger = ledger;
    this.#faults = faults;
    this.#encoder = new NotificationEncoder(settings.charset, modifiedUtf7);
  }

  // In all of these, what is logged comes first: a job that was dropped must not be dropped again, whatever throws.

  notifications(job: Job): Iterator<Notification, void> | "later" | undefined {
    const { record } = job;
    const event = this.#load(record);
    if (event === "later") {
      if (!isExpired(this.#settings.timeToLiveMs, performance.now())(job)) return "later";
      this.#faults.unreadable(record);
      this.#ledger.dropJob(job, "expired");
      return undefined;
    }
    if (event === "gone") {
      this.#faults.gone(record);
      this.#ledger.dropJob(job, "gone");
      return undefined;
    }
    if (hasUids(event)) return notificationsOf(event, this.#settings.notify);
    this.#faults.withoutUids(event, record.stretch.writer);
    this.#ledger.dropJob(job, "no-uid");
    return undefined;
  }

  encodedLength(notification: Notification): number {
    return this.#encoder.encodedLength(notification);
  }

  write(target: Buffer, offset: number, notification: Notification): number {
    return this.#encoder.write(target, offset, notification);
  }

  encoded(job: Job): void {
    this.#ledger.encoded(job);
  }

  unencodable(job: Job, notification: Notification | undefined, error: unknown): boolean {
    this.#faults.unencodable(job, notification, error as Error);
    // A move from a folder that has no name there: that the message is new where it is now can still be notified.
    if (notification !== undefined && notification.type !== "NewMail") {
      this.#ledger.count("charset", 1);
      return true;
    }
    this.#ledger.dropJob(job, "charset");
    return false;
  }
}
