import { OcnotifyError } from "../../errors.ts";
import type { MailboxEvent } from "../../events/event.ts";
import type { NameLookups } from "../../name-lookups.ts";
import type { Writer } from "../../delivery/destination.ts";
import { charset } from "./codec/charset.ts";
import { HostLists } from "./host-lists.ts";
import { Lookups, type LookupEvents } from "./lookups.ts";
import { Resolver, type CnKind, type ResolverOptions } from "./resolver.ts";
import type { Route } from "./route.ts";
import { Zone } from "./zone.ts";

/** Resolver strings come with the records: of those that trusted writers name, at most this many are in use at once. */
const MAX_NAMED = 64;
/** Of those that only others name: this many at once, of one writer two, since an operator may change the string. */
const MAX_POOLED = 8;
const MAX_POOLED_OF_ONE = 2;
/** What such a string may ask for: to make the rings of many servers, and to wait for them, takes time from all others. */
const RECORD_LIMITS = { maxServers: 64, maxTimeoutMs: 2_000 } as const;
/** A string that was not named for this long makes room for another. */
const UNUSED_MS = 60_000;
/** After this its connections are closed. */
const CLOSE_AFTER_MS = 10 * 60_000;
/** Bytes. 1,024 hosts, as many as are notified, with 255 bytes each; one that is longer fails its user alone. */
const MAX_RECORD = 256 * 1024;

export interface RouteDefaults {
  /** For events that name none. */
  readonly resolver: string;
  /** Further strings that everybody's records may name. */
  readonly resolvers: readonly string[];
  readonly cn: CnKind;
  /** The "dos charset" of all servers. */
  readonly charset: string;
  /** How long after a memcached's start a user who is not found there is looked up again. */
  readonly restartGraceMs: number;
  /** Looks up the names of memcacheds. */
  readonly names: NameLookups;
}

/**
 * Finds the route of an event, and makes what is missing for it. Whoever writes records may name a memcached: one that the
 * configuration or a trusted writer names serves everybody, those of all others share a few places.
 */
export class Routes {
  readonly #defaults: RouteDefaults;
  readonly #events: LookupEvents;
  readonly #hostLists: HostLists;
  /** Zones by their strings: those of the configuration, those that trusted writers name, and the others. */
  readonly #own = new Map<string, Zone>();
  readonly #named = new Map<string, Zone>();
  readonly #pooled = new Map<string, Zone>();
  readonly #sweeping: NodeJS.Timeout;

  /**
   * @param readFile for files that a string of the configuration names; one that comes with a record reads none
   * @throws MemcachedError ERR_MEMCACHED_CONFIG when a string of the configuration is wrong, OcnotifyError ERR_CHARSET
   */
  constructor(defaults: RouteDefaults, events: LookupEvents, readFile: (path: string) => string) {
    this.#defaults = defaults;
    this.#events = events;
    this.#hostLists = new HostLists(charset(defaults.charset));
    for (const configuration of [defaults.resolver, ...defaults.resolvers]) {
      const options = { readFile, lookup: defaults.names.for("resolver") };
      this.#own.set(configuration, this.#open(configuration, options));
    }
    this.#sweeping = setInterval(() => this.#sweep(performance.now()), UNUSED_MS).unref();
  }

  /**
   * @param now milliseconds of the process's clock
   * @throws MemcachedError ERR_MEMCACHED_CONFIG for a resolver string, ERR_MEMCACHED_KEY or OcnotifyError ERR_CN for a user
   * that cannot be looked up, OcnotifyError ERR_RESOLVERS for one resolver string too many
   */
  of(event: MailboxEvent, writer: Writer, now: number): Route {
    const { resolver: defaultResolver, cn: defaultCn } = this.#defaults;
    return this.#zone(event.resolver ?? defaultResolver, writer, now).route(event, event.cn ?? defaultCn);
  }

  /** Every memcached that has been asked. */
  *lookups(): Generator<Lookups, void> {
    for (const zones of [this.#own, this.#named, this.#pooled]) for (const zone of zones.values()) yield* zone.lookups;
  }

  close(): void {
    clearInterval(this.#sweeping);
    for (const zones of [this.#own, this.#named, this.#pooled]) for (const zone of zones.values()) zone.close();
  }

  #zone(configuration: string, writer: Writer, now: number): Zone {
    const own = this.#own.get(configuration);
    if (own !== undefined) return own;
    const named = this.#named.get(configuration);
    const zone = named ?? (writer.trusted ? this.#name(configuration, now) : this.#pool(configuration, writer, now));
    zone.usedAt = now;
    return zone;
  }

  #name(configuration: string, now: number): Zone {
    let zone = this.#pooled.get(configuration);
    if (zone === undefined) {
      makeRoom(this.#named, MAX_NAMED, now, `records name more than ${MAX_NAMED} different resolver strings at once`);
      zone = this.#openNamed(configuration, false);
    }
    zone.pooled = false;
    this.#pooled.delete(configuration);
    this.#named.set(configuration, zone);
    return zone;
  }

  /** Nothing is made before it is known that there is room: to parse a string, and to make its ring, takes time. */
  #pool(configuration: string, writer: Writer, now: number): Zone {
    let zone = this.#pooled.get(configuration);
    if (!uses(writer, zone, now)) {
      const others = [...this.#pooled.values()].filter((other) => uses(writer, other, now));
      if (others.length >= MAX_POOLED_OF_ONE) {
        throw new OcnotifyError("ERR_RESOLVERS", `uid ${writer.uid} names more than two resolver strings. ${ADVICE}`);
      }
    }
    if (zone === undefined) {
      makeRoom(
        this.#pooled,
        MAX_POOLED,
        now,
        `uids that are not trusted name more than ${MAX_POOLED} resolver strings`,
      );
      zone = this.#openNamed(configuration, true);
      this.#pooled.set(configuration, zone);
    }
    zone.users.set(writer.uid, now);
    return zone;
  }

  #openNamed(configuration: string, pooled: boolean): Zone {
    const lookup = this.#defaults.names.for(`resolver ${configuration}`);
    return this.#open(configuration, { ...RECORD_LIMITS, lookup }, pooled);
  }

  #open(configuration: string, options: ResolverOptions, pooled = false): Zone {
    const { charset: dosCharset, restartGraceMs: graceMs } = this.#defaults;
    const resolver = new Resolver(configuration, { ...options, charset: dosCharset, maxRecordSize: MAX_RECORD });
    return new Zone(
      resolver,
      { graceMs, pooled },
      (server, settings) => new Lookups(server, this.#hostLists, this.#events, settings),
    );
  }

  /** What nobody names any more is closed. */
  #sweep(now: number): void {
    for (const zones of [this.#named, this.#pooled]) {
      for (const [configuration, zone] of zones) {
        for (const [uid, usedAt] of zone.users) if (now - usedAt > UNUSED_MS) zone.users.delete(uid);
        if (now - zone.usedAt > CLOSE_AFTER_MS) closeIdle(zones, configuration, zone);
      }
    }
  }
}

const ADVICE = "If Dovecot's configuration says so, name the string in resolvers in ocnotify.yaml too";

function uses(writer: Writer, zone: Zone | undefined, now: number): boolean {
  const usedAt = zone?.users.get(writer.uid);
  return usedAt !== undefined && now - usedAt <= UNUSED_MS;
}

/** @throws OcnotifyError ERR_RESOLVERS when all places are taken by strings that are in use */
function makeRoom(zones: Map<string, Zone>, most: number, now: number, complaint: string): void {
  if (zones.size < most) return;
  for (const [configuration, zone] of zones) {
    if (now - zone.usedAt > UNUSED_MS && closeIdle(zones, configuration, zone)) return;
  }
  throw new OcnotifyError("ERR_RESOLVERS", `${complaint}, and only the first are used. ${ADVICE}`);
}

function closeIdle(zones: Map<string, Zone>, configuration: string, zone: Zone): boolean {
  if (!zone.idle) return false;
  zones.delete(configuration);
  zone.close();
  return true;
}
