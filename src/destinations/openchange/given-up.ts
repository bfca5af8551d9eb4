import type { Logger } from "../../log.ts";
import type { DropReason } from "./counters.ts";

/** For one reason, what was given up is logged no more often than this. */
const GIVEN_UP_MS = 10_000;

/** What was given up for one reason since its last line. */
interface Sum {
  readonly loggedAtMs: number;
  dropped: number;
  readonly hosts: Set<string>;
}

/** Logs what was given up: a thousand hosts that are dead make one line, not a thousand. */
export class GivenUp {
  readonly #log: Logger;
  readonly #sums = new Map<DropReason, Sum>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** The first of a reason is logged at once, what follows is summed up for `tick`. */
  add(host: string, count: number, reason: DropReason, why: string): void {
    const sum = this.#sums.get(reason);
    if (sum === undefined) {
      this.#log.error({ host, reason, dropped: count }, `notifications given up: ${why}`);
      this.#sums.set(reason, { loggedAtMs: performance.now(), dropped: 0, hosts: new Set() });
    } else {
      sum.dropped += count;
      sum.hosts.add(host);
    }
  }

  /** Logs the sums that are due. @param nowMs milliseconds of the process's clock */
  tick(nowMs: number): void {
    for (const [reason, { loggedAtMs, dropped, hosts }] of this.#sums) {
      if (nowMs - loggedAtMs < GIVEN_UP_MS) continue;
      this.#sums.delete(reason);
      if (dropped === 0) continue;
      const [host] = hosts;
      this.#log.error({ reason, dropped, hosts: hosts.size, host }, "further notifications given up, one host named");
      this.#sums.set(reason, { loggedAtMs: nowMs, dropped: 0, hosts: new Set() });
    }
  }
}
