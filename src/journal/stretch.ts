import type { MailboxEvent } from "../event.ts";
import type { Progress } from "./progress.ts";
import type { Segment } from "./segment.ts";

/** As many as a small integer has bits. */
const MOST_RECORDS = 31;
/** Between its first record's change and its last's, in microseconds: the first stands for all. */
const MOST_US = 1_000_000;

/** One event on its way: read from the journal and not yet answered. */
export interface EventRecord {
  /** Where its answers are kept, and its number there. */
  readonly stretch: Stretch;
  readonly index: number;
  /** Bytes from the segment's beginning. */
  readonly offset: number;
  /** Absent while put away to save memory; the journal still has it. */
  event: MailboxEvent | undefined;
}

/**
 * A few records of a segment that were read together, and which of them are answered. Answers come a second after the
 * record, for very many records: kept for each by itself, they would be most of what the garbage collector has to do.
 */
export class Stretch {
  readonly progress: Progress;
  /** Where its first record begins, in bytes from the segment's beginning. */
  readonly from: number;
  /** When the first of its changes happened, in microseconds of unix time; the others were at most a second later. */
  readonly ts: number;
  /** The same in whole milliseconds of the process's clock, which nobody sets; at most the time of reading. */
  readonly happenedAt: number;
  /** When all of its records had been seen in the journal, by the same clock. */
  readonly seenAt: number;
  #records = 0;
  /** One bit for each record that needs an answer. */
  #open = 0;
  /** For records that need more than one: how many beyond it. */
  #further: Map<number, number> | undefined;

  constructor(progress: Progress, from: number, ts: number, happenedAt: number, seenAt: number) {
    this.progress = progress;
    this.from = from;
    this.ts = ts;
    this.happenedAt = happenedAt;
    this.seenAt = seenAt;
  }

  get segment(): Segment {
    return this.progress.segment;
  }

  /** Whether every record is answered. */
  get answered(): boolean {
    return this.#open === 0;
  }

  /** Whether a record of a change at `ts` may be added. */
  takes(ts: number): boolean {
    return this.#records < MOST_RECORDS && ts >= this.ts && ts - this.ts < MOST_US;
  }

  /** @returns the record's number */
  add(): number {
    const index = this.#records++;
    this.#open |= 1 << index;
    return index;
  }

  /** The record needs so many answers. */
  split(index: number, answers: number): void {
    this.#further ??= new Map();
    this.#further.set(index, answers - 1);
  }

  /** @returns whether that was the record's last answer; false also when it had been answered before */
  answer(index: number): boolean {
    const bit = 1 << index;
    if ((this.#open & bit) === 0) return false;
    const further = this.#further?.get(index) ?? 0;
    if (further > 0) {
      this.#further?.set(index, further - 1);
      return false;
    }
    this.#open &= ~bit;
    return true;
  }
}
