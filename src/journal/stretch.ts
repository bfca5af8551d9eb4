import type { MailboxEvent } from "../events/event.ts";
import type { Segment } from "./segment.ts";
import type { Writer } from "./writer.ts";

/** As many as a small integer has bits. */
const MOST_RECORDS = 31;
/** Between its first record's change and its last's, in microseconds: the first stands for all. */
const MOST_US = 1_000_000;

/** More lines than a chunk can have: no record is shorter than 32 bytes. */
const scratch = new Uint32Array(8_192);

/** Where the lines begin of the records that are read together: one array for all of their stretches. */
export class LineStarts {
  /** In bytes from the segment's beginning. */
  readonly #base: number;
  #count = 0;
  #starts: Uint32Array | undefined;

  /** @param base where the chunk begins. Only one chunk is read at a time. */
  constructor(base: number) {
    this.#base = base;
  }

  /** @returns the line's number */
  add(offset: number): number {
    scratch[this.#count] = offset - this.#base;
    return this.#count++;
  }

  /** Every line has been added. */
  finish(): void {
    if (this.#count > 0) this.#starts = scratch.slice(0, this.#count);
  }

  at(index: number): number {
    return this.#base + ((this.#starts ?? scratch)[index] as number);
  }
}

/** What a stretch was read from: a segment, and how much of it is answered. */
export interface Origin {
  readonly segment: Segment;
  readonly writer: Writer;
  /** Records that were read and are not answered. */
  open: number;
  /** A record has got an answer. @returns whether that was its last */
  answer(stretch: Stretch, index: number): boolean;
}

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
 * Why an event that was put away is not there. `gone`: its file was deleted, replaced or cut off, or the record rewritten.
 * `later`: the file cannot be read for now.
 */
export type NotLoaded = "gone" | "later";

/**
 * A few records of a segment that were read together, and which of them are answered. Answers come a second after the
 * record, for very many records: kept for each by itself, they would be most of what the garbage collector has to do.
 * Their lines follow one another: between them is nothing that another stretch has.
 */
export class Stretch {
  readonly origin: Origin;
  /** When the first of its changes happened, in microseconds of unix time; the others were at most a second later. */
  readonly ts: number;
  /** The same in whole milliseconds of the process's clock, which nobody sets; at most the time of reading. */
  readonly happenedAt: number;
  /** When all of its records had been seen in the journal, by the same clock. */
  readonly seenAt: number;
  #records = 0;
  /** One bit for each record that needs an answer. */
  #open = 0;
  /** One bit for each record whose event is in memory, and for each that was given up for one receiver at least. */
  #loaded = 0;
  #dropped = 0;
  #dropReasons: Map<number, string> | undefined;
  /** For records that need more than one: how many beyond it. */
  #further: Map<number, number> | undefined;
  /** Where the first line begins and the last one ends, in bytes from the segment's beginning. */
  #from: number;
  #to: number;
  /** Where the lines of the other records begin: there, from this number on. Absent when there is, or is left, one record. */
  #starts: LineStarts | undefined;
  #second = 0;

  /** @param from where the line of its first record begins, in bytes from the segment's beginning */
  constructor(origin: Origin, from: number, ts: number, happenedAt: number, seenAt: number) {
    this.origin = origin;
    this.#from = from;
    this.#to = from;
    this.ts = ts;
    this.happenedAt = happenedAt;
    this.seenAt = seenAt;
  }

  get segment(): Segment {
    return this.origin.segment;
  }

  /** Who wrote the records. */
  get writer(): Writer {
    return this.origin.writer;
  }

  /** Whether every record is answered. */
  get answered(): boolean {
    return this.#open === 0;
  }

  /** Whether a record of a change at `ts` may be added. */
  takes(ts: number): boolean {
    return this.#records < MOST_RECORDS && ts >= this.ts && ts - this.ts < MOST_US;
  }

  /**
   * @param from where the record's line begins, and `to` where it ends, in bytes from the segment's beginning
   * @param starts of the chunk that is being read
   * @returns the record's number
   */
  add(from: number, to: number, starts: LineStarts): number {
    const index = this.#records++;
    this.#open |= 1 << index;
    this.#loaded |= 1 << index;
    if (index > 0) {
      const line = starts.add(from);
      if (index === 1) {
        this.#starts = starts;
        this.#second = line;
      }
    }
    this.#to = to;
    this.writer.awaits(1);
    return index;
  }

  /** The record needs this many answers. */
  split(index: number, answers: number): void {
    this.#further ??= new Map();
    this.#further.set(index, answers - 1);
    this.writer.awaits(answers - 1);
  }

  /** The record's event is needed no more. @returns whether it was in memory */
  unload(index: number): boolean {
    const bit = 1 << index;
    const wasLoaded = (this.#loaded & bit) !== 0;
    this.#loaded &= ~bit;
    return wasLoaded;
  }

  /** Bytes of the lines of those records that are not answered and whose events are not in memory. */
  get parkedBytes(): number {
    const parked = this.#open & ~this.#loaded;
    let bytes = 0;
    for (let index = 0; index < this.#records; index++) {
      if ((parked & (1 << index)) !== 0) bytes += this.bytesOf(index);
    }
    return bytes;
  }

  /** Bytes of the line of a record that is not answered. */
  bytesOf(index: number): number {
    const starts = this.#starts;
    if (starts === undefined) return this.#to - this.#from;
    return this.#startOf(starts, index + 1) - this.#startOf(starts, index);
  }

  /** The record is given up for one receiver, for this reason. */
  drop(index: number, reason: string): void {
    this.#dropped |= 1 << index;
    this.#dropReasons ??= new Map();
    this.#dropReasons.set(index, reason);
  }

  /** Why the record was given up for a receiver, the last such reason. */
  dropReason(index: number): string {
    return this.#dropReasons?.get(index) ?? "";
  }

  /** Where the line of a record begins that has an answer to come, in bytes from the segment's beginning. */
  lineOf(index: number): number {
    return this.#starts === undefined ? this.#from : this.#startOf(this.#starts, index);
  }

  /** Whether the line of a record that has an answer to come begins there. */
  isOpenAt(offset: number): boolean {
    for (let index = 0; index < this.#records; index++) {
      if ((this.#open & (1 << index)) !== 0 && this.lineOf(index) === offset) return true;
    }
    return false;
  }

  /** Whether the record was given up for one receiver at least. */
  isDropped(index: number): boolean {
    return (this.#dropped & (1 << index)) !== 0;
  }

  /** @returns whether that was the record's last answer; false also when it had been answered before */
  answer(index: number): boolean {
    const bit = 1 << index;
    if ((this.#open & bit) === 0) return false;
    this.writer.answered();
    const further = this.#further?.get(index) ?? 0;
    if (further > 0) {
      this.#further?.set(index, further - 1);
      return false;
    }
    this.#open &= ~bit;
    if (this.#starts !== undefined && (this.#open & (this.#open - 1)) === 0) this.#keepOne(this.#starts);
    return true;
  }

  /** Where the lines of the unanswered records are: appends from and to of each run of them to `runs`. */
  addOpenTo(runs: number[]): void {
    const starts = this.#starts;
    if (this.answered) return;
    if (starts === undefined || this.#open === 2 ** this.#records - 1) {
      addRun(runs, this.#from, this.#to);
      return;
    }
    for (let index = 0; index < this.#records; index++) {
      if ((this.#open & (1 << index)) !== 0)
        addRun(runs, this.#startOf(starts, index), this.#startOf(starts, index + 1));
    }
  }

  /** Where the line of a record begins; of the one after the last, where the last one ends. */
  #startOf(starts: LineStarts, index: number): number {
    if (index === this.#records) return this.#to;
    return index === 0 ? this.#from : starts.at(this.#second + index - 1);
  }

  /** One record is left, or none. It may wait for long, beside hundreds of thousands of others: it keeps its own place only. */
  #keepOne(starts: LineStarts): void {
    this.#starts = undefined;
    if (this.answered) return;
    const index = 31 - Math.clz32(this.#open);
    const from = this.#startOf(starts, index);
    this.#to = this.#startOf(starts, index + 1);
    this.#from = from;
  }
}

function addRun(runs: number[], from: number, to: number): void {
  if (runs.at(-1) === from) runs[runs.length - 1] = to;
  else runs.push(from, to);
}
