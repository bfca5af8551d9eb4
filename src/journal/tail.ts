import { parseRecord, type MailboxEvent } from "../events/event.ts";
import { Once, type Logger } from "../log.ts";
import type { RecordScanner } from "../events/record-scanner.ts";
import type { Chain } from "./chain.ts";
import { placesByInode, type Cursor, type Place } from "./cursor.ts";
import { Dates } from "./dates.ts";
import type { JournalDirectory } from "./directory.ts";
import { LineFaults } from "./line-faults.ts";
import { LineReader, MAX_LINE, TOO_LONG } from "./line-reader.ts";
import { LONG_BACKLOG, Overtaking } from "./overtaking.ts";
import { Progress } from "./progress.ts";
import type { Segment } from "./segment.ts";
import { LineStarts, Stretch, type EventRecord, type NotLoaded } from "./stretch.ts";
import { Trust, type LeftWriter } from "./trust.ts";
import { Turns } from "./turns.ts";
import { Writer } from "./writer.ts";

const CHUNK = 256 * 1024;
/** Chunks of a backlog that are searched for their users at once: some 10 ms, 40 at first, for which all else waits. */
const SEARCHED_PER_TURN = 64;
/** Records of one segment that are read ahead of its backlog. */
const MAX_AHEAD = 100_000;
/** Lines that are no records, in one turn: each takes longer than a record, and all others wait meanwhile. Some 5 ms. */
const MAX_MALFORMED_PER_TURN = 1_000;
const NEWLINE = 0x0a;

export interface TailCounters {
  /** Records read. */
  records: number;
  /** Bytes read, garbage included. */
  bytes: number;
  /** Lines that are no records. */
  malformed: number;
  /** Changes that the plugin could not record, and said so. */
  unrecorded: number;
  /** Records of a shared mailbox, passed over because their writer may not speak for its owner. */
  untrusted: number;
  /** Bytes of segments that were deleted before these were read. */
  lostBytes: number;
  /** Bytes of segments that were deleted because the journal was full, not read before or put away unanswered. */
  fullBytes: number;
  /** Times that a segment was found cut off. */
  shrunk: number;
}

/** What of the journal is not read, and why. */
export interface Unread {
  /** Bytes that will be read, those of the next two included. */
  readonly unreadBytes: number;
  /** Segments that cannot be opened or read; tried again. */
  readonly unreadableSegments: number;
  /** Segments of whose owner the system does not say who that is; asked again. */
  readonly unknownSegments: number;
  /** Segments, and bytes of them, that are left because their owner may not speak for the user whom they name. */
  readonly leftSegments: number;
  readonly leftBytes: number;
  /** Some of those owners. */
  readonly left: readonly LeftWriter[];
}

/**
 * One destination's reader of the journal. What one uid wrote is read in the order in which it was written, which
 * is the order of each user's changes; the uids take turns, so that a backlog of one does not hold up another.
 */
export class Tail {
  readonly counters: TailCounters = {
    records: 0,
    bytes: 0,
    malformed: 0,
    unrecorded: 0,
    untrusted: 0,
    lostBytes: 0,
    fullBytes: 0,
    shrunk: 0,
  };
  readonly #directory: JournalDirectory;
  readonly #log: Logger;
  readonly #once = new Once();
  readonly #progress = new Map<Segment, Progress>();
  /** By uid: those of whom there are segments. */
  readonly #writers = new Map<number, Writer>();
  readonly #turns = new Turns();
  readonly #chunk = Buffer.allocUnsafe(CHUNK);
  readonly #line = Buffer.allocUnsafe(MAX_LINE + 1);
  readonly #dates = new Dates();
  readonly #reader: LineReader;
  readonly #faults: LineFaults;
  readonly #trust: Trust;
  readonly #wake: () => void;
  readonly #onMissed: () => void;
  readonly #stopListening: () => void;
  #unanswered = 0;
  /** What is added to while one chunk is read. */
  #stretch: Stretch | undefined;
  #starts = new LineStarts(0);

  /**
   * @param cursor where to begin; a segment that it does not name is read from its start
   * @param wake called when there is something to read
   * @param scanner reads most records faster, without the fields that no destination needs
   * @param onMissed called when a segment was deleted because the journal was full, before it was read and answered
   */
  constructor(
    directory: JournalDirectory,
    cursor: Cursor | undefined,
    wake: () => void,
    log: Logger,
    scanner?: RecordScanner,
    onMissed: () => void = () => {},
  ) {
    this.#directory = directory;
    this.#log = log;
    this.#reader = new LineReader(this.#chunk, scanner);
    this.#faults = new LineFaults(this.counters, this.#once, log);
    this.#trust = new Trust(directory, this.counters, (progress) => this.#resume(progress), log);
    this.#wake = wake;
    this.#onMissed = onMissed;
    const byInode = placesByInode(cursor ?? new Map());
    for (const segment of inOrder(directory.segments.values())) {
      this.#follow(segment, [cursor?.get(segment.name), byInode.get(String(segment.inode))]);
    }
    this.#stopListening = directory.onChange((changed) => {
      for (const segment of inOrder(changed)) this.#changed(segment);
      if (this.behind) wake();
    });
  }

  /** Records read and not yet answered. */
  get unanswered(): number {
    return this.#unanswered;
  }

  /** Whether `read` has something to read. */
  get behind(): boolean {
    return this.#turns.any;
  }

  /** Walks over all segments. */
  unread(): Unread {
    const unread = { unreadBytes: 0, unreadableSegments: 0, unknownSegments: 0, leftSegments: 0, leftBytes: 0 };
    for (const { segment, unreadBytes: bytes, queued, obstacle, left } of this.#progress.values()) {
      if (segment.gone) continue;
      if (left !== undefined) {
        unread.leftSegments++;
        unread.leftBytes += bytes;
      } else if (queued || obstacle !== undefined) {
        unread.unreadBytes += bytes;
        if (obstacle === "file") unread.unreadableSegments++;
        if (obstacle === "owner") unread.unknownSegments++;
      }
    }
    return { ...unread, left: this.#trust.leftWriters };
  }

  /** When the oldest event that is not yet answered happened, by the process's clock; undefined when none is. */
  get oldest(): number | undefined {
    let oldest: number | undefined;
    for (const { unanswered } of this.#progress.values()) {
      const first = unanswered.values().next();
      if (first.done === true) continue;
      const { happenedAt } = first.value;
      if (oldest === undefined || happenedAt < oldest) oldest = happenedAt;
    }
    return oldest;
  }

  /** Reads one chunk of the uid whose turn it is and appends its records to `records`. */
  read(records: EventRecord[]): void {
    const chain = this.#turns.begin();
    if (chain === undefined) return;
    const progress = chain.first;
    if (progress?.unread === true) {
      if (this.#trust.mayRead(progress)) {
        this.#overtake(chain, records);
        // The sooner it is searched, the sooner new mail can go before it.
        if (chain.overtaking?.searching !== true) this.#readChunk(progress, records);
      } else {
        progress.stuckAt = progress.segment.size;
      }
    }
    this.#turns.end(chain);
  }

  /** Reads only what has just been written after a long backlog, of each uid that has one. */
  readNew(records: EventRecord[]): void {
    for (const chain of this.#turns.chains) this.#overtake(chain, records);
  }

  /**
   * A record has got an answer, and when that is its last, it need not be read again.
   * @returns whether it is its last; false also when it had all of them before
   */
  answer(stretch: Stretch, index: number): boolean {
    const { origin } = stretch;
    if (!origin.answer(stretch, index)) return false;
    this.#unanswered--;
    if (origin.open === 0 && origin.segment.gone) this.#forget(origin.segment, origin.writer);
    return true;
  }

  /** A record that is not answered was put away: when its file is gone, that is where it is lost. */
  parked({ stretch, index }: EventRecord): void {
    if (stretch.segment.deletedUnread) this.#missed(stretch.bytesOf(index));
  }

  /** The event of a record, read from the journal again when it was put away. */
  load(record: EventRecord): MailboxEvent | NotLoaded {
    if (record.event !== undefined) return record.event;
    const { segment } = record.stretch;
    const target = this.#line;
    let end = -1;
    // Most records are short, and reading what is not needed costs more than asking twice.
    for (const length of [1024, target.length]) {
      const read = this.#directory.read(segment, record.offset, target, length);
      if (read === undefined) return "later";
      end = target.subarray(0, read).indexOf(NEWLINE);
      if (end !== -1) break;
    }
    if (end === -1) return "gone";
    try {
      const event = parseRecord(target.toString("utf8", 0, end));
      // The owner may have rewritten it since.
      return this.#directory.owners.speaksFor(segment.uid, event.user) ? event : "gone";
    } catch {
      return "gone";
    }
  }

  /** Where to go on after a restart. */
  cursor(): Cursor {
    const cursor = new Map<string, Place>();
    for (const progress of this.#progress.values()) {
      const { segment } = progress;
      if (!segment.gone) cursor.set(segment.name, progress.place);
    }
    return cursor;
  }

  /** Whether every record of the segment is answered, so that it may be deleted. */
  isPast(segment: Segment): boolean {
    return this.#progress.get(segment)?.past ?? (segment.size === 0 && !segment.gone);
  }

  /**
   * Whether the record that begins there waits, or has yet to be read; undefined when neither, or nobody knows.
   * @param prefix what the name of its segment begins with
   */
  whereIs(prefix: string, offset: number): "waiting" | "unread" | undefined {
    for (const [segment, progress] of this.#progress) {
      if (!segment.name.startsWith(prefix) || offset >= segment.size) continue;
      if (progress.isOpenAt(offset)) return "waiting";
      if (offset >= progress.readAt) return "unread";
    }
    return undefined;
  }

  /** Resolves when whom segments speak for has been asked of the system, as far as what has been read needs it. */
  settled(): Promise<void> {
    return this.#trust.settled();
  }

  close(): void {
    this.#trust.close();
    this.#stopListening();
  }

  /** @param places what a cursor says of it, or of an earlier file of its name or inode */
  #follow(segment: Segment, places: readonly (Place | undefined)[] = []): void {
    // Anybody can make a great many that are empty. What the cursor does not name is read from its start.
    if (segment.size === 0) return;
    const saved = places.find(
      (place) =>
        place !== undefined &&
        (place.answered?.at(-1)?.[1] ?? place.offset) <= segment.size &&
        this.#directory.isStill(segment, place.identity),
    );
    const progress = new Progress(segment, this.#writer(segment.uid), saved?.offset ?? 0, saved?.answered);
    this.#progress.set(segment, progress);
    this.#turns.add(progress);
  }

  #changed(segment: Segment): void {
    const progress = this.#progress.get(segment);
    if (segment.gone) {
      // What was read and is not answered goes on from memory; what was put away is lost with the file.
      if (progress !== undefined) this.#gone(progress);
      return;
    }
    if (progress === undefined) {
      this.#follow(segment);
      return;
    }
    if (segment.size < progress.readAt) {
      this.counters.shrunk++;
      if (this.#once.first(`shrunk ${segment.uid}`)) {
        this.#log.warn(
          { segment: segment.name, read: progress.readAt, size: segment.size },
          "the segment has shrunk: somebody else writes to it. Going on at its new end",
        );
      }
      this.#trust.forget(progress);
      progress.readAt = segment.size;
      progress.shrunk = true;
      progress.forgetTaken();
      progress.skipping = false;
    }
    progress.stuckAt = -1;
    progress.obstacle = undefined;
    this.#trust.reconsider(progress);
    this.#turns.add(progress);
  }

  #writer(uid: number): Writer {
    let writer = this.#writers.get(uid);
    if (writer === undefined) {
      writer = new Writer(uid, this.#directory.owners, () => this.#release(uid));
      this.#writers.set(uid, writer);
    }
    writer.segments++;
    return writer;
  }

  /** Nothing in the segment waits for anybody, and the file is gone. */
  #forget(segment: Segment, writer: Writer): void {
    this.#progress.delete(segment);
    writer.segments--;
    if (writer.segments === 0) this.#writers.delete(writer.uid);
  }

  /** A writer has room again: its turn comes. */
  #release(uid: number): void {
    if (this.#turns.release(uid)) this.#wake();
  }

  /** What kept the segment from being read is over. */
  #resume(progress: Progress): void {
    progress.stuckAt = -1;
    progress.obstacle = undefined;
    this.#turns.add(progress);
    this.#wake();
  }

  #gone(progress: Progress): void {
    const { segment, readAt, unreadBytes: bytes } = progress;
    const missed = segment.deletedUnread ? progress.parkedBytes : 0;
    this.#trust.forget(progress);
    if (progress.open === 0) this.#forget(segment, progress.writer);
    if (missed > 0) this.#missed(missed);
    if (bytes === 0 || progress.skipping) return;
    if (progress.tornAt === segment.size) {
      // Nobody has completed its last line, and now nobody can.
      this.#faults.add(progress, readAt, { reason: "its end is missing" });
      return;
    }
    if (segment.deletedUnread) {
      this.#missed(bytes);
      return;
    }
    this.counters.lostBytes += bytes;
    if (this.#once.first("lost")) {
      this.#log.error(
        { segment: segment.name, offset: readAt, bytes },
        "a segment was deleted before it was read: somebody else deletes files of the journal",
      );
    }
  }

  #missed(bytes: number): void {
    this.counters.fullBytes += bytes;
    this.#onMissed();
  }

  /** With a long backlog, what has just been written goes first where it may. */
  #overtake(chain: Chain, records: EventRecord[]): void {
    if (!this.#directory.owners.speaksForAll(chain.writer.uid)) return;
    if (chain.overtaking === undefined) {
      if (!chain.hasMoreThan(LONG_BACKLOG)) return;
      chain.overtaking = new Overtaking(chain.segments());
    }
    const { overtaking } = chain;
    for (let searched = 0; overtaking.searching && searched < SEARCHED_PER_TURN; searched++) {
      overtaking.search(this.#chunk, (progress, offset, length) => this.#read(progress.segment, offset, length));
    }
    if (overtaking.searching) return;
    for (const progress of overtaking.front()) {
      if (this.#readAhead(progress, overtaking, records)) break;
    }
  }

  /**
   * Takes only what is certainly a record; what is not is told of when its turn comes.
   * @returns whether there is or was anything to read, so that no newer segment is to be
   */
  #readAhead(progress: Progress, overtaking: Overtaking, records: EventRecord[]): boolean {
    const { segment } = progress;
    const from = progress.nextAhead;
    if (progress.isReadAhead) return false;
    if (progress.ahead >= MAX_AHEAD) return true;
    const read = this.#read(segment, from, Math.min(CHUNK, segment.size - from));
    this.#dates.read(segment, from + read);
    this.#starts = new LineStarts(from);
    const reader = this.#reader;
    reader.begin(read);
    let stretch: Stretch | undefined;
    while (reader.next()) {
      const { event, from: at, to } = reader;
      const isTorn = reader.recordAt > at;
      if (event === undefined || isTorn || !overtaking.mayOvertake(event.user)) {
        // A record that follows a torn one on its line is left to its turn, and so are its user's next ones.
        if (event !== undefined && isTorn) overtaking.hold(event.user);
        // Answered with what is far after it, one would hold the cursor for longer than need be.
        stretch = undefined;
        continue;
      }
      if (stretch?.takes(event.ts) !== true) stretch = this.#stretchOf(progress, from + at, event.ts);
      progress.take(from + at, from + to, stretch);
      this.counters.bytes += to - at;
      this.#add(stretch, from + at, from + at, from + to, event, records);
    }
    // A chunk without a line's end is no place for records: it is left to its turn.
    const { at } = reader;
    const passed = at === 0 && read === CHUNK ? read : at;
    this.#starts.finish();
    progress.aheadAt = from + passed;
    return passed > 0;
  }

  /** Fills the chunk. @returns how many bytes there are */
  #read(segment: Segment, from: number, length: number): number {
    return this.#directory.read(segment, from, this.#chunk, length) ?? 0;
  }

  #readChunk(progress: Progress, records: EventRecord[]): void {
    const { segment } = progress;
    const wanted = Math.min(CHUNK, segment.size - progress.readAt);
    const read = this.#read(segment, progress.readAt, wanted);
    if (read === 0) {
      progress.stuckAt = segment.size;
      progress.obstacle = "file";
      return;
    }
    const from = progress.readAt;
    this.#dates.read(segment, from + read);
    this.#stretch = undefined;
    this.#starts = new LineStarts(from);
    const reader = this.#reader;
    reader.begin(read, progress.skipping);
    let passed = 0;
    const most = records.length + progress.writer.room;
    const mostMalformed = this.counters.malformed + MAX_MALFORMED_PER_TURN;
    const mayGoOn = (): boolean => records.length < most && this.counters.malformed < mostMalformed;
    while (reader.rest > 0 && progress.left === undefined && mayGoOn()) {
      const { at } = reader;
      if (from + at >= progress.takenAt) {
        // A line that goes on beyond it was not there when it was taken: then what comes after that is read again.
        const isTaken = from + at === progress.takenAt;
        const to = progress.pass() - from;
        this.#stretch = undefined;
        if (!isTaken) continue;
        passed += to - at;
        reader.at = to;
        continue;
      }
      if (!reader.next()) break;
      if (reader.fault !== undefined) this.#faults.add(progress, from + at, reader.fault);
      const { event } = reader;
      if (event !== undefined)
        this.#take(progress, from + reader.recordAt, from + at, from + reader.to, event, records);
      // A segment that is left is gone on with at this line.
      if (progress.left !== undefined) reader.at = at;
    }
    this.#starts.finish();
    const rest = mayGoOn() ? reader.rest : 0;
    if (rest > MAX_LINE && progress.left === undefined) {
      if (!reader.skipping) this.#faults.add(progress, from + reader.at, TOO_LONG);
      reader.skip();
    }
    // A line without its end is either being written or torn; the next record will end it.
    if (rest > 0 && progress.left === undefined && (read < wanted || from + read >= segment.size)) {
      progress.stuckAt = segment.size;
      if (read === wanted) progress.tornAt = segment.size;
    }
    progress.skipping = reader.skipping;
    progress.readAt = from + reader.at;
    this.counters.bytes += reader.at - passed;
  }

  /** @param from where the record's line begins, before `offset` when something torn stands before it, and `to` ends */
  #take(
    progress: Progress,
    offset: number,
    from: number,
    to: number,
    event: MailboxEvent,
    records: EventRecord[],
  ): void {
    if (!this.#trust.believes(progress, offset, event)) return;
    let stretch = this.#stretch;
    if (stretch?.origin !== progress || !stretch.takes(event.ts)) {
      stretch = this.#stretchOf(progress, from, event.ts);
      progress.unanswered.add(stretch);
      this.#stretch = stretch;
    }
    this.#add(stretch, offset, from, to, event, records);
  }

  #stretchOf(progress: Progress, from: number, ts: number): Stretch {
    return new Stretch(progress, from, ts, this.#dates.happenedAt(ts), this.#dates.seenAt);
  }

  #add(stretch: Stretch, offset: number, from: number, to: number, event: MailboxEvent, records: EventRecord[]): void {
    stretch.origin.open++;
    this.#unanswered++;
    this.counters.records++;
    records.push({ stretch, index: stretch.add(from, to, this.#starts), offset, event });
  }
}

function inOrder(segments: Iterable<Segment>): Segment[] {
  // In one bucket, those with names of their own are older: the usual name is used as soon as it is free.
  return [...segments].toSorted((a, b) => a.bucket - b.bucket || b.name.length - a.name.length);
}
