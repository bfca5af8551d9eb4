/** What every empty queue has instead of an array of its own; nothing is ever added to it. */
const NOTHING: never[] = [];
/** The places of items that were taken out are freed when there are this many, and no fewer than those that are left. */
const MIN_FREED = 1_024;

/** A first-in first-out queue in one array: both ends cost the same whatever its length. */
export class Queue<T> {
  #items: T[] = NOTHING;
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  /** The oldest item, or undefined when there is none. */
  get first(): T | undefined {
    return this.#items[this.#head];
  }

  push(item: T): void {
    // Most queues hold one item at most: room for one is a tenth of what an array takes as it grows.
    if (this.#items.length === 0) this.#items = [item];
    else this.#items.push(item);
  }

  /** Takes the oldest item out; undefined when there is none. */
  shift(): T | undefined {
    const item = this.#items[this.#head];
    if (item === undefined) return undefined;
    this.#items[this.#head] = undefined as T;
    this.#head++;
    if (this.#head === this.#items.length) {
      this.clear();
    } else if (this.#head >= MIN_FREED && this.#head * 2 > this.#items.length) {
      this.#items.splice(0, this.#head);
      this.#head = 0;
    }
    return item;
  }

  /** Takes the oldest `count` items out, or all when there are fewer. */
  takeFirst(count: number): T[] {
    const taken = this.#items.slice(this.#head, this.#head + count);
    if (taken.length === this.length) {
      this.clear();
    } else if (taken.length > 0) {
      this.#items = this.#items.slice(this.#head + taken.length);
      this.#head = 0;
    }
    return taken;
  }

  /** Puts items before the oldest, in their order. */
  putBack(items: readonly T[]): void {
    if (items.length === 0) return;
    this.#items = [...items, ...this.#items.slice(this.#head)];
    this.#head = 0;
  }

  /** Whether `test` holds for any of them. */
  some(test: (item: T) => boolean): boolean {
    for (let at = this.#head; at < this.#items.length; at++) if (test(this.#items[at] as T)) return true;
    return false;
  }

  clear(): void {
    this.#items = NOTHING;
    this.#head = 0;
  }

  *[Symbol.iterator](): Generator<T, void> {
    for (let at = this.#head; at < this.#items.length; at++) yield this.#items[at] as T;
  }
}
