import type { Endpoint } from "./endpoint.ts";
import type { Resolver } from "./resolver.ts";
import type { Job } from "./route.ts";

/** Users that are looked up again at once. */
const MANY_USERS = 1_000;
const ASK_AGAIN_MS = 10_000;

/** Hosts that refuse, by the name of the user for whom something waits there. */
type HostsByUser = Map<string, Set<string>>;

/**
 * Finds what waits for a host that refuses and is not registered for the user any more. A server that stops in order
 * unregisters before it closes: what it did not take is for nobody.
 */
export class Unregistered {
  readonly #onTaken: (endpoint: Endpoint, jobs: readonly Job[]) => void;
  readonly #graceMs: number;
  readonly #askedAtMs = new WeakMap<Endpoint, number>();
  #refusing = new Set<Endpoint>();
  #working = false;
  #closed = false;

  /**
   * @param graceMs how long after a memcached's start a host may not yet be registered there again
   * @param onTaken given what was taken back from an endpoint
   */
  constructor(graceMs: number, onTaken: (endpoint: Endpoint, jobs: readonly Job[]) => void) {
    this.#graceMs = graceMs;
    this.#onTaken = onTaken;
  }

  /**
   * Not at each attempt, and each user once for all hosts that ask meanwhile: a user may have a thousand that are dead, in one
   * long record.
   */
  ask(endpoint: Endpoint): void {
    const nowMs = performance.now();
    const before = this.#askedAtMs.get(endpoint);
    if (before !== undefined && nowMs - before < ASK_AGAIN_MS) return;
    this.#askedAtMs.set(endpoint, nowMs);
    this.#refusing.add(endpoint);
    if (!this.#working) void this.#work();
  }

  close(): void {
    this.#closed = true;
  }

  async #work(): Promise<void> {
    this.#working = true;
    // Hosts that refuse in this turn ask together.
    await new Promise(setImmediate);
    while (this.#refusing.size > 0 && !this.#closed) {
      const endpoints = this.#refusing;
      this.#refusing = new Set();
      await this.#takeFrom(endpoints);
    }
    this.#working = false;
  }

  async #takeFrom(endpoints: ReadonlySet<Endpoint>): Promise<void> {
    const gone = new Map<Resolver, Map<string, ReadonlySet<string>>>();
    for (const [resolver, asked] of usersOf(endpoints)) {
      const found = new Map<string, ReadonlySet<string>>();
      gone.set(resolver, found);
      const users = [...asked];
      for (let at = 0; at < users.length && !this.#closed; at += MANY_USERS) {
        const some = new Map(users.slice(at, at + MANY_USERS));
        for (const [cn, hosts] of await resolver.unregistered(some, this.#graceMs)) found.set(cn, hosts);
      }
    }
    for (const endpoint of endpoints) {
      if (this.#closed) return;
      const { name } = endpoint;
      const jobs = endpoint.takeIf(({ route }) => gone.get(route.resolver)?.get(route.cn)?.has(name) === true);
      if (jobs.length > 0) this.#onTaken(endpoint, jobs);
    }
  }
}

function usersOf(endpoints: Iterable<Endpoint>): Map<Resolver, HostsByUser> {
  const byResolver = new Map<Resolver, HostsByUser>();
  for (const endpoint of endpoints) {
    for (const { route } of endpoint.waitingJobs()) {
      const users = byResolver.get(route.resolver) ?? new Map<string, Set<string>>();
      byResolver.set(route.resolver, users);
      const hosts = users.get(route.cn) ?? new Set();
      users.set(route.cn, hosts.add(endpoint.name));
    }
  }
  return byResolver;
}
