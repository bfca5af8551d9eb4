/** Hosts of one writer who is not trusted, that were used within `UNUSED_MS`. A user has a handful. */
const MAX_HOSTS = 64;
/** Connections to them: the smaller of this … */
const MAX_CONNECTIONS = 16;
/** … and this part of the destination's. */
const PART_OF_CONNECTIONS = 1 / 8;
const UNUSED_MS = 60_000;
/** It is looked for unused hosts no more often than this: not for each job of a user with too many. */
const FORGET_MS = 1_000;
/** Notifications of one such writer that wait for hosts. */
export const MAX_NOTIFICATIONS = 8_192;

/** What a share needs to know of a host. */
export interface SharedHost {
  /** Whether it is connected or about to be. */
  readonly open: boolean;
  /** Jobs that wait for it, or may yet have to be sent again. */
  readonly size: number;
  readonly users: Set<Share>;
  hangUp(): void;
}

/** What one writer who is not trusted uses of the hosts and connections of a destination. */
export class Share {
  readonly uid: number;
  /** When each was used last, in milliseconds of the process's clock. */
  readonly #hosts = new Map<SharedHost, number>();
  readonly #maxConnections: number;
  #forgotAtMs = -Infinity;

  /** @param maxConnections of the destination */
  constructor(uid: number, maxConnections: number) {
    this.uid = uid;
    this.#maxConnections = Math.min(MAX_CONNECTIONS, Math.ceil(maxConnections * PART_OF_CONNECTIONS));
  }

  /** Whether it has no host. */
  get unused(): boolean {
    return this.#hosts.size === 0;
  }

  /** Whether it may have one more connection. If not, those that it does not need any more are closed. */
  get mayConnect(): boolean {
    const open = [...this.#hosts.keys()].filter((host) => host.open);
    if (open.length < this.#maxConnections) return true;
    for (const host of open) if (host.size === 0) host.hangUp();
    return false;
  }

  /**
   * A record of the writer goes to this host.
   * @param nowMs milliseconds of the process's clock
   * @returns false when it has too many hosts
   */
  use(host: SharedHost, nowMs: number): boolean {
    if (this.#hosts.size >= MAX_HOSTS && !this.#hosts.has(host) && !this.#forgetUnused(nowMs)) return false;
    this.#hosts.set(host, nowMs);
    host.users.add(this);
    return true;
  }

  /** The host is forgotten, or serves everybody. */
  release(host: SharedHost): void {
    this.#hosts.delete(host);
    host.users.delete(this);
  }

  #forgetUnused(nowMs: number): boolean {
    if (nowMs - this.#forgotAtMs < FORGET_MS) return false;
    this.#forgotAtMs = nowMs;
    for (const [host, usedAtMs] of this.#hosts) {
      if (nowMs - usedAtMs > UNUSED_MS && host.size === 0) this.release(host);
    }
    return this.#hosts.size < MAX_HOSTS;
  }
}
