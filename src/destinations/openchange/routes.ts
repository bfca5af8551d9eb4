import { OcnotifyError } from "../../errors.ts";
import type { MailboxEvent } from "../../event.ts";
import type { NameLookups } from "../../name-lookups.ts";
import { checkKey } from "../../protocols/memcached/key.ts";
import type { MemcachedServer } from "../../protocols/memcached/server.ts";
import { charset } from "./codec/charset.ts";
import { HostLists } from "./host-lists.ts";
import { Lookups, type LookupEvents } from "./lookups.ts";
import { cnOf, Resolver, resolverKey, type CnKind } from "./resolver.ts";
import { Route } from "./route.ts";

/** Resolver strings come with the records: no more than this many are kept open. */
const MAX_RESOLVERS = 64;
/** What such a string may ask for: to make the rings of many servers, and to wait for them, takes time from all others. */
const RECORD_LIMITS = { maxServers: 64, maxTimeoutMs: 2_000 } as const;
/** Routes that nothing waits for are forgotten beyond this. */
const MAX_ROUTES = 10_000;

/** One resolver string: its servers, and the users that are known there. */
interface Zone {
  readonly resolver: Resolver;
  readonly routes: Readonly<Record<CnKind, Map<string, Route>>>;
}

export interface RouteDefaults {
  /** For events that name none. */
  readonly resolver: string;
  readonly cn: CnKind;
  /** The "dos charset" of all servers. */
  readonly charset: string;
  /** How long after a memcached's start a user who is not found there is looked up again. */
  readonly restartGraceMs: number;
  /** Looks up the names of memcacheds. */
  readonly names: NameLookups;
}

/** Finds the route of an event, and makes what is missing for it. */
export class Routes {
  readonly #defaults: RouteDefaults;
  readonly #events: LookupEvents;
  readonly #zones = new Map<string, Zone | Error>();
  readonly #hostLists: HostLists;
  readonly #lookups = new Map<MemcachedServer, Lookups>();

  /**
   * @param readFile for files that the default resolver string names; one that comes with a record reads none
   * @throws MemcachedError ERR_MEMCACHED_CONFIG when the default resolver string is wrong, OcnotifyError ERR_CHARSET
   */
  constructor(defaults: RouteDefaults, events: LookupEvents, readFile: (path: string) => string) {
    this.#defaults = defaults;
    this.#events = events;
    this.#hostLists = new HostLists(charset(defaults.charset));
    const options = { readFile, charset: defaults.charset, lookup: defaults.names.for("resolver") };
    this.#zones.set(defaults.resolver, zoneOf(new Resolver(defaults.resolver, options)));
  }

  /**
   * @throws MemcachedError ERR_MEMCACHED_CONFIG for a resolver string, ERR_MEMCACHED_KEY or OcnotifyError ERR_CN for a user
   * that cannot be looked up, OcnotifyError ERR_RESOLVERS for one resolver string too many
   */
  of(event: MailboxEvent): Route {
    const { user } = event;
    const kind = event.cn ?? this.#defaults.cn;
    const { resolver, routes } = this.#zone(event.resolver ?? this.#defaults.resolver);
    const known = routes[kind].get(user);
    if (known !== undefined) return known;

    const cn = cnOf(user, kind);
    const key = resolverKey(cn);
    checkKey(resolver.pool.wireKey(key));
    const server = resolver.pool.serverFor(key);
    let lookups = this.#lookups.get(server);
    if (lookups === undefined) {
      lookups = new Lookups(server, this.#hostLists, this.#events, this.#defaults.restartGraceMs);
      this.#lookups.set(server, lookups);
    }
    const route = new Route(cn, resolver, lookups);
    if (routes[kind].size >= MAX_ROUTES) forgetIdle(routes[kind]);
    routes[kind].set(user, route);
    return route;
  }

  close(): void {
    for (const lookups of this.#lookups.values()) lookups.close();
    for (const zone of this.#zones.values()) if (!(zone instanceof Error)) zone.resolver.close();
  }

  #zone(configuration: string): Zone {
    let zone = this.#zones.get(configuration);
    if (zone === undefined) {
      if (this.#zones.size >= MAX_RESOLVERS) {
        throw new OcnotifyError(
          "ERR_RESOLVERS",
          `records name more than ${MAX_RESOLVERS} different resolver strings, and only the first are used`,
        );
      }
      try {
        const { charset: dosCharset, names } = this.#defaults;
        const lookup = names.for(`resolver ${configuration}`);
        zone = zoneOf(new Resolver(configuration, { ...RECORD_LIMITS, charset: dosCharset, lookup }));
      } catch (error) {
        zone = error as Error;
      }
      this.#zones.set(configuration, zone);
    }
    if (zone instanceof Error) throw zone;
    return zone;
  }
}

function zoneOf(resolver: Resolver): Zone {
  return { resolver, routes: { username: new Map(), email: new Map() } };
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
