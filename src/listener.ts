import { Resolver } from "./destinations/openchange/resolver.ts";
import { charset, defaultCharset } from "./destinations/openchange/codec/charset.ts";
import { decodeNotification, type Notification } from "./destinations/openchange/codec/extended.ts";
import type { FollowedSession, OpenSession } from "./destinations/openchange/session-records.ts";
import {
  Sessions,
  type AskingSubscription,
  type FolderIdOf,
  type SessionIds,
} from "./destinations/openchange/sessions.ts";
import { OcnotifyError } from "./errors.ts";
import { parseAddress } from "./protocols/sp/address.ts";
import { bindPull, type PullSocket } from "./protocols/sp/pull-socket.ts";

export interface ListenerOptions {
  /** Names to register, as the resolver knows them (what `openchange_cn` makes of the user). */
  readonly users: readonly string[];
  /** libmemcached configuration string of the resolver; `--SERVER=127.0.0.1:11211` by default. */
  readonly resolver?: string;
  /** nanomsg address to listen at: `tcp://host:port`, port 0 for any free one, or `ipc:///path`. */
  readonly bind?: string;
  /** The address to register, where others must use another than the one listened at (a wildcard, a NAT). */
  readonly advertise?: string;
  /** The "dos charset" of the payloads and of the address registered; cp850 by default. */
  readonly charset?: string;
  /**
   * Whether to yield only what a subscription of the user's sessions asks for: see `SubscriptionListener`. `users` is then
   * one user, because a notification does not say whose it is; for more users make a listener for each.
   */
  readonly subscriptions?: boolean;
  /**
   * The server's id of a folder that a notification names, against which the `fid` of a subscription is held. Asked only
   * where a subscription is for one folder. Without it, a subscription for one folder counts as one for every folder.
   */
  readonly folderId?: FolderIdOf;
  /** How often it is looked up whether the registrations, and the sessions' records, are still there, in ms; 10,000 by default. */
  readonly checkIntervalMs?: number;
  /** Called for what goes wrong with one message or one peer, or while registering again. The listener goes on. */
  readonly onError?: (error: Error) => void;
}

/** Receives notifications as an OpenChange server does. Iterate over it; leave with `close`. */
export interface Listener extends AsyncIterable<Notification, void> {
  /** The address listened at, with the real port. */
  readonly address: string;
  /** The address registered. */
  readonly registered: string;
  /** Unregisters, stops listening and ends the iteration once what was received is taken. */
  close(): Promise<void>;
}

/** A notification with the subscriptions that asked for it: at least one. */
export type SubscribedNotification = Notification & { readonly subscriptions: readonly AskingSubscription[] };

/**
 * Yields what the user's sessions have subscribed to. memcached cannot list its keys, so a listener obeys the sessions that
 * it is told of: those that it opens, and those of other processes that it follows.
 */
export interface SubscriptionListener extends Listener {
  [Symbol.asyncIterator](): AsyncIterator<SubscribedNotification, void>;
  /**
   * Opens a session of the user, writes its record, and writes it again whenever memcached has lost it. A record that is
   * there already, of the same user and with the same `uuid`, is taken over with its subscriptions.
   * @throws OcnotifyError ERR_RECORD_GUID for a malformed GUID, ERR_SESSION_TAKEN when it is another user's or this
   * listener has it already, ERR_SESSION_CLOSED when it is there with another `uuid`, ERR_SESSIONS for more than 1,000;
   * MemcachedError
   */
  openSession(ids?: SessionIds): Promise<OpenSession>;
  /**
   * Follows a session that another process holds: its records are read and never written. When they are deleted, it asks
   * for nothing.
   * @param guid of the key `session:<guid>`
   * @throws OcnotifyError ERR_RECORD_GUID, ERR_SESSION_UNKNOWN when there is no record, ERR_SESSION_TAKEN, ERR_SESSIONS;
   * NdrError for a record that does not decode; MemcachedError
   */
  followSession(guid: string): Promise<FollowedSession>;
}

const DEFAULT_BIND = "tcp://127.0.0.1:0";
const DEFAULT_CHECK_MS = 10_000;

/**
 * Binds a PULL socket and registers it for users, again whenever memcached has lost the record (a restart, an
 * eviction).
 * @throws SpError for an address that cannot be used, MemcachedError for a resolver that does not answer,
 * OcnotifyError ERR_LISTENER for a wildcard address without `advertise`, and for `subscriptions` with several users
 */
export async function createListener(
  options: ListenerOptions & { readonly subscriptions: true },
): Promise<SubscriptionListener>;
export async function createListener(options: ListenerOptions): Promise<Listener>;
export async function createListener(options: ListenerOptions): Promise<Listener | SubscriptionListener> {
  const [cn = "", ...otherUsers] = options.users;
  if (options.subscriptions === true && (cn === "" || otherUsers.length > 0)) {
    throw new OcnotifyError(
      "ERR_LISTENER",
      `subscriptions: ${options.users.length} users, and a notification does not say whose it is: make a listener for each`,
    );
  }
  const strings = charset(options.charset ?? defaultCharset);
  const onError = options.onError ?? (() => {});
  const resolver = new Resolver(options.resolver ?? "--SERVER=127.0.0.1:11211", { charset: strings.name });
  let socket: PullSocket;
  try {
    socket = await bindPull(options.bind ?? DEFAULT_BIND);
  } catch (error) {
    resolver.close();
    throw error;
  }
  const registered = options.advertise ?? socket.address;
  const release = async (): Promise<void> => {
    await socket.close();
    resolver.close();
  };
  if (/^tcp:\/\/(\*|0\.0\.0\.0|\[::\]):/.test(registered)) {
    await release();
    throw new OcnotifyError(
      "ERR_LISTENER",
      `${registered} is no address that a mail server can connect to: say which with advertise (--advertise)`,
    );
  }
  try {
    parseAddress(registered);
  } catch (error) {
    await release();
    throw error;
  }
  socket.onPeerError(onError);

  const register = async (): Promise<void> => {
    for (const user of options.users) await resolver.register(user, registered);
  };
  try {
    await register();
  } catch (error) {
    await unregister(resolver, options.users, registered);
    await release();
    throw error;
  }
  const sessions =
    options.subscriptions === true
      ? new Sessions({ pool: resolver.pool, cn, charset: strings }, options.folderId, onError)
      : undefined;
  let checking: Promise<void> | undefined;
  const timer = setInterval(() => {
    checking ??= register()
      .catch(onError)
      .then(() => sessions?.check())
      .finally(() => {
        checking = undefined;
      });
  }, options.checkIntervalMs ?? DEFAULT_CHECK_MS);
  timer.unref();

  let closing: Promise<void> | undefined;
  const listener: Listener = {
    address: socket.address,
    registered,
    async *[Symbol.asyncIterator]() {
      for await (const message of socket) {
        let notification: Notification;
        try {
          notification = decodeNotification(message, strings);
        } catch (error) {
          onError(error as Error);
          continue;
        }
        if (sessions === undefined) {
          yield notification;
          continue;
        }
        const subscriptions = await sessions.askingFor(notification);
        if (subscriptions.length > 0) yield { ...notification, subscriptions } satisfies SubscribedNotification;
      }
    },
    close() {
      closing ??= (async () => {
        clearInterval(timer);
        await checking;
        // Unregistered first: who looks the user up from now on does not send to a closed door.
        const failure = await unregister(resolver, options.users, registered);
        if (failure !== undefined) onError(failure);
        await sessions?.close();
        await release();
      })();
      return closing;
    },
  };
  if (sessions === undefined) return listener;
  return Object.assign(listener as SubscriptionListener, {
    openSession: (ids: SessionIds = {}) => sessions.open(ids),
    followSession: (guid: string) => sessions.follow(guid),
  });
}

async function unregister(resolver: Resolver, users: readonly string[], host: string): Promise<Error | undefined> {
  let failure: Error | undefined;
  for (const user of users) {
    try {
      await resolver.unregister(user, host);
    } catch (error) {
      failure = error as Error;
    }
  }
  return failure;
}
