import type { Notification } from "./codec/extended.ts";
import { notificationFlags } from "./codec/notification-flags.ts";
import type { Subscription } from "./codec/subscription.ts";

/**
 * The flags that ask for each notification; one of them is enough. The flag of the same value always does. Mail that
 * appears is also an object that is created. Each of them changes the contents table of its folder.
 */
export const ASKED_BY: Readonly<Record<Notification["type"], readonly (keyof typeof notificationFlags)[]>> = {
  NewMail: ["NewMail", "ObjectCreated", "TableModified"],
  ObjectDeleted: ["ObjectDeleted", "TableModified"],
  ObjectModified: ["ObjectModified", "TableModified"],
  ObjectMoved: ["ObjectMoved", "TableModified"],
  ObjectCopied: ["ObjectCopied", "TableModified"],
};

const NO_FOLDER = "0000000000000000";

/** The ids of a notification's folders, as 16 lower-case hex digits; undefined for a folder that the server does not have. */
export interface FolderIds {
  /** Where the message is, or was deleted. */
  readonly now: string | undefined;
  /** Where a message that was moved or copied came from. */
  readonly old: string | undefined;
}

/** Whether a flag of the subscription asks for such notifications, in whichever folder. */
export function asksForType({ flags }: Subscription, type: Notification["type"]): boolean {
  return ASKED_BY[type].some((name) => (flags & notificationFlags[name]) !== 0);
}

/** Whether the subscription is for one folder only. One for a message counts as one for the folder of the message. */
export function namesFolder({ flags, fid }: Subscription): boolean {
  return (flags & notificationFlags.WholeStore) === 0 && fid !== NO_FOLDER;
}

/** Whether a subscription asks for a notification of that type in these folders. */
export function asksFor(subscription: Subscription, type: Notification["type"], folders: FolderIds): boolean {
  if (!asksForType(subscription, type)) return false;
  if (!namesFolder(subscription) || subscription.fid === folders.now) return true;
  // A copy leaves the table of the folder that it was made from as it is.
  const copied = type === "ObjectCopied" && (subscription.flags & notificationFlags.ObjectCopied) !== 0;
  return (type === "ObjectMoved" || copied) && subscription.fid === folders.old;
}
