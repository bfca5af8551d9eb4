import { randomUUID } from "node:crypto";
import { OcnotifyError } from "../../errors.ts";
import { MemcachedError } from "../../protocols/memcached/errors.ts";
import { asksFor, asksForType, namesFolder } from "./asks-for.ts";
import type { Notification } from "./codec/extended.ts";
import type { NewMail } from "./codec/newmail.ts";
import { parseGuid, type Session } from "./codec/session.ts";
import type { Subscription } from "./codec/subscription.ts";
import {
  decodeOurs,
  sessionKey,
  SessionRecords,
  type FollowedSession,
  type OpenSession,
  type SessionContext,
} from "./session-records.ts";

/** Each costs two keys in the look-up that is made for each notification. */
const MAX_SESSIONS = 1_000;

/** The GUIDs of a session to open, where a server has them already. */
export interface SessionIds {
  /** Of the key `session:<guid>`; a random one when absent. */
  readonly guid?: string;
  /** Of the record, and of the key `subscription:<uuid>`; the same as `guid` when absent. */
  readonly uuid?: string;
}

/** A subscription that asks for a notification. */
export interface AskingSubscription extends Subscription {
  /** The `guid` of its session. */
  readonly session: string;
}

/** A folder as a notification names it. */
export type NotifiedFolder = Pick<NewMail, "backend" | "folder" | "separator">;

/** The id of a folder, as 16 hex digits; undefined for one that the server does not have. */
export type FolderIdOf = (folder: NotifiedFolder) => string | undefined | Promise<string | undefined>;

/**
 * The sessions of one user and what they are subscribed to, as OpenChange keeps it in memcached. The records are read
 * for each notification, so that what other processes write holds at once. While memcached gives no answer, what was
 * read last holds.
 */
export class Sessions {
  readonly #context: SessionContext;
  readonly #folderId: FolderIdOf | undefined;
  readonly #onError: (error: Error) => void;
  readonly #records = new Map<string, SessionRecords>();
  /** The messages of what went wrong since all was well; each is reported once. */
  readonly #reported = new Set<string>();
  #closed = false;

  constructor(context: SessionContext, folderId: FolderIdOf | undefined, onError: (error: Error) => void) {
    this.#context = context;
    this.#folderId = folderId;
    this.#onError = onError;
  }

  /**
   * Opens a session: writes its record, and again whenever memcached has lost it. A record that is there already, of the
   * same user and `uuid`, is taken over with its subscriptions.
   * @throws OcnotifyError ERR_RECORD_GUID, ERR_SESSION_TAKEN when it is another user's or this listener has it already,
   * ERR_SESSION_CLOSED when it has another `uuid`, ERR_SESSIONS when there are too many; MemcachedError
   */
  async open(ids: SessionIds): Promise<OpenSession> {
    const guid = parseGuid(ids.guid ?? randomUUID());
    const uuid = parseGuid(ids.uuid ?? guid);
    return await this.#begin(guid, uuid, true);
  }

  /**
   * Follows a session that another process holds: its subscriptions are read and nothing is written. When that process
   * has deleted the records, the session asks for nothing.
   * @throws OcnotifyError ERR_RECORD_GUID, ERR_SESSION_UNKNOWN when there is no record, ERR_SESSION_TAKEN when it is
   * another user's, ERR_SESSIONS when there are too many; NdrError for a record that does not decode; MemcachedError
   */
  async follow(text: string): Promise<FollowedSession> {
    const guid = parseGuid(text);
    const found = await this.#readSession(guid);
    if (found === undefined) {
      throw new OcnotifyError(
        "ERR_SESSION_UNKNOWN",
        `memcached has no ${sessionKey(guid)}: the session was never opened, it is closed, or its record was lost`,
        { canRetry: true },
      );
    }
    return await this.#begin(guid, found.uuid, false);
  }

  /** Reads all records, and writes again what memcached has lost. Never rejects. */
  async check(): Promise<void> {
    let well = true;
    let unread = [...this.#records.values()];
    // Twice, when a session has another uuid than before.
    for (let round = 0; round < 2 && unread.length > 0; round++) {
      const again: SessionRecords[] = [];
      const asked = unread.map((records) => ({ records, keys: records.keys }));
      const { values, failures } = await this.#context.pool.getMany(
        asked.flatMap(({ keys }) => [keys.session, keys.subscriptions]),
      );
      for (const { records, keys } of asked) {
        try {
          const failure = failures.get(keys.session) ?? failures.get(keys.subscriptions);
          if (failure !== undefined) throw failure;
          if (await records.settle(keys, values)) again.push(records);
        } catch (error) {
          well = false;
          this.#report(error as Error);
        }
      }
      unread = again;
    }
    if (well) this.#reported.clear();
  }

  /** The subscriptions that ask for a notification. Never rejects. */
  async askingFor(notification: Notification): Promise<AskingSubscription[]> {
    if (!this.#closed) await this.check();
    const { type, backend } = notification;
    const asking: AskingSubscription[] = [];
    for (const { guid: session, subscriptions } of this.#records.values()) {
      for (const each of subscriptions) if (asksForType(each, type)) asking.push({ session, ...each });
    }
    if (this.#folderId === undefined || !asking.some(namesFolder)) return asking;
    try {
      const now = await this.#idOf(notification);
      const old =
        "oldFolder" in notification
          ? await this.#idOf({ backend, folder: notification.oldFolder, separator: notification.oldSeparator })
          : undefined;
      return asking.filter((each) => asksFor(each, type, { now, old }));
    } catch (error) {
      // Nobody knows which folder it is, and a notification too many is better than one too few.
      this.#onError(error as Error);
      return asking;
    }
  }

  /** Deletes the records of the sessions that were opened here. What was read last still answers `askingFor`. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const records of this.#records.values()) {
      if (records.mine) await records.delete().catch((error: Error) => this.#report(error));
    }
  }

  async #begin(guid: string, uuid: string, mine: boolean): Promise<SessionRecords> {
    if (this.#closed) throw new OcnotifyError("ERR_SESSION_CLOSED", "the listener is closed");
    if (this.#records.has(guid)) {
      throw new OcnotifyError("ERR_SESSION_TAKEN", `this listener has ${sessionKey(guid)} already`);
    }
    if (this.#records.size >= MAX_SESSIONS) {
      throw new OcnotifyError("ERR_SESSIONS", `this listener has ${MAX_SESSIONS} sessions: close some first`);
    }
    const records = new SessionRecords(this.#context, { guid, uuid, mine }, () => this.#records.delete(guid));
    this.#records.set(guid, records);
    try {
      if (mine) await records.write();
      await records.refresh();
    } catch (error) {
      this.#records.delete(guid);
      throw error;
    }
    return records;
  }

  async #readSession(guid: string): Promise<Session | undefined> {
    const { pool } = this.#context;
    const key = sessionKey(guid);
    const found = await pool.serverFor(key).gets(pool.wireKey(key));
    return found === undefined ? undefined : decodeOurs(key, found.value, this.#context);
  }

  async #idOf({ backend, folder, separator }: NotifiedFolder): Promise<string | undefined> {
    const id = await this.#folderId?.({ backend, folder, separator });
    if (id === undefined || /^[0-9a-f]{16}$/i.test(id)) return id?.toLowerCase();
    throw new OcnotifyError("ERR_RECORD_ID", `folderId: ${JSON.stringify(id)} is not 16 hex digits`);
  }

  #report(error: Error): void {
    // A look-up that closing cuts off is no fault.
    if (error instanceof MemcachedError && error.code === "ERR_MEMCACHED_CLOSED") return;
    if (this.#reported.has(error.message) || this.#reported.size >= MAX_REPORTED) return;
    this.#reported.add(error.message);
    this.#onError(error);
  }
}

/** Messages that are remembered while something is wrong; beyond them nothing is reported until all is well. */
const MAX_REPORTED = 100;
