/** Exponential backoff with jitter, so that those who lost the same server do not come back in step. */
export class Backoff {
  readonly #firstMs: number;
  readonly #mostMs: number;
  #failures = 0;

  /**
   * @param firstMs the longest wait after the first failure
   * @param mostMs the longest wait of all
   */
  constructor(firstMs: number, mostMs: number) {
    this.#firstMs = firstMs;
    this.#mostMs = mostMs;
  }

  /** Milliseconds to wait after one more failure: between half and all of a time that doubles. */
  next(): number {
    const longest = Math.min(this.#mostMs, this.#firstMs * 2 ** Math.min(this.#failures, 30));
    this.#failures++;
    return longest / 2 + (Math.random() * longest) / 2;
  }

  reset(): void {
    this.#failures = 0;
  }
}
