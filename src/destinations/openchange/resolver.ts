import type { LookupFunction } from "node:net";
import { OcnotifyError } from "../../errors.ts";
import { parseConfigString, type ConfigStringOptions } from "../../protocols/memcached/config-string.ts";
import { changeValue, MAX_CHANGE_ROUNDS } from "../../protocols/memcached/change-value.ts";
import { MemcachedError } from "../../protocols/memcached/errors.ts";
import { MemcachedPool } from "../../protocols/memcached/pool.ts";
import { charset, type Charset } from "./codec/charset.ts";
import { decodeResolverRecord, distinctHosts, encodeResolverRecord, spelledHosts } from "./codec/resolver-record.ts";

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
  /** The longest record in bytes; 8 MiB by default. */
  maxRecordSize?: number;
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
    const { lookup, maxRecordSize: maxValueSize } = options;
    this.pool = new MemcachedPool(parseConfigString(configuration, options), {
      lookup,
      ...(maxValueSize !== undefined && { maxValueSize }),
    });
  }

  /**
   * The addresses registered for a user, each once; none when nobody is.
   * @throws MemcachedError when the memcached of this key gives no answer; OcnotifyError ERR_RESOLVER_RECORD when
   * the record is too long or does not decode
   */
  async hosts(cn: string): Promise<string[]> {
    const key = resolverKey(cn);
    const found = await this.pool
      .serverFor(key)
      .gets(this.pool.wireKey(key))
      .catch((error: unknown) => {
        throw namingUser(cn, error);
      });
    return found === undefined ? [] : distinctHosts(decodeHosts(cn, found.value, this.#strings));
  }

  /**
   * Which of these hosts are not in the record of the user for whom they are asked for. None of a user whose record cannot be
   * read, or whose memcached was started less than `graceMs` ago: the host may only not have registered again. Never rejects.
   * @param asked hosts by the user's name
   */
  async unregistered(
    asked: ReadonlyMap<string, ReadonlySet<string>>,
    graceMs: number,
  ): Promise<Map<string, ReadonlySet<string>>> {
    const cnsOf = new Map<string, string[]>();
    for (const cn of asked.keys()) {
      const key = resolverKey(cn);
      cnsOf.set(key, [...(cnsOf.get(key) ?? []), cn]);
    }
    const unregistered = new Map(asked);
    const askedMs = performance.now();
    const failures = await this.pool.getEach([...cnsOf.keys()], (key, value) => {
      const spelled = spelledHosts(value);
      const registered = spelled && new Set(spelled);
      for (const cn of cnsOf.get(key) ?? []) {
        const missing = [...(asked.get(cn) ?? [])].filter((host) => registered?.has(this.#spelled(host)) === false);
        if (missing.length > 0) unregistered.set(cn, new Set(missing));
        else unregistered.delete(cn);
      }
    });
    for (const [key, cns] of cnsOf) {
      if (!cns.some((cn) => unregistered.has(cn))) continue;
      const isKnown = !failures.has(key) && (graceMs === 0 || askedMs - (await this.#startOf(key)) >= graceMs);
      if (!isKnown) for (const cn of cns) unregistered.delete(cn);
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

  /** One byte in a character. */
  #spelled(host: string): string {
    return this.#strings.encode(host, "host").toString("latin1");
  }

  /** When the memcached of a key was started; as if just now when it gives no answer. */
  #startOf(key: string): Promise<number> {
    return this.pool
      .serverFor(key)
      .startedAt()
      .catch(() => Infinity);
  }

  /** @returns whether the record had to be changed */
  async #change(cn: string, change: (hosts: string[]) => string[]): Promise<boolean> {
    const changed = await changeValue(this.pool, resolverKey(cn), (value) => {
      const before = value === undefined ? [] : decodeHosts(cn, value, this.#strings);
      const after = change(before);
      return after === before
        ? undefined
        : { value: encodeResolverRecord(after, this.#strings), empty: after.length === 0 };
    }).catch((error: unknown) => {
      throw namingUser(cn, error);
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
function decodeHosts(cn: string, value: Buffer, strings: Charset): string[] {
  try {
    return decodeResolverRecord(value, strings);
  } catch (error) {
    throw undecodable(cn, value, error as Error);
  }
}

/** The error for a record that does not decode. */
export function undecodable(cn: string, value: Buffer, cause: Error): OcnotifyError {
  const bytes = value.length > 64 ? `${value.toString("hex", 0, 64)}…` : value.toString("hex");
  return new OcnotifyError(
    "ERR_RESOLVER_RECORD",
    `the resolver's record for ${cn} is not one of version 1 (${cause.message}): ${bytes}. ` +
      `If nothing else uses that key, clear it: ocnotify flush --username ${cn}`,
    { cause },
  );
}

/** The error for a record that is too long; any other error as it is. */
export function namingUser(cn: string, error: unknown): unknown {
  if (!(error instanceof MemcachedError) || error.code !== "ERR_MEMCACHED_VALUE") return error;
  return new OcnotifyError(
    "ERR_RESOLVER_RECORD",
    `the resolver's record for ${cn} is too long (${error.message}): too many hosts are in it that never unregistered, or ` +
      `it is none. Clear it: ocnotify flush --username ${cn}`,
    { cause: error },
  );
}
