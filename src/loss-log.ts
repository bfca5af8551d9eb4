import { lossesOf, type Kinds } from "./counters.ts";
import type { Logger } from "./log.ts";
import type { Status } from "./status.ts";

/** How soon after a loss it is logged. */
const LOOK_MS = 10_000;
/** How often the same counter is logged at most. */
const AGAIN_MS = 60 * 60_000;

/**
 * Logs each counter that means a loss, or that one is near, with what to do: soon after it has begun, and then once an hour for as long as
 * it lasts or goes on growing.
 */
export class LossLog {
  readonly #status: () => Status;
  readonly #kinds: Kinds;
  readonly #log: Logger;
  readonly #logged = new Map<string, { readonly count: number; readonly at: number }>();
  #timer: NodeJS.Timeout | undefined;

  constructor(status: () => Status, kinds: Kinds, log: Logger) {
    this.#status = status;
    this.#kinds = kinds;
    this.#log = log;
  }

  start(): void {
    this.#timer = setInterval(() => this.look(performance.now()), LOOK_MS);
    this.#timer.unref();
  }

  /** @param now milliseconds of the process's clock */
  look(now: number): void {
    for (const { destination, counter, state, count, message, remedy } of lossesOf(this.#status(), this.#kinds)) {
      const key = `${destination ?? ""} ${counter}`;
      const logged = this.#logged.get(key);
      if (logged !== undefined && now - logged.at < AGAIN_MS) continue;
      if (state === "warning" && logged?.count === count) continue;
      this.#logged.set(key, { count, at: now });
      this.#log[state === "alarm" ? "warn" : "error"]({ destination, counter, count }, `${message}. To do: ${remedy}`);
    }
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
