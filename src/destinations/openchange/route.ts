import type { EventRecord } from "../../delivery/destination.ts";
import { NOBODY, type HostList } from "./host-lists.ts";
import type { Lookups } from "./lookups.ts";
import { resolverKey, type Resolver } from "./resolver.ts";

/** One event on its way to the hosts of its user. */
export interface Job {
  readonly record: EventRecord;
  readonly route: Route;
  /** Hosts for which it has not been encoded yet. */
  unencoded: number;
}

/**
 * A look-up answers for every change that had been seen before it was asked, but not for long: a host that was taken out
 * of the record meanwhile should not be told.
 */
const VALID_MS = 200;

/** One user as a resolver knows him: where his key is, what waits for its look-up, and what the last one said. */
export class Route {
  /** The user's name in the resolver. */
  readonly cn: string;
  readonly resolver: Resolver;
  readonly lookups: Lookups;
  /** Hardly ever more than one, so it is an array that needs no room while it is empty. */
  readonly waiting: Job[] = [];
  /** Whether `lookups` has it in its queue, or has asked for it. */
  queued = false;
  /** Since when, in milliseconds of the process's clock. */
  queuedAt = 0;
  /** Whether it waits to be asked for once more, because nobody was found in a memcached that was just restarted. */
  again = false;
  /** How many of `waiting` the request that is under way is for. */
  asked = 0;
  #list: HostList = NOBODY;
  #askedAt = -Infinity;

  constructor(cn: string, resolver: Resolver, lookups: Lookups) {
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
   * Whether the last look-up answers, now, for a change that was seen at `seenAt`; both by the process's clock, since when
   * a change happened is said by another. What waits goes first: a user's changes stay in order.
   */
  answersFor(seenAt: number, now: number): boolean {
    return !this.queued && seenAt <= this.#askedAt && now - this.#askedAt < VALID_MS;
  }

  /** Takes back those that wait and for which `test` holds. */
  takeIf(test: (job: Job) => boolean): Job[] {
    const taken: Job[] = [];
    if (!this.waiting.some(test)) return taken;
    for (const job of this.waiting.splice(0)) (test(job) ? taken : this.waiting).push(job);
    return taken;
  }

  /**
   * Takes the answer to a look-up.
   * @param askedAt when it was asked, in milliseconds of the process's clock
   */
  answer(list: HostList, askedAt: number): void {
    this.#list = list;
    this.#askedAt = askedAt;
  }

  /** Of a long record, the answer is for those only who waited for it: there are many routes, and each would hold its list. */
  forgetLong(): void {
    if (this.#list.short) return;
    this.#list = NOBODY;
    this.#askedAt = -Infinity;
  }
}
