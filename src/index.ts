// What the package offers to programs. Everything else is inside and may change.

export {
  createListener,
  type Listener,
  type ListenerOptions,
  type SubscribedNotification,
  type SubscriptionListener,
} from "./listener.ts";
export type { FollowedSession, NewSubscription, OpenSession } from "./destinations/openchange/session-records.ts";
export type { AskingSubscription, FolderIdOf, NotifiedFolder, SessionIds } from "./destinations/openchange/sessions.ts";
export { Resolver, resolverKey, cnOf, type CnKind, type ResolverOptions } from "./destinations/openchange/resolver.ts";
export {
  decodeNotification,
  encodeNotification,
  type Notification,
  type ObjectCopied,
  type ObjectDeleted,
  type ObjectModified,
  type ObjectMoved,
} from "./destinations/openchange/codec/extended.ts";
export { decodeNewMail, encodeNewMail, emlName, type NewMail } from "./destinations/openchange/codec/newmail.ts";
export { decodeResolverRecord, encodeResolverRecord } from "./destinations/openchange/codec/resolver-record.ts";
export { decodeSession, encodeSession, type Session } from "./destinations/openchange/codec/session.ts";
export {
  decodeSubscriptions,
  encodeSubscriptions,
  type Subscription,
} from "./destinations/openchange/codec/subscription.ts";
export { notificationFlags } from "./destinations/openchange/codec/notification-flags.ts";
export { charset, type Charset } from "./destinations/openchange/codec/charset.ts";
export { bindPull, type PullOptions, type PullSocket } from "./protocols/sp/pull-socket.ts";
export { createPush, type PushOptions, type PushSocket } from "./protocols/sp/push-socket.ts";
export { SpError, type SpErrorCode } from "./protocols/sp/errors.ts";
export { MemcachedError, type MemcachedErrorCode } from "./protocols/memcached/errors.ts";
export { NdrError } from "./protocols/ndr/errors.ts";
export { OcnotifyError } from "./errors.ts";
export { EVENT_NAMES, parseRecord, type EventName, type MailboxEvent } from "./events/event.ts";
export type * from "./events/event.ts";
export { uidsOf } from "./events/sequence-set.ts";
