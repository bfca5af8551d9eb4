import type { MailboxEvent } from "../../events/event.ts";
import { checkKey } from "../../protocols/memcached/key.ts";
import type { MemcachedServer } from "../../protocols/memcached/server.ts";
import type { Lookups, LookupSettings } from "./lookups.ts";
import { cnOf, resolverKey, type CnKind, type Resolver } from "./resolver.ts";
import { Route } from "./route.ts";

/** Keys of one request: enough to fill a round trip, few enough that the first answers are not held up. */
const BATCH = 1_000;
/** The same of a memcached that nobody who is trusted has named. */
const POOLED_BATCH = 100;
/** Routes that nothing waits for are forgotten beyond this. */
const MAX_ROUTES = 10_000;

/** One resolver string: its memcacheds, and the users that are known there. */
export class Zone implements LookupSettings {
  readonly resolver: Resolver;
  readonly graceMs: number;
  /** Whether only those who are not trusted name it. */
  pooled: boolean;
  /** When a record named it last, in milliseconds of the process's clock. */
  usedAt = 0;
  /** By uid: who is not trusted and named it, and when last. A uid may come again as another `Writer`. */
  readonly users = new Map<number, number>();
  readonly #newLookups: (server: MemcachedServer, settings: LookupSettings) => Lookups;
  readonly #lookups = new Map<MemcachedServer, Lookups>();
  readonly #routes: Readonly<Record<CnKind, Map<string, Route>>> = { username: new Map(), email: new Map() };

  /** @param newLookups called once for each memcached, when it is first needed */
  constructor(
    resolver: Resolver,
    settings: { graceMs: number; pooled: boolean },
    newLookups: (server: MemcachedServer, settings: LookupSettings) => Lookups,
  ) {
    this.resolver = resolver;
    this.graceMs = settings.graceMs;
    this.pooled = settings.pooled;
    this.#newLookups = newLookups;
  }

  get batch(): number {
    return this.pooled ? POOLED_BATCH : BATCH;
  }

  get blamed(): number | undefined {
    if (!this.pooled || this.users.size !== 1) return undefined;
    const [only] = this.users.keys();
    return only;
  }

  /** Whether nothing waits for its memcacheds. */
  get idle(): boolean {
    for (const lookups of this.#lookups.values()) if (!lookups.idle) return false;
    return true;
  }

  /** Those of its memcacheds that were needed. */
  get lookups(): Iterable<Lookups> {
    return this.#lookups.values();
  }

  /** @throws MemcachedError ERR_MEMCACHED_KEY or OcnotifyError ERR_CN for a user that cannot be looked up */
  route({ user }: MailboxEvent, kind: CnKind): Route {
    const routes = this.#routes[kind];
    const known = routes.get(user);
    if (known !== undefined) return known;

    const cn = cnOf(user, kind);
    const key = resolverKey(cn);
    const { pool } = this.resolver;
    checkKey(pool.wireKey(key));
    const server = pool.serverFor(key);
    let lookups = this.#lookups.get(server);
    if (lookups === undefined) {
      lookups = this.#newLookups(server, this);
      this.#lookups.set(server, lookups);
    }
    const route = new Route(cn, this.resolver, lookups);
    if (routes.size >= MAX_ROUTES) forgetIdle(routes);
    routes.set(user, route);
    return route;
  }

  close(): void {
    for (const lookups of this.#lookups.values()) lookups.close();
    this.resolver.close();
  }
}

/** Half of them, so that this is seldom; a route for which something waits has to stay. */
function forgetIdle(routes: Map<string, Route>): void {
  let count = 0;
  for (const [user, route] of routes) {
    if (!route.queued) routes.delete(user);
    count++;
    if (count >= MAX_ROUTES / 2) break;
  }
}
