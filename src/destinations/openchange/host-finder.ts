import { readFileSync } from "node:fs";
import type { EventRecord } from "../../delivery/destination.ts";
import { isExpired } from "../../delivery/lane.ts";
import type { MailboxEvent } from "../../events/event.ts";
import type { Faults } from "./faults.ts";
import type { Ledger } from "./ledger.ts";
import type { Lookups } from "./lookups.ts";
import type { Job, Route } from "./route.ts";
import { Routes, type RouteDefaults } from "./routes.ts";

/** With this many jobs that wait for look-ups, the journal is not read on until half of them are done. */
const MAX_LOOKUPS = 100_000;
/** Events of one writer who is not trusted that are kept in memory; of further ones, their place in the journal. */
const MAX_KEPT = 128;
/** A look-up may take this long, whatever its memcached does, before the time to live of what waits for it counts. */
const LOOKUP_MS = 30_000;
/** Milliseconds between two looks for what has expired. */
const EXPIRE_MS = 1_000;

export interface HostFinderSettings extends RouteDefaults {
  readonly timeToLiveMs: number;
}

export interface HostFinderEvents {
  /** The hosts of the job's user are known: they are the route's, until this returns. */
  found(job: Job, route: Route): void;
  /** `full` has become false again. */
  hasRoom(): void;
}

/** Finds the hosts of each record's user in the resolver; what has none, or waits for too long, is answered here. */
export class HostFinder {
  readonly #settings: HostFinderSettings;
  readonly #ledger: Ledger;
  readonly #faults: Faults;
  readonly #events: HostFinderEvents;
  readonly #routes: Routes;
  #lookingUp = 0;
  #full = false;
  #expiredAtMs = -Infinity;

  /** @throws OcnotifyError ERR_CHARSET, MemcachedError ERR_MEMCACHED_CONFIG for settings that cannot be used */
  constructor(settings: HostFinderSettings, ledger: Ledger, faults: Faults, events: HostFinderEvents) {
    this.#settings = settings;
    this.#ledger = ledger;
    this.#faults = faults;
    this.#events = events;
    this.#routes = new Routes(
      settings,
      {
        found: (route, jobs, omitted) => this.#found(route, jobs, omitted),
        undecodable: (route, jobs, error) => this.#undecodable(route, jobs, error),
        failed: (lookups, error) => this.#failed(lookups, error),
        recovered: (lookups) => faults.memcachedRecovered(lookups),
        restarted: (lookups, agoMs) => faults.memcachedRestarted(lookups, agoMs, settings.restartGraceMs),
        notYet: (lookups, routes) => this.#notYet(lookups, routes),
        ageless: (lookups) => faults.memcachedAgeless(lookups),
      },
      (path) => readFileSync(path, "utf8"),
    );
  }

  /** Jobs that wait for a look-up. */
  get lookingUp(): number {
    return this.#lookingUp;
  }

  /** Whether too many wait for more of a backlog to come. */
  get full(): boolean {
    return this.#full;
  }

  /** @param nowMs milliseconds of the process's clock */
  find(record: EventRecord, event: MailboxEvent, nowMs: number): void {
    const { writer, seenAt } = record.stretch;
    let route: Route;
    try {
      route = this.#routes.of(event, writer, nowMs);
    } catch (error) {
      this.#faults.badResolver(event, writer, error as Error);
      this.#ledger.dropRecord(record, "bad-resolver");
      return;
    }
    const job: Job = { record, route, unencoded: 0 };
    const kept = writer.pending <= MAX_KEPT || writer.trusted;
    if (!kept || route.lookups.failing || route.again) this.#ledger.park(record);
    if (route.answersFor(seenAt, nowMs)) {
      this.#events.found(job, route);
      return;
    }
    this.#lookingUp++;
    if (this.#lookingUp >= MAX_LOOKUPS) this.#full = true;
    route.lookups.push(job);
  }

  /** A memcached that neither replies nor fails must not keep what waits for it for longer than that lives. */
  tick(nowMs: number): void {
    if (this.#lookingUp === 0 || nowMs - this.#expiredAtMs < EXPIRE_MS) return;
    this.#expiredAtMs = nowMs;
    const expired = isExpired(this.#settings.timeToLiveMs, nowMs);
    for (const lookups of this.#routes.lookups()) {
      this.#expire(lookups, (job) => nowMs - job.route.queuedAtMs > LOOKUP_MS && expired(job), "it has yet to answer");
    }
  }

  close(): void {
    this.#routes.close();
  }

  #found(route: Route, jobs: readonly Job[], omitted: number): void {
    this.#lookedUp(jobs.length);
    if (omitted > 0) {
      this.#faults.tooManyHosts(route, jobs[0]?.record.stretch.writer, omitted);
      this.#ledger.count("bad-record", jobs.length * omitted);
    }
    for (const job of jobs) this.#events.found(job, route);
  }

  #lookedUp(count: number): void {
    this.#lookingUp -= count;
    if (!this.#full || this.#lookingUp >= MAX_LOOKUPS / 2) return;
    this.#full = false;
    this.#events.hasRoom();
  }

  #undecodable(route: Route, jobs: readonly Job[], error: Error): void {
    this.#lookedUp(jobs.length);
    this.#faults.badRecord(route, jobs[0]?.record.stretch.writer, error);
    for (const job of jobs) this.#ledger.dropRecord(job.record, "bad-record");
  }

  #failed(lookups: Lookups, error: Error): void {
    this.#ledger.counts.lookupFailures++;
    // What waits here must not take the memory of those whose memcached replies.
    for (const job of lookups.jobs()) this.#ledger.park(job.record);
    this.#faults.memcachedFailed(lookups, error, this.#lookingUp);
    this.#expire(lookups, isExpired(this.#settings.timeToLiveMs, performance.now()), error.message);
  }

  #notYet(lookups: Lookups, routes: readonly Route[]): void {
    this.#ledger.counts.lookupsAgain += routes.length;
    const expired = isExpired(this.#settings.timeToLiveMs, performance.now());
    for (const { waiting } of routes) {
      this.#giveUp(lookups, waiting.takeIf(expired), "nobody has registered since memcached was restarted");
      for (const job of waiting) this.#ledger.park(job.record);
    }
  }

  #expire(lookups: Lookups, test: (job: Job) => boolean, why: string): void {
    this.#giveUp(lookups, lookups.takeIf(test), `the resolver did not answer within their time to live (${why})`);
  }

  #giveUp({ server }: Lookups, jobs: readonly Job[], why: string): void {
    if (jobs.length === 0) return;
    this.#faults.givenUp(server.name, jobs.length, "expired", why);
    this.#lookedUp(jobs.length);
    for (const job of jobs) this.#ledger.dropRecord(job.record, "expired");
  }
}
