import type { EventName, MailboxEvent } from "../../events/event.ts";
import { uidsOf } from "../../events/sequence-set.ts";
import type { Notification } from "./codec/extended.ts";
import { emlName } from "./codec/newmail.ts";

/** Events that only servers which know the extension (docs/ocnotify-extended.idl) are told of. */
const EXTENDED_EVENTS: ReadonlySet<EventName> = new Set([
  "MessageExpunge",
  "FlagsSet",
  "FlagsClear",
  "MessageMove",
  "MessageCopy",
]);

export interface NotificationSettings {
  /** The mapistore backend where the event names none. */
  readonly backend: string;
  /** Events that are told as new mail in the folder in which the message now is. */
  readonly newMailEvents: ReadonlySet<EventName>;
  /** Whether servers know the extension. */
  readonly extended: boolean;
}

/** Whether servers are told of events of this kind. */
export function isNotified(event: MailboxEvent, settings: NotificationSettings): boolean {
  return settings.newMailEvents.has(event.event) || (settings.extended && EXTENDED_EVENTS.has(event.event));
}

/** Whether the event has UIDs. A message without a UID cannot be named to a server. */
export function hasUids(event: MailboxEvent): boolean {
  return "uids" in event && event.uids !== undefined;
}

/**
 * The notifications of an event that `isNotified`, in the order of its UIDs, made as they are asked for: an event about
 * 50,000 messages needs no more memory than one about two.
 */
export function notificationsOf(event: MailboxEvent, settings: NotificationSettings): Iterator<Notification, void> {
  if (!settings.extended && "uids" in event && event.uids !== undefined && SINGLE_UID.test(event.uids)) {
    const { mailbox: folder, sep: separator } = event;
    const eml = emlName(event.uids);
    return new Single({ type: "NewMail", backend: event.backend ?? settings.backend, eml, folder, separator });
  }
  return notificationsOfSet(event, settings);
}

const SINGLE_UID = /^\d+$/;
const DONE: IteratorReturnResult<void> = { done: true, value: undefined };

/** One new mail is what nearly every event is, and a generator costs more than all else that is made for it. */
class Single implements Iterator<Notification, void> {
  #notification: Notification | undefined;

  constructor(notification: Notification) {
    this.#notification = notification;
  }

  next(): IteratorResult<Notification, void> {
    const value = this.#notification;
    this.#notification = undefined;
    return value === undefined ? DONE : { done: false, value };
  }
}

function* notificationsOfSet(event: MailboxEvent, settings: NotificationSettings): Generator<Notification, void> {
  if (!("uids" in event) || event.uids === undefined) return;
  const backend = event.backend ?? settings.backend;
  const { mailbox: folder, sep: separator } = event;
  const asNewMail = settings.newMailEvents.has(event.event);
  const old = "oldUids" in event && event.oldUids !== undefined ? uidsOf(event.oldUids) : undefined;
  for (const uid of uidsOf(event.uids)) {
    const eml = emlName(uid);
    if (asNewMail) yield { type: "NewMail", backend, eml, folder, separator };
    if (!settings.extended) continue;
    switch (event.event) {
      case "MessageExpunge":
        yield { type: "ObjectDeleted", backend, eml, folder, separator };
        break;
      case "FlagsSet":
        yield { type: "ObjectModified", backend, eml, folder, separator, flagsSet: event.flags, flagsCleared: [] };
        break;
      case "FlagsClear":
        yield { type: "ObjectModified", backend, eml, folder, separator, flagsSet: [], flagsCleared: event.flags };
        break;
      case "MessageMove":
      case "MessageCopy": {
        const oldUid = old?.next();
        if (oldUid === undefined || oldUid.done === true) break;
        const type = event.event === "MessageMove" ? "ObjectMoved" : "ObjectCopied";
        const { oldMailbox: oldFolder, oldSep: oldSeparator = separator } = event;
        const from = { oldEml: emlName(oldUid.value), oldFolder, oldSeparator };
        yield { type, backend, eml, folder, separator, ...from };
        break;
      }
      default:
        break;
    }
  }
}
