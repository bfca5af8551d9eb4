import { Backoff } from "../../backoff.ts";
import type { MemcachedServer } from "../../protocols/memcached/server.ts";
import { Queue } from "../../queue.ts";

/** Keys of one request: enough to fill a round trip, few enough that the first answers are not held up. */
const BATCH = 1_000;
const FIRST_RETRY_MS = 100;
const MOST_RETRY_MS = 5_000;

export interface Lookup {
  /** As memcached sees it, with its namespace. */
  readonly key: string;
}

export interface LookupEvents<L extends Lookup> {
  /** The value of its key; undefined when there is none. */
  found(lookup: L, value: Buffer | undefined): void;
  /** The server gave no answer. Everything waits for the next try except what this takes with `takeWhile`. */
  failed(lookups: Lookups<L>, error: Error): void;
  /** It gave an answer again. */
  recovered(lookups: Lookups<L>): void;
}

/** The look-ups for one memcached server: all that come while one request is on its way make the next one. */
export class Lookups<L extends Lookup> {
  readonly server: MemcachedServer;
  readonly #events: LookupEvents<L>;
  readonly #waiting = new Queue<L>();
  readonly #backoff = new Backoff(FIRST_RETRY_MS, MOST_RETRY_MS);
  #asking = 0;
  #failing = false;
  #scheduled: NodeJS.Immediate | undefined;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(server: MemcachedServer, events: LookupEvents<L>) {
    this.server = server;
    this.#events = events;
  }

  get size(): number {
    return this.#waiting.length + this.#asking;
  }

  /** Whether the last try got no answer. */
  get failing(): boolean {
    return this.#failing;
  }

  push(lookup: L): void {
    this.#waiting.push(lookup);
    this.#schedule();
  }

  /** Takes back those at the front for which `test` holds. */
  takeWhile(test: (lookup: L) => boolean): L[] {
    const taken: L[] = [];
    for (let first = this.#waiting.first; first !== undefined && test(first); first = this.#waiting.first) {
      taken.push(first);
      this.#waiting.shift();
    }
    return taken;
  }

  close(): void {
    this.#closed = true;
    clearImmediate(this.#scheduled);
    clearTimeout(this.#retry);
  }

  #schedule(): void {
    if (this.#scheduled !== undefined || this.#retry !== undefined || this.#asking > 0 || this.#closed) return;
    this.#scheduled = setImmediate(() => {
      this.#scheduled = undefined;
      void this.#ask();
    });
  }

  async #ask(): Promise<void> {
    const batch: L[] = [];
    const keys = new Set<string>();
    while (batch.length < BATCH) {
      const lookup = this.#waiting.shift();
      if (lookup === undefined) break;
      batch.push(lookup);
      keys.add(lookup.key);
    }
    if (batch.length === 0) return;
    this.#asking = batch.length;
    try {
      const values = await this.server.getMany([...keys]);
      this.#asking = 0;
      if (this.#closed) return;
      this.#backoff.reset();
      if (this.#failing) {
        this.#failing = false;
        this.#events.recovered(this);
      }
      for (const lookup of batch) this.#events.found(lookup, values.get(lookup.key)?.value);
    } catch (error) {
      this.#asking = 0;
      if (this.#closed) return;
      this.#waiting.putBack(batch);
      this.#failing = true;
      this.#events.failed(this, error as Error);
      this.#retry = setTimeout(() => {
        this.#retry = undefined;
        this.#schedule();
      }, this.#backoff.next());
    }
    if (this.#waiting.length > 0) this.#schedule();
  }
}
