import { Backoff } from "../backoff.ts";

export interface RetrySettings {
  /** The longest wait after the first failure. It doubles with each further one … */
  readonly firstRetryMs: number;
  /** … up to this. */
  readonly mostRetryMs: number;
}

export interface RetryEvents<Failure> {
  /** The wait after a failure is over: it is time for another try. */
  again(): void;
  /** A try has failed; the next one is scheduled. Called for each failure. */
  failed(failure: Failure): void;
  /** The first success after one or more failures. */
  recovered(): void;
}

/** How a receiver that fails is tried again: waits longer after each failure, and knows whether the receiver works. */
export class Retry<Failure> {
  readonly #backoff: Backoff;
  readonly #events: RetryEvents<Failure>;
  #timer: NodeJS.Timeout | undefined;
  #failing = false;
  #closed = false;

  constructor({ firstRetryMs, mostRetryMs }: RetrySettings, events: RetryEvents<Failure>) {
    this.#backoff = new Backoff(firstRetryMs, mostRetryMs);
    this.#events = events;
  }

  /** Whether there was a failure and no success since. */
  get failing(): boolean {
    return this.#failing;
  }

  /** Whether the next try has to wait for `again`. */
  get waiting(): boolean {
    return this.#timer !== undefined;
  }

  /** To be called when a try fails. */
  failed(failure: Failure): void {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#events.again();
    }, this.#backoff.next());
    this.#failing = true;
    this.#events.failed(failure);
  }

  /** To be called when the receiver is seen to work. */
  succeeded(): void {
    this.#backoff.reset();
    if (!this.#failing) return;
    this.#failing = false;
    this.#events.recovered();
  }

  /** Nothing is called after this. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
