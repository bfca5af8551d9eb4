import { MemcachedError } from "./errors.ts";
import { checkKey } from "./key.ts";
import { createPlacement, type Placement } from "./placement.ts";
import type { PoolConfig } from "./pool-config.ts";
import { MemcachedServer, type MemcachedServerOptions } from "./server.ts";

/** The answers to `getMany`. A miss is in neither map. */
export interface PoolValues {
  /** Shares memory with what was received; copy a value to keep it for long. */
  values: Map<string, Buffer>;
  /** The keys that nobody could be asked for, or whose values are too long, with the reason. */
  failures: Map<string, MemcachedError>;
}

/** Bytes of all values together that `getMany` holds. */
const MAX_HELD = 64 * 1024 * 1024;

/**
 * The memcacheds of one configuration string. Keys are given without the namespace. A server that is down fails its own
 * keys only; they are never looked for on another.
 */
export class MemcachedPool {
  readonly config: PoolConfig;
  readonly servers: readonly MemcachedServer[];
  readonly #first: MemcachedServer;
  readonly #place: Placement;

  /** @throws MemcachedError ERR_MEMCACHED_CONFIG if the configuration has no server */
  constructor(config: PoolConfig, options: Pick<MemcachedServerOptions, "maxValueSize" | "lookup"> = {}) {
    this.config = config;
    const { connectTimeoutMs, pollTimeoutMs, retryTimeoutMs } = config;
    this.servers = config.servers.map(
      (server) => new MemcachedServer(server, { connectTimeoutMs, pollTimeoutMs, retryTimeoutMs, ...options }),
    );
    const [first] = this.servers;
    if (first === undefined) {
      throw new MemcachedError("ERR_MEMCACHED_CONFIG", "memcached: a pool without a server", { canRetry: false });
    }
    this.#first = first;
    this.#place = createPlacement(config);
  }

  /** The server on which libmemcached looks for this key. */
  serverFor(key: string): MemcachedServer {
    return this.servers[this.#place(key)] ?? this.#first;
  }

  /** The key as the server knows it: with the namespace before it. */
  wireKey(key: string): string {
    return this.config.namespace + key;
  }

  /**
   * Looks up many keys, in one round trip to each server, all at once. Never rejects. Values beyond 64 MiB together fail
   * with ERR_MEMCACHED_VALUE: where there may be more, use `getEach`.
   */
  async getMany(keys: readonly string[]): Promise<PoolValues> {
    const values = new Map<string, Buffer>();
    let held = 0;
    const beyond: string[] = [];
    const failures = await this.getEach(keys, (key, value) => {
      held += value.length;
      if (held > MAX_HELD) beyond.push(key);
      else values.set(key, value);
    });
    for (const key of beyond) {
      const message = `memcached: the values of ${keys.length} keys have over ${MAX_HELD} bytes together: ${JSON.stringify(key)} is left out`;
      failures.set(key, new MemcachedError("ERR_MEMCACHED_VALUE", message, { canRetry: false }));
    }
    return { values, failures };
  }

  /**
   * The same, without holding the values.
   * @param onValue gets each value as it comes; it must not throw
   * @returns the keys that nobody could be asked for, or whose values are too long, with the reason
   */
  async getEach(
    keys: readonly string[],
    onValue: (key: string, value: Buffer) => void,
  ): Promise<Map<string, MemcachedError>> {
    const failures = new Map<string, MemcachedError>();
    const groups = new Map<MemcachedServer, string[]>();
    const { namespace } = this.config;
    for (const key of keys) {
      try {
        checkKey(key, namespace);
      } catch (error) {
        failures.set(key, asMemcachedError(error));
        continue;
      }
      const server = this.serverFor(key);
      const group = groups.get(server);
      if (group === undefined) {
        groups.set(server, [namespace + key]);
      } else {
        group.push(namespace + key);
      }
    }
    await Promise.all(
      Array.from(groups, async ([server, wireKeys]) => {
        const unanswered = new Set(wireKeys);
        try {
          await server.getEach(wireKeys, (wireKey, found) => {
            unanswered.delete(wireKey);
            const key = wireKey.slice(namespace.length);
            if (found instanceof MemcachedError) failures.set(key, found);
            else onValue(key, found.value);
          });
        } catch (error) {
          const failure = asMemcachedError(error);
          for (const key of unanswered) {
            failures.set(key.slice(namespace.length), failure);
          }
        }
      }),
    );
    return failures;
  }

  /** Closes every connection; what is pending and what comes later fails with ERR_MEMCACHED_CLOSED. */
  close(): void {
    for (const server of this.servers) {
      server.close();
    }
  }
}

/** A fault of the program is passed on as it is. */
function asMemcachedError(error: unknown): MemcachedError {
  if (error instanceof MemcachedError) {
    return error;
  }
  throw error;
}
