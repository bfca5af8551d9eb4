import type { Endpoint } from "./endpoint.ts";

/** Hosts of one writer who is not trusted, that were used within `UNUSED_MS`. A user has a handful. */
const MAX_HOSTS = 64;
/** Of its connections, the daemon keeps so many for one such writer at most. */
const MAX_CONNECTIONS = 16;
const PART_OF_CONNECTIONS = 1 / 8;
const UNUSED_MS = 60_000;
/** No more often than this it is looked which are unused: not for each job of a user with too many. */
const FORGET_MS = 1_000;
/** Notifications of one such writer that wait for hosts. */
export const MAX_NOTIFICATIONS = 8_192;

/** What one writer who is not trusted uses of the hosts and connections of a destination. */
export class Share {
  readonly uid: number;
  readonly #hosts = new Map<Endpoint, number>();
  readonly #maxConnections: number;
  #forgotAt = -Infinity;

  /** @param maxConnections of the destination */
  constructor(uid: number, maxConnections: number) {
    this.uid = uid;
    this.#maxConnections = Math.min(MAX_CONNECTIONS, Math.ceil(maxConnections * PART_OF_CONNECTIONS));
  }

  /** Whether it may have one more connection. What it does not need any more is closed for that. */
  get mayConnect(): boolean {
    const open = [...this.#hosts.keys()].filter((endpoint) => endpoint.open);
    if (open.length < this.#maxConnections) return true;
    for (const endpoint of open) if (endpoint.size === 0) endpoint.hangUp();
    return false;
  }

  /**
   * The writer tells this host of something.
   * @param now milliseconds of the process's clock
   * @returns false when it has too many hosts
   */
  use(endpoint: Endpoint, now: number): boolean {
    if (this.#hosts.size >= MAX_HOSTS && !this.#hosts.has(endpoint) && !this.#forgetUnused(now)) return false;
    this.#hosts.set(endpoint, now);
    endpoint.users.add(this);
    return true;
  }

  /** The host is forgotten, or serves everybody. */
  release(endpoint: Endpoint): void {
    this.#hosts.delete(endpoint);
    endpoint.users.delete(this);
  }

  #forgetUnused(now: number): boolean {
    if (now - this.#forgotAt < FORGET_MS) return false;
    this.#forgotAt = now;
    for (const [endpoint, usedAt] of this.#hosts) {
      if (now - usedAt > UNUSED_MS && endpoint.size === 0) this.release(endpoint);
    }
    return this.#hosts.size < MAX_HOSTS;
  }
}
