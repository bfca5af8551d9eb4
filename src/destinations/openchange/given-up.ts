import type { Logger } from "../../log.ts";
import type { DropReason } from "./counters.ts";

/** No more often than this it is told how much was given up for one reason. */
const GIVEN_UP_MS = 10_000;

/** Tells the log what was given up: a thousand hosts that are dead make one line, not a thousand. */
export class GivenUp {
  readonly #log: Logger;
  readonly #since = new Map<DropReason, { at: number; dropped: number; hosts: Set<string> }>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** The first of a reason is told at once, what follows is gathered. */
  add(host: string, count: number, reason: DropReason, why: string): void {
    const since = this.#since.get(reason);
    if (since === undefined) {
      this.#log.error({ host, reason, dropped: count }, `notifications given up: ${why}`);
      this.#since.set(reason, { at: performance.now(), dropped: 0, hosts: new Set() });
    } else {
      since.dropped += count;
      since.hosts.add(host);
    }
  }

  /** Tells what was gathered. @param now milliseconds of the process's clock */
  tell(now: number): void {
    for (const [reason, { at, dropped, hosts }] of this.#since) {
      if (now - at < GIVEN_UP_MS) continue;
      this.#since.delete(reason);
      if (dropped === 0) continue;
      const [host] = hosts;
      this.#log.error({ reason, dropped, hosts: hosts.size, host }, "further notifications given up, one host named");
      this.#since.set(reason, { at: now, dropped: 0, hosts: new Set() });
    }
  }
}
