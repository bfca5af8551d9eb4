import { Retry } from "../../delivery/retry.ts";
import { MemcachedError } from "../../protocols/memcached/errors.ts";
import type { MemcachedServer } from "../../protocols/memcached/server.ts";
import { Queue } from "../../queue.ts";
import { NOBODY, type HostList, type HostLists } from "./host-lists.ts";
import { namingUser } from "./resolver.ts";
import type { Job, LookupQueue, Route } from "./route.ts";

const RETRY = { firstRetryMs: 100, mostRetryMs: 5_000 } as const;
/** A user who is not found in a memcached that has just been restarted is looked up again after this. */
const AGAIN_MS = 1_000;

export interface LookupEvents {
  /** A route's key was looked up: its hosts are known, and these jobs can go. `omitted` hosts of its record are left out. */
  found(route: Route, jobs: readonly Job[], omitted: number): void;
  /** The value is no record of hosts, or is too long for one: nobody can be notified of these jobs. */
  undecodable(route: Route, jobs: readonly Job[], error: Error): void;
  /** The server gave no reply; everything waits for the next try, but for what is taken with `takeIf`. Called for each failure. */
  failed(lookups: Lookups, error: Error): void;
  /** The first reply after one or more failures. */
  recovered(lookups: Lookups): void;
  /** The server was started less than the grace ago: users who are not found are looked up again. Called once for each start. */
  restarted(lookups: Lookups, agoMs: number): void;
  /** These were not found in it. What waits of them will be looked up again, but for what is taken with `takeIf`. */
  notYet(lookups: Lookups, routes: readonly Route[]): void;
  /** The server does not say when it was started, so users who are not found are not registered. Called once. */
  ageless(lookups: Lookups): void;
}

/** What may change while the server is asked. */
export interface LookupSettings {
  /** For this long after a server's start, users who were registered may not yet be so again, in milliseconds. */
  readonly graceMs: number;
  /** The most keys of one request. */
  readonly batch: number;
  /** The only writer who names the server, when that is one who is not trusted. */
  readonly blamed: number | undefined;
}

/** The look-ups for one memcached server: all that come while one request is on its way make the next one. */
export class Lookups implements LookupQueue {
  readonly server: MemcachedServer;
  readonly #hostLists: HostLists;
  readonly #events: LookupEvents;
  readonly #settings: LookupSettings;
  readonly #queue = new Queue<Route>();
  /** Not found in a server that has just been restarted. */
  readonly #again = new Queue<Route>();
  /** How many of these are to be looked up now. */
  #due = 0;
  #againTimer: NodeJS.Timeout | undefined;
  /** The start of the server that was reported last; see `MemcachedServer.startedAt`. */
  #reportedStartMs: number | undefined;
  readonly #retry: Retry<Error>;
  #asking = false;
  /** The most keys of the next request: fewer after a reply did not come in time. */
  #mostKeys = Infinity;
  #scheduled: NodeJS.Immediate | undefined;
  #closed = false;

  constructor(server: MemcachedServer, hostLists: HostLists, events: LookupEvents, settings: LookupSettings) {
    this.server = server;
    this.#hostLists = hostLists;
    this.#events = events;
    this.#settings = settings;
    this.#retry = new Retry(RETRY, {
      again: () => this.#schedule(),
      failed: (error) => events.failed(this, error),
      recovered: () => events.recovered(this),
    });
  }

  /** Whether the last try got no reply. */
  get failing(): boolean {
    return this.#retry.failing;
  }

  /** Whether nothing waits and nothing is asked. */
  get idle(): boolean {
    return this.#queue.length === 0 && this.#again.length === 0 && !this.#asking;
  }

  /** The only writer who names the server, when that is one who is not trusted. */
  get blamed(): number | undefined {
    return this.#settings.blamed;
  }

  push(job: Job): void {
    const { route } = job;
    route.waiting.push(job);
    if (route.queued) return;
    route.queued = true;
    route.queuedAtMs = performance.now();
    this.#queue.push(route);
    this.#schedule();
  }

  /** Everything that waits, but for what is being asked. */
  *jobs(): Generator<Job, void> {
    for (const route of this.#queue) yield* route.waiting;
    for (const route of this.#again) yield* route.waiting;
  }

  /** Takes back those that wait and for which `test` holds, but for what is being asked. */
  takeIf(test: (job: Job) => boolean): Job[] {
    const taken: Job[] = [];
    for (const queue of [this.#queue, this.#again]) {
      for (const { waiting } of queue) for (const job of waiting.takeIf(test)) taken.push(job);
    }
    return taken;
  }

  close(): void {
    this.#closed = true;
    clearImmediate(this.#scheduled);
    this.#retry.close();
    clearTimeout(this.#againTimer);
  }

  #schedule(): void {
    if (this.#scheduled !== undefined || this.#retry.waiting || this.#asking || this.#closed) return;
    // After the poll phase: everything of this turn makes one request.
    this.#scheduled = setImmediate(() => {
      this.#scheduled = undefined;
      void this.#ask();
    });
  }

  async #ask(): Promise<void> {
    const routes: Route[] = [];
    const batch = Math.min(this.#settings.batch, this.#mostKeys);
    this.#take(this.#queue, batch, routes);
    // Beside the others, so that neither holds up the other.
    const due = Math.min(batch, this.#due, this.#again.length);
    this.#take(this.#again, due, routes);
    this.#due -= due;
    if (routes.length > 0) await this.#askFor(routes);
    if (this.#queue.length + this.#due > 0) this.#schedule();
    this.#askAgainLater();
  }

  async #askFor(routes: readonly Route[]): Promise<void> {
    const askedAtMs = performance.now();
    this.#asking = true;
    const unanswered = byKey(routes);
    try {
      await this.server.getEach([...unanswered.keys()], (key, found) => {
        if (this.#closed) return;
        const value = found instanceof MemcachedError ? found : found.value;
        // Each is used as it comes: a thousand long values are never held together.
        for (const route of unanswered.get(key) ?? []) this.#answered(route, value, askedAtMs);
        unanswered.delete(key);
      });
      const hasMisses = unanswered.size > 0 && this.#settings.graceMs > 0;
      const startedAtMs = hasMisses ? await this.server.startedAt() : undefined;
      this.#asking = false;
      if (this.#closed) return;
      this.#mostKeys *= 2;
      this.#retry.succeeded();
      this.#missed([...unanswered.values()].flat(), askedAtMs, this.#isYoung(startedAtMs, askedAtMs));
    } catch (error) {
      this.#asking = false;
      if (this.#closed) return;
      this.#queue.putBack([...unanswered.values()].flat());
      // The values may be too long for a whole batch of them to come in time.
      if ((error as MemcachedError).code === "ERR_MEMCACHED_TIMEOUT") {
        this.#mostKeys = Math.ceil(Math.min(this.#settings.batch, this.#mostKeys) / 8);
      }
      this.#retry.failed(error as Error);
    }
  }

  /** Moves the first `count` of a queue to `routes`. */
  #take(queue: Queue<Route>, count: number, routes: Route[]): void {
    for (let left = count; left > 0; left--) {
      const route = queue.shift();
      if (route === undefined) break;
      route.asked = route.waiting.length;
      route.again = false;
      // All that waited has expired.
      if (route.asked === 0) route.queued = false;
      else routes.push(route);
    }
  }

  /** Whether the server had started so lately when it was asked that users who are not found may yet register again. */
  #isYoung(startedAtMs: number | undefined, askedAtMs: number): boolean {
    if (startedAtMs === undefined) return false;
    const isYoung = askedAtMs - startedAtMs < this.#settings.graceMs;
    if (startedAtMs !== this.#reportedStartMs) {
      this.#reportedStartMs = startedAtMs;
      if (isYoung) this.#events.restarted(this, askedAtMs - startedAtMs);
      else if (startedAtMs === -Infinity) this.#events.ageless(this);
    }
    return isYoung;
  }

  #askAgainLater(): void {
    if (this.#againTimer !== undefined || this.#again.length === 0 || this.#closed) return;
    this.#againTimer = setTimeout(() => {
      this.#againTimer = undefined;
      this.#due = this.#again.length;
      this.#schedule();
    }, AGAIN_MS);
  }

  #missed(routes: readonly Route[], askedAtMs: number, isYoung: boolean): void {
    if (!isYoung) {
      for (const route of routes) this.#answered(route, undefined, askedAtMs);
      return;
    }
    for (const route of routes) {
      route.again = true;
      this.#again.push(route);
    }
    if (routes.length > 0) this.#events.notYet(this, routes);
  }

  /** @param value undefined when nobody is registered */
  #answered(route: Route, value: Buffer | MemcachedError | undefined, askedAtMs: number): void {
    const { waiting } = route;
    const jobs = waiting.takeFirst(answeredOf(route, askedAtMs));
    route.queued = waiting.length > 0;
    if (route.queued) this.#queue.push(route);
    let list: HostList;
    try {
      if (value instanceof MemcachedError) throw namingUser(route.cn, value);
      list = value === undefined ? NOBODY : this.#hostLists.of(route.cn, value);
    } catch (error) {
      // The route remembers no hosts, so that the next look-up reports it again.
      this.#events.undecodable(route, jobs, error as Error);
      return;
    }
    route.answer(list, askedAtMs);
    this.#events.found(route, jobs, list.omitted);
    route.forgetLong();
  }
}

/** How many jobs a reply is for: those that waited when it was asked for, and later ones whose change had been seen by then. */
function answeredOf({ waiting, asked }: Route, askedAtMs: number): number {
  if (waiting.length <= asked) return waiting.length;
  let count = 0;
  for (const { record } of waiting) {
    if (count >= asked && record.stretch.seenAt > askedAtMs) break;
    count++;
  }
  return count;
}

/** Several users may have one key. */
function byKey(routes: readonly Route[]): Map<string, Route[]> {
  const groups = new Map<string, Route[]>();
  for (const route of routes) {
    const { key } = route;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [route]);
    else group.push(route);
  }
  return groups;
}
