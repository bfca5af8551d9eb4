import type { LookupFunction } from "node:net";
import { MemcachedConnection, type ConnectionOptions, type Loss, type MemcachedAddress } from "./connection.ts";
import { MemcachedError } from "./errors.ts";
import { checkKey } from "./key.ts";
import { DEFAULT_MAX_VALUE_SIZE, type ValueItem } from "./parser.ts";
import {
  type CasValue,
  getEachRequest,
  getsRequest,
  interpretStore,
  lineRequest,
  type Request,
  type StoredValue,
  storePayload,
  type StoreResult,
  uptimeRequest,
} from "./request.ts";

export interface MemcachedServerOptions {
  /** Milliseconds; 1000 by default. */
  connectTimeoutMs?: number;
  /** Milliseconds in which the next value or line of an answer must come; 1000 by default. */
  pollTimeoutMs?: number;
  /** Milliseconds in which an answer must be complete, however it comes; ten times `pollTimeoutMs` by default. */
  answerTimeoutMs?: number;
  /** Milliseconds in which a server that failed is not tried again; 2000 by default, as in libmemcached. */
  retryTimeoutMs?: number;
  /** The longest value in bytes, either way; 8 MiB by default. One that is longer fails its own key alone. */
  maxValueSize?: number;
  /** How the server's name is looked up; Node's own way by default. */
  lookup?: LookupFunction | undefined;
}

export interface StoreOptions {
  /** 32 bits for the caller's use; 0 by default. */
  flags?: number;
  /** Seconds, or unix time when over 30 days, as in memcached's protocol.txt; 0, the default, is never. */
  exptime?: number;
}

/** A proxy may know no `stats`, and end the connection: after this many such ends one after the other it is not asked again. */
const MAX_UPTIME_FAILURES = 3;

type Reject = (error: MemcachedError) => void;

/** `host:port`, `[v6]:port` or the path of the socket. */
export function formatAddress(address: MemcachedAddress): string {
  if (address.kind === "unix") {
    return address.path;
  }
  return `${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}`;
}

/**
 * One memcached, over one connection that is opened when it is needed and carries any number of requests at once.
 *
 * Every failure rejects with a MemcachedError whose `canRetry` says whether it may pass. After a failure the server
 * counts as down for the retry timeout: calls fail at once with ERR_MEMCACHED_DOWN and nothing is sent. A server that let
 * a timeout pass is then tried in the background, and calls go on failing at once until it answers: otherwise each try
 * would hold up what is asked of healthy servers together with it.
 * Keys are checked (ERR_MEMCACHED_KEY) and taken as they are: a namespace is the pool's affair.
 */
export class MemcachedServer {
  readonly address: MemcachedAddress;
  /** The address for messages. */
  readonly name: string;
  readonly #options: Omit<ConnectionOptions, "name" | "address"> & { retryTimeoutMs: number };
  #connection: MemcachedConnection | undefined;
  /** The connection on which a server that let a timeout pass is tried. */
  #probe: MemcachedConnection | undefined;
  #probeTimer: NodeJS.Timeout | undefined;
  #downUntil = 0;
  #downBecause: MemcachedError | undefined;
  #startedAt: number | undefined;
  #uptimeFailures = 0;
  #closed = false;

  constructor(address: MemcachedAddress, options: MemcachedServerOptions = {}) {
    this.address = address;
    this.name = formatAddress(address);
    const pollTimeoutMs = options.pollTimeoutMs ?? 1000;
    this.#options = {
      connectTimeoutMs: options.connectTimeoutMs ?? 1000,
      pollTimeoutMs,
      answerTimeoutMs: options.answerTimeoutMs ?? 10 * pollTimeoutMs,
      retryTimeoutMs: options.retryTimeoutMs ?? 2000,
      maxValueSize: options.maxValueSize ?? DEFAULT_MAX_VALUE_SIZE,
      lookup: options.lookup,
    };
  }

  /** Whether calls fail at once, because the server failed and it is not yet time to try again. */
  get down(): boolean {
    const because = this.#downBecause;
    return because !== undefined && (isTimeout(because) || performance.now() < this.#downUntil);
  }

  /**
   * Looks up many keys in one round trip.
   * @param onFound gets each that is there as it comes, also of an answer that then fails: its value, or
   * ERR_MEMCACHED_VALUE when that is over the limit. It must not throw
   */
  getEach(keys: readonly string[], onFound: (key: string, found: StoredValue | MemcachedError) => void): Promise<void> {
    return this.#request<void>((resolve, reject) => {
      for (const key of keys) {
        checkKey(key);
      }
      if (keys.length === 0) {
        return resolve();
      }
      const each = (item: ValueItem): void => {
        const { key, value, flags } = item;
        onFound(key, value === undefined ? this.#tooLong(item.size, key) : { value, flags });
      };
      return getEachRequest(keys, each, resolve, reject);
    });
  }

  /**
   * Looks up one key with the `cas` that lets `cas()` replace exactly this value; undefined if it is not there. Rejects with
   * ERR_MEMCACHED_VALUE when the value is over the limit.
   */
  gets(key: string): Promise<CasValue | undefined> {
    return this.#request((resolve, reject) => {
      checkKey(key);
      const answered = (item: ValueItem | undefined): void => {
        if (item === undefined) return resolve(undefined);
        const { value, flags, cas = "" } = item;
        return value === undefined ? reject(this.#tooLong(item.size, key)) : resolve({ value, flags, cas });
      };
      return getsRequest(key, answered, reject);
    });
  }

  /** Stores whatever was there. */
  set(key: string, value: Uint8Array, options: StoreOptions = {}): Promise<StoreResult> {
    return this.#store("set", key, value, options);
  }

  /** Stores only if the key is not there: "stored" or "not-stored". */
  add(key: string, value: Uint8Array, options: StoreOptions = {}): Promise<StoreResult> {
    return this.#store("add", key, value, options);
  }

  /**
   * Stores only if the value is still the one that `gets` answered with this `cas`: "stored", "exists" when somebody
   * was faster, "not-found" when the key is gone. After a failure that can be retried, nobody knows whether it was
   * done: begin again with `gets`.
   */
  cas(key: string, value: Uint8Array, options: StoreOptions & { cas: string }): Promise<StoreResult> {
    return this.#store("cas", key, value, options);
  }

  /** True if it was there. */
  delete(key: string): Promise<boolean> {
    return this.#request((resolve, reject) => {
      checkKey(key);
      const results: Partial<Record<string, boolean>> = { deleted: true, "not-found": false };
      return lineRequest(`delete ${key}\r\n`, (reply) => results[reply.type], resolve, reject);
    });
  }

  /**
   * When the server was started, in milliseconds of this process's clock; -Infinity when it does not say. It is asked
   * once for each connection, because a server that was restarted has ended the one before. memcached's uptime begins
   * at 2 s and goes by whole seconds, so this is up to 3 s too early.
   */
  async startedAt(): Promise<number> {
    if (this.#startedAt !== undefined) return this.#startedAt;
    if (this.#uptimeFailures >= MAX_UPTIME_FAILURES) return -Infinity;
    try {
      const seconds = await this.#request<number | undefined>(uptimeRequest);
      this.#uptimeFailures = 0;
      this.#startedAt = seconds === undefined ? -Infinity : performance.now() - seconds * 1_000;
      return this.#startedAt;
    } catch (error) {
      if (!this.#closed) this.#uptimeFailures++;
      throw error;
    }
  }

  /** The version of the server, such as "1.6.18". */
  version(): Promise<string> {
    return this.#request((resolve, reject) =>
      lineRequest("version\r\n", (reply) => (reply.type === "version" ? reply.text : undefined), resolve, reject),
    );
  }

  /** Closes the connection; what is pending and what comes later fails with ERR_MEMCACHED_CLOSED. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#probeTimer);
    this.#probe?.close(this.#closedError());
    this.#connection?.close(this.#closedError());
  }

  #store(
    command: "set" | "add" | "cas",
    key: string,
    value: Uint8Array,
    { flags = 0, exptime = 0, cas }: StoreOptions & { cas?: string },
  ): Promise<StoreResult> {
    return this.#request((resolve, reject) => {
      checkKey(key);
      if (value.length > this.#options.maxValueSize) {
        throw this.#tooLong(value.length, key);
      }
      const payload = storePayload(command, key, value, { flags, exptime, ...(cas !== undefined && { cas }) });
      return lineRequest(payload, interpretStore, resolve, reject);
    });
  }

  /** `prepare` answers the request, or nothing when it has already resolved. */
  #request<T>(prepare: (resolve: (result: T) => void, reject: Reject) => Request | void): Promise<T> {
    return new Promise((resolve, reject) => {
      const request = prepare(resolve, reject);
      if (request !== undefined) {
        this.#send(request);
      }
    });
  }

  #send(request: Request): void {
    if (this.#closed) {
      request.fail(this.#closedError());
    } else if (this.#connection !== undefined) {
      this.#connection.send(request);
    } else if (this.down) {
      const seconds = this.#options.retryTimeoutMs / 1000;
      const message = `memcached ${this.name}: down, tried again every ${seconds} s since: ${this.#downBecause?.message}`;
      request.fail(new MemcachedError("ERR_MEMCACHED_DOWN", message, { canRetry: true, cause: this.#downBecause }));
    } else {
      this.#connection = this.#connect();
      this.#connection.send(request);
    }
  }

  #connect(): MemcachedConnection {
    const { name, address } = this;
    return new MemcachedConnection({ name, address, ...this.#options }, (loss) => this.#onLost(loss));
  }

  /** Asks for the version, and takes the connection for all else once it answers. */
  #startProbe(): void {
    const probe = this.#connect();
    this.#probe = probe;
    const answered = (): void => {
      // Not so when the connection was lost, which #onLost deals with. An error is an answer too.
      if (this.#probe === probe) {
        this.#probe = undefined;
        this.#connection = probe;
        this.#downBecause = undefined;
      }
    };
    probe.send(lineRequest("version\r\n", (reply) => reply.type === "version" || undefined, answered, answered));
  }

  #onLost({ error, unanswered, blame }: Loss): void {
    this.#connection = undefined;
    this.#probe = undefined;
    this.#startedAt = undefined;
    if (blame && !this.#closed) {
      this.#downBecause = error;
      this.#downUntil = performance.now() + this.#options.retryTimeoutMs;
      if (isTimeout(error)) {
        this.#probeTimer = setTimeout(() => this.#startProbe(), this.#options.retryTimeoutMs).unref();
      }
    }
    for (const request of unanswered) {
      if (!blame && request.idempotent && !request.retried && !this.#closed) {
        request.retried = true;
        this.#send(request);
      } else {
        request.fail(error);
      }
    }
  }

  #tooLong(size: number, key: string): MemcachedError {
    const value = `the value of ${JSON.stringify(key)} has ${size} bytes`;
    const message = `memcached ${this.name}: ${value}, over the limit of ${this.#options.maxValueSize}`;
    return new MemcachedError("ERR_MEMCACHED_VALUE", message, { canRetry: false });
  }

  #closedError(): MemcachedError {
    const message = `memcached ${this.name}: the client was closed`;
    return new MemcachedError("ERR_MEMCACHED_CLOSED", message, { canRetry: false });
  }
}

/** Whether it took time to see that the server is down. */
function isTimeout(error: MemcachedError): boolean {
  return error.code === "ERR_MEMCACHED_TIMEOUT";
}
