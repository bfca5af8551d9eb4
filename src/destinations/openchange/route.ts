import type { EventRecord } from "../../journal/stretch.ts";
import { Queue } from "../../queue.ts";
import { distinctHosts } from "./codec/resolver-record.ts";
import type { Lookups } from "./lookups.ts";
import { decodeHosts, type Resolver } from "./resolver.ts";

/** One event on its way to the hosts of its user. */
export interface Job {
  readonly record: EventRecord;
  readonly route: Route;
  /** When the change happened, in microseconds of unix time. */
  readonly ts: number;
  /** Hosts for which it has not been encoded yet. */
  unencoded: number;
}

/**
 * A look-up answers for every change before it, but not for long: a host that was taken out of the record meanwhile
 * should not be told. In microseconds.
 */
const VALID_US = 200_000;

/** One user as a resolver knows him: where his key is, what waits for its look-up, and what the last one said. */
export class Route {
  /** The user's name in the resolver. */
  readonly cn: string;
  /** The key as memcached sees it, with its namespace. */
  readonly key: string;
  readonly resolver: Resolver;
  readonly lookups: Lookups;
  readonly waiting = new Queue<Job>();
  /** Whether `lookups` has it in its queue, or has asked for it. */
  queued = false;
  /** How many of `waiting` the request that is under way is for. */
  asked = 0;
  #hosts: readonly string[] = [];
  #value: Buffer | undefined;
  #askedAt = -1;

  constructor(cn: string, key: string, resolver: Resolver, lookups: Lookups) {
    this.cn = cn;
    this.key = key;
    this.resolver = resolver;
    this.lookups = lookups;
  }

  /** The addresses that the last look-up gave, each once. */
  get hosts(): readonly string[] {
    return this.#hosts;
  }

  /** Whether the key was there at the last look-up. */
  get registered(): boolean {
    return this.#value !== undefined;
  }

  /**
   * Whether the last look-up answers for a change at `ts`, now. Both in microseconds of unix time. What waits goes
   * first: a user's changes stay in order.
   */
  answersFor(ts: number, now: number): boolean {
    return !this.queued && ts <= this.#askedAt && now - this.#askedAt < VALID_US;
  }

  /**
   * Takes the answer to a look-up.
   * @param value undefined for a key that is not there
   * @param askedAt when it was asked, in microseconds of unix time
   * @throws OcnotifyError ERR_RESOLVER_RECORD when the value does not decode; then there are no hosts
   */
  answer(value: Buffer | undefined, askedAt: number): void {
    this.#askedAt = askedAt;
    if (value !== undefined && this.#value?.equals(value) === true) return;
    this.#hosts = [];
    // A copy: the value shares its memory with everything that was received with it.
    this.#value = value === undefined ? undefined : Buffer.from(value);
    if (this.#value === undefined) return;
    try {
      this.#hosts = distinctHosts(decodeHosts(this.cn, this.#value));
    } catch (error) {
      // Not remembered, so that the next look-up says it again.
      this.#value = undefined;
      this.#askedAt = -1;
      throw error;
    }
  }
}
