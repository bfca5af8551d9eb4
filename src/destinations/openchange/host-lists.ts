import type { Charset } from "./codec/charset.ts";
import { decodeLastHosts, type LastHosts } from "./codec/resolver-record.ts";
import { undecodable } from "./resolver.ts";

/** The most hosts of one record that are notified: those that registered last. */
const MAX_HOSTS = 1_024;
/** More than there are servers on a large site; a few MB. */
const MAX_LISTS = 16_384;
/** A longer record is of a user with many hosts, and hardly another's too. */
const MAX_LENGTH = 512;

/** The hosts of one record that are notified. */
export interface HostList extends LastHosts {
  /** Whether a route may remember it: the lists of all routes together must not take much memory. */
  readonly short: boolean;
}

/** Nobody is registered. */
export const NOBODY: HostList = { hosts: [], omitted: 0, short: true };

/**
 * The hosts of resolver records, decoded once for all users who have the same: there are many users at each host, and
 * each is looked up again and again.
 */
export class HostLists {
  /** By the record's bytes, one in a character. */
  readonly #known = new Map<string, HostList>();
  readonly #strings: Charset;

  /** @param strings the servers' "dos charset" */
  constructor(strings: Charset) {
    this.#strings = strings;
  }

  /**
   * Each host of the record once, the last 1,024 of them; do not change the array.
   * @param cn whose record it is, for the error
   * @throws OcnotifyError ERR_RESOLVER_RECORD when the value does not decode
   */
  of(cn: string, value: Buffer): HostList {
    if (value.length > MAX_LENGTH) return this.#decode(cn, value);
    const bytes = value.toString("latin1");
    const known = this.#known.get(bytes);
    if (known !== undefined) return known;
    const list = this.#decode(cn, value);
    if (this.#known.size >= MAX_LISTS) {
      const oldest = this.#known.keys().next();
      if (oldest.done !== true) this.#known.delete(oldest.value);
    }
    this.#known.set(bytes, list);
    return list;
  }

  #decode(cn: string, value: Buffer): HostList {
    try {
      return { ...decodeLastHosts(value, this.#strings, MAX_HOSTS), short: value.length <= MAX_LENGTH };
    } catch (error) {
      throw undecodable(cn, value, error as Error);
    }
  }
}
