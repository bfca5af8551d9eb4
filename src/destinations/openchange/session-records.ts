import { OcnotifyError } from "../../errors.ts";
import { changeValue, MAX_CHANGE_ROUNDS } from "../../protocols/memcached/change-value.ts";
import type { MemcachedPool } from "../../protocols/memcached/pool.ts";
import type { Charset } from "./codec/charset.ts";
import { notificationFlags } from "./codec/notification-flags.ts";
import { decodeSession, encodeSession, type Session } from "./codec/session.ts";
import { decodeSubscriptions, encodeSubscriptions, type Subscription } from "./codec/subscription.ts";
import { resolverKey } from "./resolver.ts";

/** A session whose subscriptions say what its user's listener yields. */
export interface FollowedSession {
  /** The GUID in the key of its record, `session:<guid>`. To OpenChange, that of the asynchronous connection. */
  readonly guid: string;
  /** The GUID in the record, and in the key of its subscriptions, `subscription:<uuid>`. */
  readonly uuid: string;
  /** Its subscriptions as they were last read, which is for each notification and with each check. */
  readonly subscriptions: readonly Subscription[];
  /**
   * The listener does not obey it any more. The records of a session that was opened here are deleted.
   * @throws MemcachedError
   */
  close(): Promise<void>;
}

/** A session that is held here: its records are written here, and again when memcached has lost them. */
export interface OpenSession extends FollowedSession {
  /**
   * Adds a subscription; one with the same handle is replaced.
   * @throws OcnotifyError ERR_SUBSCRIPTION for flags that ask for nothing, ERR_RECORD_ID for a fid or mid that is not 16
   * hex digits, ERR_SESSION_CLOSED, ERR_SESSION_CONTENTION; NdrError for what the record cannot hold; MemcachedError
   */
  subscribe(subscription: NewSubscription): Promise<void>;
  /** Takes a subscription out. @returns whether it was there. @throws as `subscribe` does */
  unsubscribe(handle: number): Promise<boolean>;
}

/** A subscription to make. Without `fid` it is for every folder, without `mid` for every message. */
export type NewSubscription = Pick<Subscription, "handle" | "flags"> & Partial<Subscription>;

/** Where records are, and whose. */
export interface SessionContext {
  readonly pool: MemcachedPool;
  /** The user, as the resolver knows it. */
  readonly cn: string;
  readonly charset: Charset;
}

/** The keys of a session's records, and when they were asked for. */
interface SessionKeys {
  readonly session: string;
  readonly subscriptions: string;
  readonly writes: number;
}

export const sessionKey = (guid: string): string => `session:${guid}`;
const subscriptionKey = (uuid: string): string => `subscription:${uuid}`;

/** The two records of one session, one's own or another process's. */
export class SessionRecords implements OpenSession {
  readonly guid: string;
  /** Whether they are written here. */
  readonly mine: boolean;
  readonly #context: SessionContext;
  readonly #onClose: () => void;
  #uuid: string;
  #subscriptions: readonly Subscription[] = [];
  /** `gone`: what its keys hold now, if anything, is another process's. */
  #state: "open" | "closed" | "gone" = "open";
  /** Counted up when writing begins and when it ends: what was read in between, or before, may not hold any more. */
  #writes = 0;
  /** The last piece of work that writes; the next one waits for it. */
  #work: Promise<unknown> = Promise.resolve();

  constructor(context: SessionContext, ids: { guid: string; uuid: string; mine: boolean }, onClose: () => void) {
    this.guid = ids.guid;
    this.mine = ids.mine;
    this.#uuid = ids.uuid;
    this.#context = context;
    this.#onClose = onClose;
  }

  get uuid(): string {
    return this.#uuid;
  }

  get subscriptions(): readonly Subscription[] {
    return this.#subscriptions;
  }

  /** What to read for `settle`. */
  get keys(): SessionKeys {
    return { session: sessionKey(this.guid), subscriptions: subscriptionKey(this.#uuid), writes: this.#writes };
  }

  /** Reads both records and settles what they say. @throws as `settle` does, and MemcachedError */
  async refresh(): Promise<void> {
    for (let again = true; again;) {
      const keys = this.keys;
      const { values, failures } = await this.#context.pool.getMany([keys.session, keys.subscriptions]);
      for (const failure of failures.values()) throw failure;
      again = await this.settle(keys, values);
    }
  }

  /**
   * Takes what was read of its keys, and writes again what memcached has lost.
   * @returns whether to read again, because the session has another uuid than before
   * @throws OcnotifyError ERR_SESSION_CLOSED when somebody else has deleted a session of one's own, ERR_SESSION_TAKEN when
   * it is another user's; NdrError or OcnotifyError for bytes that are no record: what was read before then holds;
   * MemcachedError when writing fails
   */
  async settle(keys: SessionKeys, values: ReadonlyMap<string, Buffer>): Promise<boolean> {
    if (this.#state !== "open" || keys.writes % 2 === 1 || keys.writes !== this.#writes) return false;
    const found = values.get(keys.session);
    const session = found === undefined ? undefined : decodeOurs(keys.session, found, this.#context);
    const value = values.get(keys.subscriptions);
    const subscriptions = value === undefined ? undefined : decodeSubscriptions(value);
    if (this.mine) await this.#settleMine(keys, session, subscriptions);
    else if (session === undefined || session.uuid === this.#uuid) {
      this.#subscriptions = session === undefined ? [] : (subscriptions ?? []);
    } else {
      this.#uuid = session.uuid;
      return true;
    }
    return false;
  }

  /**
   * A record that is missing was lost (memcached was restarted, or emptied), or somebody has deleted it. Where both are on
   * one memcached and the other one is there, it was deleted. All else counts as a loss, because a notification too many
   * is better than one too few.
   */
  async #settleMine(
    keys: SessionKeys,
    session: Session | undefined,
    subscriptions: readonly Subscription[] | undefined,
  ): Promise<void> {
    const { pool } = this.#context;
    const together = pool.serverFor(keys.session) === pool.serverFor(keys.subscriptions);
    const replaced = session !== undefined && session.uuid !== this.#uuid;
    if (replaced || (session === undefined && subscriptions !== undefined && together)) {
      this.#state = "gone";
      this.#onClose();
      throw new OcnotifyError(
        "ERR_SESSION_CLOSED",
        `${keys.session} was ${replaced ? "replaced" : "deleted"} by another process: the session is closed`,
      );
    }
    if (subscriptions !== undefined) this.#subscriptions = subscriptions;
    else if (session !== undefined && together) this.#subscriptions = [];
    if (session === undefined || (subscriptions === undefined && this.#subscriptions.length > 0)) await this.write();
  }

  /** Writes whichever record is not there. @throws MemcachedError */
  async write(): Promise<void> {
    await this.#queue(async () => {
      if (this.#state !== "open") return;
      await this.#addSession();
      if (this.#subscriptions.length === 0) return;
      const { pool } = this.#context;
      const key = subscriptionKey(this.#uuid);
      await pool.serverFor(key).add(pool.wireKey(key), encodeSubscriptions(this.#subscriptions));
    });
  }

  async subscribe(wanted: NewSubscription): Promise<void> {
    const subscription = complete(wanted);
    const { handle } = subscription;
    await this.#change((all) => [...all.filter((each) => each.handle !== handle), subscription]);
  }

  async unsubscribe(handle: number): Promise<boolean> {
    return await this.#change((all) =>
      all.some((each) => each.handle === handle) ? all.filter((each) => each.handle !== handle) : all,
    );
  }

  async close(): Promise<void> {
    this.#onClose();
    if (this.mine) await this.delete();
  }

  /** Deletes both records. @throws MemcachedError */
  async delete(): Promise<void> {
    await this.#queue(async () => {
      if (this.#state === "gone") return;
      this.#state = "closed";
      const { pool } = this.#context;
      // First what nothing finds without the other.
      for (const key of [sessionKey(this.guid), subscriptionKey(this.#uuid)]) {
        await pool.serverFor(key).delete(pool.wireKey(key));
      }
    });
  }

  /** @returns whether the record had to be changed */
  async #change(change: (all: readonly Subscription[]) => readonly Subscription[]): Promise<boolean> {
    await this.refresh();
    return await this.#queue(async () => {
      if (this.#state !== "open" || !this.mine) {
        throw new OcnotifyError(
          "ERR_SESSION_CLOSED",
          `${sessionKey(this.guid)} is not open here: open a session first`,
        );
      }
      let after = this.#subscriptions;
      const changed = await changeValue(this.#context.pool, subscriptionKey(this.#uuid), (value) => {
        // It was read a moment ago: what is missing now was lost.
        const before = value === undefined ? this.#subscriptions : decodeSubscriptions(value);
        after = change(before);
        return after === before ? undefined : { value: encodeSubscriptions(after), empty: after.length === 0 };
      });
      if (changed === undefined) {
        throw new OcnotifyError(
          "ERR_SESSION_CONTENTION",
          `${subscriptionKey(this.#uuid)} was changed by others ${MAX_CHANGE_ROUNDS} times in a row. Try again`,
          { canRetry: true },
        );
      }
      // As the record has them: hex digits in lower case.
      this.#subscriptions = decodeSubscriptions(encodeSubscriptions(after));
      // One record without the other would mean that somebody has deleted it.
      await this.#addSession();
      return changed;
    });
  }

  async #addSession(): Promise<void> {
    const { pool, cn, charset } = this.#context;
    const key = sessionKey(this.guid);
    await pool.serverFor(key).add(pool.wireKey(key), encodeSession({ uuid: this.#uuid, cn }, charset));
  }

  /** One piece of writing after the other. */
  async #queue<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#work.then(async () => {
      this.#writes++;
      try {
        return await work();
      } finally {
        this.#writes++;
      }
    });
    this.#work = result.catch(() => undefined);
    return await result;
  }
}

/**
 * A session record of the user of this context.
 * @throws OcnotifyError ERR_SESSION_TAKEN when it is another user's; NdrError or OcnotifyError when it does not decode
 */
export function decodeOurs(key: string, value: Buffer, { cn, charset }: SessionContext): Session {
  const record = decodeSession(value, charset);
  // Names are as the resolver compares them.
  if (resolverKey(record.cn) === resolverKey(cn)) return record;
  throw new OcnotifyError(
    "ERR_SESSION_TAKEN",
    `${key} is a session of ${JSON.stringify(record.cn)}, and this listener is for ${JSON.stringify(cn)}`,
  );
}

const KNOWN_FLAGS = Object.values(notificationFlags).reduce((sum, flag) => sum | flag, 0);
const NO_ID = "0000000000000000";

function complete({ handle, flags, fid = NO_ID, mid = NO_ID, properties = [] }: NewSubscription): Subscription {
  if (!Number.isInteger(flags) || (flags & ~KNOWN_FLAGS) !== 0 || (flags & ~notificationFlags.WholeStore) === 0) {
    throw new OcnotifyError(
      "ERR_SUBSCRIPTION",
      `flags ${flags}: must be a sum of notificationFlags (${Object.keys(notificationFlags).join(", ")}) ` +
        "with at least one other than WholeStore",
    );
  }
  return { handle, flags, fid, mid, properties };
}
