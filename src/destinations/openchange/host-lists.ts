import type { Charset } from "./codec/charset.ts";
import { distinctHosts } from "./codec/resolver-record.ts";
import { decodeHosts } from "./resolver.ts";

/** More than there are servers on a large site; a few MB. */
const MAX_LISTS = 16_384;
/** A longer record is of a user with many hosts, and hardly another's too. */
const MAX_LENGTH = 512;

/** Nobody is registered. */
export const NOBODY: readonly string[] = [];

/**
 * The hosts of resolver records, decoded once for all users who have the same: there are many users at each host, and
 * each is looked up again and again.
 */
export class HostLists {
  /** By the record's bytes, one in a character. */
  readonly #known = new Map<string, readonly string[]>();
  readonly #strings: Charset;

  /** @param strings the servers' "dos charset" */
  constructor(strings: Charset) {
    this.#strings = strings;
  }

  /**
   * Each host of the record once; do not change the array.
   * @param cn whose record it is, for the error
   * @throws OcnotifyError ERR_RESOLVER_RECORD when the value does not decode
   */
  of(cn: string, value: Buffer): readonly string[] {
    if (value.length > MAX_LENGTH) return distinctHosts(decodeHosts(cn, value, this.#strings));
    const bytes = value.toString("latin1");
    const known = this.#known.get(bytes);
    if (known !== undefined) return known;
    const hosts = distinctHosts(decodeHosts(cn, value, this.#strings));
    if (this.#known.size >= MAX_LISTS) {
      const oldest = this.#known.keys().next();
      if (oldest.done !== true) this.#known.delete(oldest.value);
    }
    this.#known.set(bytes, hosts);
    return hosts;
  }
}
