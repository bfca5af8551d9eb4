import { Once, type Logger } from "../log.ts";
import type { JournalDirectory } from "./directory.ts";
import { fairShare } from "./fair-share.ts";
import { isBeingWritten, type Segment } from "./segment.ts";

/** How soon after a change of the journal its size is looked at. */
const LOOK_MS = 100;
/** Looking again waits this many times longer than a look takes: 60,000 segments must not take the processor. */
const LOOK_PAUSE = 20;
/** Segments that are deleted in one look: some 100 ms. */
const MAX_DELETED = 2_000;
/** Of the limit, this part belongs to uids that are no mail users', however much mail users' uids write. */
const PART_OF_STRANGERS = 1 / 8;

/** What one uid has in the journal. */
interface Usage {
  readonly uid: number;
  bytes: number;
  /** Bytes of the segments that must stay. */
  keptBytes: number;
  /** What may be deleted, oldest bucket first. */
  readonly deletable: Segment[];
}

/** What the status of the daemon has of it, in bytes. */
export interface SizeStatus {
  /** Of all segments. */
  readonly bytes: number;
  /** Of those that somebody still needs. */
  readonly heldBytes: number;
  readonly maxBytes: number;
  /** By how much what is held exceeds half of the limit. */
  readonly overHalfBytes: number;
}

/**
 * Keeps the journal below `journal.max_size` while a destination does not read it. Past the limit, what everybody has read
 * goes first, then the oldest segments of the uid that has most, read or not. Segments of the current bucket and those
 * next to it stay: they are being written to. A uid pays only for itself: what it has in those segments beyond its
 * fair share of the limit takes no room from others, so for up to 20 minutes the journal may exceed the limit by that.
 */
export class SizeLimit {
  readonly #directory: JournalDirectory;
  readonly #maxBytes: number;
  readonly #isPast: (segment: Segment) => boolean;
  readonly #log: Logger;
  readonly #once = new Once();
  #timer: NodeJS.Timeout | undefined;
  #pauseMs = LOOK_MS;
  #stopListening: (() => void) | undefined;

  /** @param isPast whether no destination needs the segment any more */
  constructor(directory: JournalDirectory, maxBytes: number, isPast: (segment: Segment) => boolean, log: Logger) {
    this.#directory = directory;
    this.#maxBytes = maxBytes;
    this.#isPast = isPast;
    this.#log = log;
  }

  /** Looks soon, and after each change of the journal from now on. */
  start(): void {
    this.#stopListening = this.#directory.onChange(() => this.#lookSoon());
    this.#lookSoon();
  }

  stop(): void {
    this.#stopListening?.();
    clearTimeout(this.#timer);
  }

  /** Walks over all segments. */
  status(): SizeStatus {
    let bytes = 0;
    let heldBytes = 0;
    for (const segment of this.#directory.segments.values()) {
      bytes += segment.size;
      if (!this.#isPast(segment)) heldBytes += segment.size;
    }
    const maxBytes = this.#maxBytes;
    return { bytes, heldBytes, maxBytes, overHalfBytes: Math.max(0, heldBytes - Math.floor(maxBytes / 2)) };
  }

  /**
   * Deletes what is beyond the limit.
   * @param unixMs milliseconds of unix time
   * @returns how many segments were deleted, at most 2,000
   */
  sweep(unixMs: number): number {
    let bytes = 0;
    for (const { size } of this.#directory.segments.values()) bytes += size;
    if (bytes <= this.#maxBytes) return 0;
    const segments = [...this.#directory.segments.values()].toSorted((a, b) => a.bucket - b.bucket);
    const deletable = segments.filter((segment) => segment.size > 0 && !isBeingWritten(segment, unixMs));
    let deleted = 0;
    for (const segment of deletable) {
      if (bytes <= this.#maxBytes || deleted >= MAX_DELETED) return deleted;
      const { size } = segment;
      if (!this.#isPast(segment) || !this.#directory.remove(segment)) continue;
      bytes -= size;
      deleted++;
    }
    return bytes <= this.#maxBytes ? deleted : deleted + this.#deleteUnread(deletable, MAX_DELETED - deleted);
  }

  #deleteUnread(deletable: readonly Segment[], most: number): number {
    const usages = new Map<number, Usage>();
    const usageOf = (uid: number): Usage => {
      const usage = usages.get(uid) ?? { uid, bytes: 0, keptBytes: 0, deletable: [] };
      usages.set(uid, usage);
      return usage;
    };
    for (const { uid, size } of this.#directory.segments.values()) {
      const usage = usageOf(uid);
      usage.bytes += size;
      usage.keptBytes += size;
    }
    for (const segment of deletable) {
      if (segment.gone) continue;
      const usage = usageOf(segment.uid);
      usage.keptBytes -= segment.size;
      usage.deletable.push(segment);
    }
    const { owners } = this.#directory;
    const trusted = [...usages.values()].filter(({ uid }) => owners.speaksForAll(uid));
    const others = [...usages.values()].filter(({ uid }) => !owners.speaksForAll(uid));
    const part = this.#maxBytes * PART_OF_STRANGERS;
    const limitOfOthers = Math.max(part, this.#maxBytes - sum(trusted));
    const limitOfTrusted = this.#maxBytes - Math.min(part, sum(others));
    const deleted = this.#shrink(others, limitOfOthers, most);
    return deleted + this.#shrink(trusted, limitOfTrusted, most - deleted);
  }

  /** Deletes the oldest segment of who has most, until these together have no more than `limit`. */
  #shrink(usages: readonly Usage[], limit: number, most: number): number {
    const share = fairShare(
      usages.map(({ bytes }) => bytes),
      limit,
    );
    let excess = -limit;
    for (const { bytes, keptBytes } of usages) excess += bytes - Math.max(0, keptBytes - share);
    let deleted = 0;
    while (excess > 0 && deleted < most) {
      let largest: Usage | undefined;
      for (const usage of usages) {
        if (usage.deletable.length === 0 || usage.bytes <= share) continue;
        if (largest === undefined || usage.bytes > largest.bytes) largest = usage;
      }
      const segment = largest?.deletable.shift();
      if (largest === undefined || segment === undefined) break;
      const { size } = segment;
      if (!this.#directory.remove(segment, "unread")) continue;
      deleted++;
      largest.bytes -= size;
      excess -= size;
      this.#tellOf(segment);
    }
    return deleted;
  }

  #tellOf({ uid, name, size }: Segment): void {
    if (!this.#once.first("full")) return;
    this.#log.error(
      { segment: name, uid, bytes: size },
      `the journal has reached journal.max_size (${this.#maxBytes} bytes): its oldest segments are deleted before every destination has read them. Logged once an hour; ocnotify status says which destination does not read, and counts what it lost`,
    );
  }

  #lookSoon(): void {
    this.#timer ??= setTimeout(() => {
      const began = performance.now();
      const more = this.sweep(Date.now()) >= MAX_DELETED;
      this.#pauseMs = Math.max(LOOK_MS, (performance.now() - began) * LOOK_PAUSE);
      this.#timer = undefined;
      if (more) this.#lookSoon();
    }, this.#pauseMs).unref();
  }
}

function sum(usages: readonly Usage[]): number {
  return usages.reduce((bytes, usage) => bytes + usage.bytes, 0);
}
