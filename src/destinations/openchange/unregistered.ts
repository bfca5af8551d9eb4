import type { Endpoint } from "./endpoint.ts";
import type { Resolver } from "./resolver.ts";
import type { Job } from "./route.ts";

/** So many users of a host that refuses are looked up again at once. */
const MANY_USERS = 1_000;
const ASK_AGAIN_MS = 10_000;

/**
 * Finds what waits for a host that refuses and is not registered for the user any more. A server that stops in order
 * unregisters before it closes: what it did not take is for nobody.
 */
export class Unregistered {
  readonly #onTaken: (endpoint: Endpoint, jobs: readonly Job[]) => void;
  readonly #graceMs: number;
  readonly #askedAt = new WeakMap<Endpoint, number>();
  #asking: Promise<void> = Promise.resolve();
  #closed = false;

  /**
   * @param graceMs how long after a memcached's start a host may not yet be registered there again
   * @param onTaken given what was taken back from an endpoint
   */
  constructor(graceMs: number, onTaken: (endpoint: Endpoint, jobs: readonly Job[]) => void) {
    this.#graceMs = graceMs;
    this.#onTaken = onTaken;
  }

  /** One host after the other, and not at each attempt: a user may have a thousand that are dead, in one long record. */
  ask(endpoint: Endpoint): void {
    const now = performance.now();
    const before = this.#askedAt.get(endpoint);
    if (before !== undefined && now - before < ASK_AGAIN_MS) return;
    this.#askedAt.set(endpoint, now);
    this.#asking = this.#asking.then(() => (this.#closed ? undefined : this.#take(endpoint)));
  }

  close(): void {
    this.#closed = true;
  }

  async #take(endpoint: Endpoint): Promise<void> {
    const byResolver = new Map<Resolver, Set<string>>();
    for (const { route } of endpoint.waitingJobs()) {
      const cns = byResolver.get(route.resolver) ?? new Set();
      byResolver.set(route.resolver, cns.add(route.cn));
    }
    for (const [resolver, cns] of byResolver) {
      const asked = [...cns].slice(0, MANY_USERS);
      const gone = await resolver.unregisteredAt(endpoint.name, asked, this.#graceMs).catch(() => undefined);
      if (gone === undefined || this.#closed) continue;
      const jobs = endpoint.takeIf(({ route }) => route.resolver === resolver && gone.has(route.cn));
      if (jobs.length > 0) this.#onTaken(endpoint, jobs);
    }
  }
}
