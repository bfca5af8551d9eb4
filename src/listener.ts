import { Resolver } from "./destinations/openchange/resolver.ts";
import { charset, defaultCharset } from "./destinations/openchange/codec/charset.ts";
import { decodeNotification, type Notification } from "./destinations/openchange/codec/extended.ts";
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
  /** How often it is looked up whether the registrations are still there, in ms; 10,000 by default. */
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

const DEFAULT_BIND = "tcp://127.0.0.1:0";
const DEFAULT_CHECK_MS = 10_000;

/**
 * Binds a PULL socket and registers it for users, again whenever memcached has lost the record (a restart, an
 * eviction).
 * @throws SpError for an address that cannot be used, MemcachedError for a resolver that does not answer,
 * OcnotifyError ERR_LISTENER for a wildcard address without `advertise`
 */
export async function createListener(options: ListenerOptions): Promise<Listener> {
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
  let checking: Promise<void> | undefined;
  const timer = setInterval(() => {
    checking ??= register()
      .catch(onError)
      .finally(() => {
        checking = undefined;
      });
  }, options.checkIntervalMs ?? DEFAULT_CHECK_MS);
  timer.unref();

  let closing: Promise<void> | undefined;
  return {
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
        yield notification;
      }
    },
    close() {
      closing ??= (async () => {
        clearInterval(timer);
        await checking;
        // Unregistered first: who looks the user up from now on does not send to a closed door.
        const failure = await unregister(resolver, options.users, registered);
        if (failure !== undefined) onError(failure);
        await release();
      })();
      return closing;
    },
  };
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
