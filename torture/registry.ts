import type { World } from "./world.ts";

/**
 * Which hosts are registered for which users while that changes. A host must be told of what is written from the moment at
 * which memcached has its registration until the one at which it begins to unregister, and may be told for as long as memcached
 * may have it.
 */
export class Registry {
  readonly #world: World;
  readonly #hosts = new Map<string, Set<string>>();

  constructor(world: World) {
    this.#world = world;
  }

  usersOf(host: string): string[] {
    return [...this.#hosts].filter(([, hosts]) => hosts.has(host)).map(([user]) => user);
  }

  hostsOf(user: string): string[] {
    return [...(this.#hosts.get(user) ?? [])];
  }

  async register(user: string, host: string): Promise<void> {
    const hosts = this.#hosts.get(user) ?? new Set();
    this.#hosts.set(user, hosts.add(host));
    this.#world.tally.mayHear(user, host);
    await this.#put([user]);
    this.#world.tally.listens(user, [...hosts]);
  }

  async unregister(user: string, host: string): Promise<void> {
    this.#hosts.get(user)?.delete(host);
    const { tally } = this.#world;
    tally.listens(user, this.hostsOf(user));
    tally.excuse(host, user);
    await this.#put([user]);
    tally.mayNotHear(user, host);
  }

  /** Puts every record into a memcached that has lost them. */
  async refill(): Promise<void> {
    await this.#put([...this.#hosts.keys()]);
  }

  async #put(users: readonly string[]): Promise<void> {
    await this.#world.putRecords(users.map((user) => [user, this.hostsOf(user)] as const));
  }
}
