import type { LookupFunction } from "node:net";
import { OcnotifyError } from "../../errors.ts";
import { parseConfigString, type ConfigStringOptions } from "../../protocols/memcached/config-string.ts";
import { changeValue, MAX_CHANGE_ROUNDS } from "../../protocols/memcached/change-value.ts";
import { MemcachedPool } from "../../protocols/memcached/pool.ts";
import { charset, type Charset } from "./codec/charset.ts";
import { decodeResolverRecord, distinctHosts, encodeResolverRecord } from "./codec/resolver-record.ts";

const KEY_PREFIX = "resolver:";

/** The part of a user's name that the resolver knows him by: `openchange_cn`. */
export type CnKind = "username" | "email";

/**
 * The name looked up for a user: the whole of it (`email`), or its first part between `@`s (`username`), which of `@lead`
 * is `lead`, as strtok(3) has it. Empty for a user of nothing but `@`s.
 */
export function cnOf(user: string, kind: CnKind): string {
  if (kind === "email") return user;
  return user.split("@").find((part) => part !== "") ?? "";
}

/**
 * The resolver's key for a name. Servers lower its ASCII letters and no others.
 * @throws OcnotifyError ERR_CN for the empty name, under which no server registers
 */
export function resolverKey(cn: string): string {
  if (cn === "") throw new OcnotifyError("ERR_CN", "the empty name cannot be registered: say which user is meant");
  return KEY_PREFIX + (/[A-Z]/.test(cn) ? cn.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase()) : cn);
}

export interface ResolverOptions extends ConfigStringOptions {
  /** The servers' "dos charset", in which hosts are written; cp850 by default. */
  charset?: string;
  /** How names of memcacheds are looked up; Node's own way by default. */
  lookup?: LookupFunction;
}

/**
 * The resolver: which servers hold a session of a user, as OpenChange keeps it in memcached. Registering and
 * unregistering are safe beside any number of others who do the same.
 */
export class Resolver {
  readonly pool: MemcachedPool;
  readonly #strings: Charset;

  /**
   * @param configuration a libmemcached configuration string
   * @param options `readFile` reads the files that it names; leave it out for a string that comes from elsewhere
   * @throws MemcachedError ERR_MEMCACHED_CONFIG when it is wrong, ERR_MEMCACHED_CONFIG_FILE when it names a file in vain;
   * OcnotifyError ERR_CHARSET
   */
  constructor(configuration: string, options: ResolverOptions = {}) {
    this.#strings = charset(options.charset);
    this.pool = new MemcachedPool(parseConfigString(configuration, options), { lookup: options.lookup });
  }

  /**
   * The addresses registered for a user, each once; none when nobody is.
   * @throws MemcachedError when the memcached of this key gives no answer; OcnotifyError ERR_RESOLVER_RECORD when
   * the record does not decode
   */
  async hosts(cn: string): Promise<string[]> {
    const key = resolverKey(cn);
    const found = await this.pool.serverFor(key).gets(this.pool.wireKey(key));
    return found === undefined ? [] : distinctHosts(decodeHosts(cn, found.value, this.#strings));
  }

  /**
   * Which of these users have not got this host in their record. Not those whose memcached was started less than
   * `graceMs` ago: the host may only not have registered again.
   * @throws MemcachedError when one of their memcacheds gives no answer, OcnotifyError ERR_RESOLVER_RECORD
   */
  async unregisteredAt(host: string, cns: readonly string[], graceMs: number): Promise<ReadonlySet<string>> {
    const keys = cns.map((cn) => [resolverKey(cn), cn] as const);
    const askedMs = performance.now();
    const { values, failures } = await this.pool.getMany(keys.map(([key]) => key));
    for (const error of failures.values()) throw error;
    const unregistered = new Set<string>();
    for (const [key, cn] of keys) {
      const value = values.get(key);
      if (value !== undefined && decodeHosts(cn, value, this.#strings).includes(host)) continue;
      if (graceMs === 0 || askedMs - (await this.pool.serverFor(key).startedAt()) >= graceMs) unregistered.add(cn);
    }
    return unregistered;
  }

  /** Adds a host to a user's record, once. @throws as `hosts` does, and ERR_RESOLVER_CONTENTION */
  async register(cn: string, host: string): Promise<void> {
    await this.#change(cn, (hosts) => (hosts.includes(host) ? hosts : [...hosts, host]));
  }

  /**
   * Takes a host out of a user's record; the last one leaving deletes the record.
   * @returns whether it was there
   * @throws as `register` does
   */
  async unregister(cn: string, host: string): Promise<boolean> {
    return (await this.unregisterAll(cn, new Set([host]))).length > 0;
  }

  /**
   * The same with several hosts, in one change.
   * @returns those that were there
   * @throws as `register` does
   */
  async unregisterAll(cn: string, gone: ReadonlySet<string>): Promise<string[]> {
    let removed: string[] = [];
    await this.#change(cn, (hosts) => {
      removed = distinctHosts(hosts.filter((host) => gone.has(host)));
      return removed.length === 0 ? hosts : hosts.filter((host) => !gone.has(host));
    });
    return removed;
  }

  /** Deletes a user's record with all its hosts. @returns whether there was one */
  async flush(cn: string): Promise<boolean> {
    const key = resolverKey(cn);
    return await this.pool.serverFor(key).delete(this.pool.wireKey(key));
  }

  close(): void {
    this.pool.close();
  }

  /** @returns whether the record had to be changed */
  async #change(cn: string, change: (hosts: string[]) => string[]): Promise<boolean> {
    const changed = await changeValue(this.pool, resolverKey(cn), (value) => {
      const before = value === undefined ? [] : decodeHosts(cn, value, this.#strings);
      const after = change(before);
      return after === before
        ? undefined
        : { value: encodeResolverRecord(after, this.#strings), empty: after.length === 0 };
    });
    if (changed !== undefined) return changed;
    throw new OcnotifyError(
      "ERR_RESOLVER_CONTENTION",
      `the resolver's record for ${cn} was changed by others ${MAX_CHANGE_ROUNDS} times in a row. Try again`,
      { canRetry: true },
    );
  }
}

/** The hosts of a record's bytes. @throws OcnotifyError ERR_RESOLVER_RECORD, which names the user and the bytes */
export function decodeHosts(cn: string, value: Buffer, strings: Charset): string[] {
  try {
    return decodeResolverRecord(value, strings);
  } catch (error) {
    const bytes = value.length > 64 ? `${value.toString("hex", 0, 64)}…` : value.toString("hex");
    throw new OcnotifyError(
      "ERR_RESOLVER_RECORD",
      `the resolver's record for ${cn} is not one of version 1 (${(error as Error).message}): ${bytes}. ` +
        `If nothing else uses that key, clear it: ocnotify flush --username ${cn}`,
      { cause: error },
    );
  }
}
