import type { Place } from "../../delivery/destination.ts";
import type { Job, Route } from "./route.ts";

/** Of each job: its stretch, its number there, its offset in the segment, and its route. */
export type Receipt = Place | Route | number;
const PARTS = 4;

/**
 * What was handed to the kernel with one write, for as long as it may have to be sent again. That is hundreds of thousands
 * of jobs, hardly any of which is needed again: each is only what it can be made from, in one array of all.
 */
export class Chunk {
  readonly notifications: number;
  readonly #receipts: readonly Receipt[];
  /** When the kernel had taken it, in whole milliseconds of the process's clock; 0 before. */
  drainedAtMs = 0;
  /** How many bytes of this connection the kernel had then taken. */
  drainedBytes = 0;
  /** When even a host at the pessimistic pace has read it, in whole milliseconds. */
  readAtMs = 0;

  /** Made by `ChunkBuilder`. */
  constructor(notifications: number, receipts: readonly Receipt[]) {
    this.notifications = notifications;
    this.#receipts = receipts;
  }

  /** Jobs of which the last notification is in it. */
  get length(): number {
    return this.#receipts.length / PARTS;
  }

  /** Calls back with the place of each job's record. */
  forEach(callback: (stretch: Place, index: number) => void): void {
    const receipts = this.#receipts;
    for (let at = 0; at < receipts.length; at += PARTS) {
      callback(receipts[at] as Place, receipts[at + 1] as number);
    }
  }

  /** The jobs, as they are when their events have been put away. */
  *jobs(): Generator<Job, void> {
    const receipts = this.#receipts;
    for (let at = 0; at < receipts.length; at += PARTS) {
      const stretch = receipts[at] as Place;
      const index = receipts[at + 1] as number;
      const offset = receipts[at + 2] as number;
      const record = { stretch, index, offset, event: undefined };
      yield { record, route: receipts[at + 3] as Route, unencoded: 1 };
    }
  }
}

/** Gathers the jobs of one chunk. */
export class ChunkBuilder {
  readonly #receipts: Receipt[];
  #length = 0;

  /** @param space is overwritten: with the same array for one chunk after the other, that of each is no longer than it needs to be */
  constructor(space: Receipt[]) {
    this.#receipts = space;
  }

  add({ record: { stretch, index, offset }, route }: Job): void {
    const receipts = this.#receipts;
    receipts[this.#length++] = stretch;
    receipts[this.#length++] = index;
    receipts[this.#length++] = offset;
    receipts[this.#length++] = route;
  }

  /** The chunk of the jobs that were added. */
  build(notifications: number): Chunk {
    return new Chunk(notifications, this.#receipts.slice(0, this.#length));
  }
}
