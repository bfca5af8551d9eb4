import type { EventRecord } from "../../delivery/destination.ts";
import { Lane } from "../../delivery/lane.ts";
import type { MemcachedServer } from "../../protocols/memcached/server.ts";
import { NOBODY, type HostList } from "./host-lists.ts";
import { resolverKey, type Resolver } from "./resolver.ts";

/** One event on its way to the hosts of its user. */
export interface Job {
  readonly record: EventRecord;
  readonly route: Route;
  /** Hosts for which it has not been encoded yet. */
  unencoded: number;
}

/** Where a route is looked up: what a job needs to know of the `Lookups` of its memcached. */
export interface LookupQueue {
  readonly server: Pick<MemcachedServer, "name">;
  /** Whether the last try got no reply. */
  readonly failing: boolean;
  push(job: Job): void;
}

/**
 * The result of a look-up holds for every change that had been seen before it was asked, and for this long: a host that is
 * taken out of the record should not be notified much later.
 */
const VALID_MS = 200;

/** One user as a resolver knows it: where its key is, what waits for its look-up, and what the last one found. */
export class Route {
  /** The user's name in the resolver. */
  readonly cn: string;
  readonly resolver: Resolver;
  readonly lookups: LookupQueue;
  readonly waiting = new Lane<Job>();
  /** Whether `lookups` has it in its queue, or has asked for it. */
  queued = false;
  /** Since when it is queued, in milliseconds of the process's clock. */
  queuedAtMs = 0;
  /** Whether it waits to be asked for once more, because nobody was found in a memcached that was just restarted. */
  again = false;
  /** How many of `waiting` the request that is under way is for. */
  asked = 0;
  #list: HostList = NOBODY;
  #askedAtMs = -Infinity;

  constructor(cn: string, resolver: Resolver, lookups: LookupQueue) {
    this.cn = cn;
    this.resolver = resolver;
    this.lookups = lookups;
  }

  /** The key as memcached sees it, with its namespace. Made when it is needed: there is a route for each user. */
  get key(): string {
    return this.resolver.pool.wireKey(resolverKey(this.cn));
  }

  /** The addresses that the last look-up gave, each once. */
  get hosts(): readonly string[] {
    return this.#list.hosts;
  }

  /**
   * Whether the hosts of the last look-up are, at `nowMs`, those of a change that was seen at `seenAtMs`; both by the process's
   * clock, because a change's date is of another. Never while something waits: a user's changes stay in order.
   */
  answersFor(seenAtMs: number, nowMs: number): boolean {
    return !this.queued && seenAtMs <= this.#askedAtMs && nowMs - this.#askedAtMs < VALID_MS;
  }

  /**
   * Takes the result of a look-up.
   * @param askedAtMs when the request was sent, in milliseconds of the process's clock
   */
  answer(list: HostList, askedAtMs: number): void {
    this.#list = list;
    this.#askedAtMs = askedAtMs;
  }

  /** Forgets the hosts of a long record: there are many routes, and each would hold its own list. */
  forgetLong(): void {
    if (this.#list.short) return;
    this.#list = NOBODY;
    this.#askedAtMs = -Infinity;
  }
}
