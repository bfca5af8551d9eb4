/** Milliseconds between two ticks while anything is under way. */
export const BUSY_TICK_MS = 250;

/** Calls back again and again, as often as there is need. */
export class Ticker {
  readonly #tick: (nowMs: number) => number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #idle = false;
  #closed = false;

  /**
   * @param tick given the time up to which every connection that broke has been noticed, in milliseconds of the process's
   * clock; returns in how many milliseconds it wants to be called again, undefined for not before `soon`
   */
  constructor(tick: (nowMs: number) => number | undefined) {
    this.#tick = tick;
  }

  /** There is something under way: what is sent now must not wait for a slow tick before it counts as received. */
  soon(): void {
    if (this.#timer === undefined || this.#idle) this.#callIn(BUSY_TICK_MS);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #callIn(ms: number): void {
    clearTimeout(this.#timer);
    this.#idle = ms !== BUSY_TICK_MS;
    if (this.#closed) return;
    this.#timer = setTimeout(() => {
      const nowMs = performance.now();
      // Timers run before sockets are looked at, and a socket that broke is closed at the end of that turn. When this process
      // stood still, that must be seen before what was sent on it counts as confirmed: so not in this turn, but the next.
      setImmediate(() => setImmediate(() => this.#call(nowMs)));
    }, ms);
  }

  #call(nowMs: number): void {
    if (this.#closed) return;
    const ms = this.#tick(nowMs);
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (ms !== undefined) this.#callIn(ms);
  }
}
