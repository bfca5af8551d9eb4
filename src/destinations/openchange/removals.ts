import type { Logger } from "../../log.ts";
import type { Resolver } from "./resolver.ts";
import type { Route } from "./route.ts";

/** One user's record. */
interface Change {
  readonly resolver: Resolver;
  readonly cn: string;
  /** Hosts that go. */
  readonly hosts: Set<string>;
}

/**
 * Takes hosts that are gone for good out of the resolver: one record after the other, and of each all hosts that go by then
 * with one change. A change for each host of one record would be as many that fail each other's cas.
 */
export class Removals {
  readonly #log: Logger;
  readonly #changes = new Map<Resolver, Map<string, Change>>();
  #working = false;
  #closed = false;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** The host is to go from the record of the route's user. */
  add({ resolver, cn }: Pick<Route, "resolver" | "cn">, host: string): void {
    let changes = this.#changes.get(resolver);
    if (changes === undefined) {
      changes = new Map();
      this.#changes.set(resolver, changes);
    }
    const change = changes.get(cn) ?? { resolver, cn, hosts: new Set() };
    changes.set(cn, change);
    change.hosts.add(host);
    if (!this.#working) void this.#work();
  }

  close(): void {
    this.#closed = true;
  }

  async #work(): Promise<void> {
    this.#working = true;
    // Hosts that fail in this turn go together.
    await new Promise(setImmediate);
    for (let change = this.#take(); change !== undefined; change = this.#take()) await this.#make(change);
    this.#working = false;
  }

  #take(): Change | undefined {
    for (const [resolver, changes] of this.#changes) {
      const [first] = changes.values();
      changes.delete(first?.cn ?? "");
      if (changes.size === 0) this.#changes.delete(resolver);
      if (first !== undefined && !this.#closed) return first;
    }
    return undefined;
  }

  async #make({ resolver, cn, hosts }: Change): Promise<void> {
    try {
      const removed = await resolver.unregisterAll(cn, hosts);
      const [host] = removed;
      if (host === undefined) return;
      this.#log.warn(
        { host, cn, ...(removed.length > 1 && { hosts: removed.length }) },
        "taken out of the resolver: the host has refused for too long. A server of OpenChange registers again only when Outlook connects again",
      );
    } catch (error) {
      const [host] = hosts;
      this.#log.warn({ host, cn }, `cannot take the host out of the resolver: ${(error as Error).message}`);
    }
  }
}
