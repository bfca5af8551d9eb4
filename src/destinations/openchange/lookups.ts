import { Backoff } from "../../backoff.ts";
import type { StoredValue } from "../../protocols/memcached/request.ts";
import type { MemcachedServer } from "../../protocols/memcached/server.ts";
import { Queue } from "../../queue.ts";
import { NOBODY, type HostLists } from "./host-lists.ts";
import type { Job, Route } from "./route.ts";

/** Keys of one request: enough to fill a round trip, few enough that the first answers are not held up. */
const BATCH = 1_000;
const FIRST_RETRY_MS = 100;
const MOST_RETRY_MS = 5_000;

export interface LookupEvents {
  /** A route's key was looked up: its hosts are known, and these jobs can go. */
  found(route: Route, jobs: readonly Job[]): void;
  /** The value is no record of hosts: nobody can be told of these jobs. */
  undecodable(route: Route, jobs: readonly Job[], error: Error): void;
  /** The server gave no answer; everything waits for the next try, but for what is taken with `takeIf`. */
  failed(lookups: Lookups, error: Error): void;
  /** After a failure, it gave an answer. */
  recovered(lookups: Lookups): void;
}

/** The look-ups for one memcached server: all that come while one request is on its way make the next one. */
export class Lookups {
  readonly server: MemcachedServer;
  readonly #hostLists: HostLists;
  readonly #events: LookupEvents;
  readonly #queue = new Queue<Route>();
  readonly #backoff = new Backoff(FIRST_RETRY_MS, MOST_RETRY_MS);
  #asking = false;
  #failing = false;
  #scheduled: NodeJS.Immediate | undefined;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(server: MemcachedServer, hostLists: HostLists, events: LookupEvents) {
    this.server = server;
    this.#hostLists = hostLists;
    this.#events = events;
  }

  /** Whether the last try got no answer. */
  get failing(): boolean {
    return this.#failing;
  }

  push(job: Job): void {
    const { route } = job;
    route.waiting.push(job);
    if (route.queued) return;
    route.queued = true;
    this.#queue.push(route);
    this.#schedule();
  }

  /** Everything that waits, while nothing is asked. */
  *jobs(): Generator<Job, void> {
    for (const route of this.#queue) yield* route.waiting;
  }

  /** Takes back those that wait and for which `test` holds, while nothing is asked. */
  takeIf(test: (job: Job) => boolean): Job[] {
    const taken: Job[] = [];
    for (const { waiting } of this.#queue) {
      if (!waiting.some(test)) continue;
      for (const job of waiting.splice(0)) (test(job) ? taken : waiting).push(job);
    }
    return taken;
  }

  close(): void {
    this.#closed = true;
    clearImmediate(this.#scheduled);
    clearTimeout(this.#retry);
  }

  #schedule(): void {
    if (this.#scheduled !== undefined || this.#retry !== undefined || this.#asking || this.#closed) return;
    // After the poll phase: everything of this turn makes one request.
    this.#scheduled = setImmediate(() => {
      this.#scheduled = undefined;
      void this.#ask();
    });
  }

  async #ask(): Promise<void> {
    const routes: Route[] = [];
    while (routes.length < BATCH) {
      const route = this.#queue.shift();
      if (route === undefined) break;
      route.asked = route.waiting.length;
      // All that waited has expired.
      if (route.asked === 0) route.queued = false;
      else routes.push(route);
    }
    if (routes.length === 0) return;
    const askedAt = performance.now();
    this.#asking = true;
    try {
      const values = await this.server.getMany(routes.map((route) => route.key));
      this.#asking = false;
      if (this.#closed) return;
      this.#answered(routes, values, askedAt);
    } catch (error) {
      this.#asking = false;
      if (this.#closed) return;
      this.#queue.putBack(routes);
      this.#failing = true;
      this.#retry = setTimeout(() => {
        this.#retry = undefined;
        this.#schedule();
      }, this.#backoff.next());
      this.#events.failed(this, error as Error);
    }
    if (this.#queue.length > 0) this.#schedule();
  }

  #answered(routes: readonly Route[], values: ReadonlyMap<string, StoredValue>, askedAt: number): void {
    this.#backoff.reset();
    if (this.#failing) {
      this.#failing = false;
      this.#events.recovered(this);
    }
    for (const route of routes) {
      const { waiting } = route;
      // The answer is for those that waited when it was asked, and for what came since but had been seen before.
      const after = waiting.findIndex(({ record }, index) => index >= route.asked && record.stretch.seenAt > askedAt);
      const jobs = waiting.splice(0, after === -1 ? waiting.length : after);
      route.queued = waiting.length > 0;
      if (route.queued) this.#queue.push(route);
      const value = values.get(route.key)?.value;
      let hosts: readonly string[];
      try {
        hosts = value === undefined ? NOBODY : this.#hostLists.of(route.cn, value);
      } catch (error) {
        // Not an answer, so that the next look-up says it again.
        this.#events.undecodable(route, jobs, error as Error);
        continue;
      }
      route.answer(hosts, askedAt);
      this.#events.found(route, jobs);
    }
  }
}
