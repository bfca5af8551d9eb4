import { RecentOutcomes, type RecentOutcome } from "./recent-outcomes.ts";
import { eventId, type EventPlace } from "./event-id.ts";
import type {
  Answers,
  Destination,
  DestinationStatus,
  EventRecord as GivenRecord,
  Outcome,
  Place,
} from "./destination.ts";
import type { MailboxEvent } from "../events/event.ts";
import { saveCursor } from "../journal/cursor.ts";
import type { JournalDirectory } from "../journal/directory.ts";
import type { Segment } from "../journal/segment.ts";
import type { EventRecord, NotLoaded, Stretch } from "../journal/stretch.ts";
import { Tail, type TailCounters, type Unread } from "../journal/tail.ts";
import { Once, type Logger } from "../log.ts";
import { RecordScanner } from "../events/record-scanner.ts";
import { firstCursor } from "./first-cursor.ts";
import type { Kind } from "./kind.ts";
import { delivering, heldBecause, type DestinationState } from "./state.ts";

/** Events held in memory at once; further ones stay in the journal until these are answered or put away. */
const MAX_IN_MEMORY = 8_192;
/** Records read and not yet answered, put away ones included. */
const MAX_UNANSWERED = 400_000;
/** What has just been written is taken up to this many times these bounds while a backlog waits. */
const ROOM_FOR_NEW = 1.5;
/** After a kill, what was answered in this long is sent once more, and what was not yet answered. */
const SAVE_MS = 1_000;
/** With very many segments a cursor takes long to write: saving it may take this part of the time. */
const SAVE_SHARE = 1 / 20;

/** Bytes of a record, before any has been seen. */
const TYPICAL_RECORD = 300;

export interface DeliverySettings {
  /** The destination's name, for the log. */
  readonly name: string;
  /** This host, in the ids of events. */
  readonly hostId: string;
  /** The kind of the destination, for the status. */
  readonly type: string;
  readonly cursorFile: string;
  /** Which filter leaves an event out, which is then answered at once; undefined for what the destination is given. */
  readonly filteredBy: (event: MailboxEvent) => string | undefined;
  /** Whether `filteredBy` looks at the service of an event, which is otherwise left out. */
  readonly wantsService?: boolean;
  /** Whether the destination gets each field that was recorded, and not only those that the scanner keeps. */
  readonly wholeRecords: boolean;
  /** Where it begins without a cursor file. */
  readonly startsAt: Kind["startsAt"];
}

/** What became of the records that were read, each of which is in one of these. */
export interface Outcomes extends Record<Outcome, number> {
  /** The destination's filters leave them out. */
  filtered: number;
  /** Not answered yet. */
  waiting: number;
}

/**
 * What a destination has done, and what it has yet to do. It counts from when it was made: at the daemon's start, when
 * its configuration was changed, when it was paused and resumed.
 */
export interface DeliveryStatus extends TailCounters, Unread, DestinationStatus {
  /** The kind of the destination. */
  readonly type: string;
  readonly state: DestinationState;
  readonly outcomes: Readonly<Outcomes>;
  /** Records not yet answered; those not yet read are counted by their bytes. */
  readonly lagRecords: number;
  /** Age of the oldest record that was read and is not yet answered. */
  readonly lagSeconds: number;
}

/**
 * One destination and its reader of the journal. Reads as fast as the destination takes, remembers what is not yet
 * answered, and saves where that is, so that after any end everything unanswered is read again.
 */
export class Delivery implements Answers {
  readonly name: string;
  readonly destination: Destination;
  readonly #settings: DeliverySettings;
  readonly #log: Logger;
  readonly #once = new Once();
  readonly #tail: Tail;
  #inMemory = 0;
  readonly #outcomes: Omit<Outcomes, "waiting"> = { notified: 0, dropped: 0, nobody: 0, ignored: 0, filtered: 0 };
  #running: NodeJS.Immediate | undefined;
  #saving: Promise<void> = Promise.resolve();
  #saveTimer: NodeJS.Timeout | undefined;
  #saveTook = 0;
  #stopped = false;
  readonly #recent = new RecentOutcomes();
  /** When the turn of the event loop began in which a record has had its outcome. */
  #turnMs: number | undefined;
  #state = delivering();

  private constructor(
    settings: DeliverySettings,
    tail: (wake: () => void, onMissed: () => void) => Tail,
    destination: (answers: Answers) => Destination,
    log: Logger,
  ) {
    this.name = settings.name;
    this.#settings = settings;
    this.#log = log;
    this.#tail = tail(
      () => this.#wake(),
      () => this.destination.missed?.(),
    );
    try {
      this.destination = destination(this);
    } catch (error) {
      this.#tail.close();
      throw error;
    }
  }

  /**
   * Begins where the cursor file says; without one, with the oldest record, or at the journal's end, which is saved first.
   * @throws OcnotifyError ERR_CURSOR for a cursor file that cannot be used, ERR_CURSOR_SAVE
   */
  static async start(
    settings: DeliverySettings,
    directory: JournalDirectory,
    destination: (answers: Answers) => Destination,
    log: Logger,
  ): Promise<Delivery> {
    const cursor = await firstCursor(settings, directory, log);
    const delivery = new Delivery(
      settings,
      (wake, onMissed) => new Tail(directory, cursor, wake, log, scannerFor(settings), onMissed),
      destination,
      log,
    );
    delivery.#wake();
    return delivery;
  }

  split(place: Place, index: number, answers: number): void {
    stretchOf(place).split(index, answers);
  }

  done(place: Place, index: number, outcome: Exclude<Outcome, "dropped">): void {
    this.#answered(stretchOf(place), index, outcome);
  }

  dropped(place: Place, index: number, reason: string): void {
    const stretch = stretchOf(place);
    stretch.drop(index, reason);
    this.#answered(stretch, index, "dropped");
  }

  /**
   * What became of an event: its outcome, with the time, or that it waits or is not read. Undefined for what is not remembered.
   */
  outcomeOf({ bucket, uid, offset }: EventPlace): RecentOutcome | undefined {
    // Several segments may have that beginning: those of processes that found the usual name taken.
    const prefix = `${bucket}.${uid}.`;
    const outcome = this.#tail.whereIs(prefix, offset);
    return outcome === undefined ? this.#recent.of(prefix, offset) : { outcome, atMs: undefined };
  }

  park(given: GivenRecord): void {
    const record = given as EventRecord;
    record.event = undefined;
    if (!record.stretch.unload(record.index)) return;
    this.#inMemory--;
    this.#tail.parked(record);
    if (this.#tail.behind) this.#wake();
  }

  load(record: GivenRecord): MailboxEvent | NotLoaded {
    return this.#tail.load(record as EventRecord);
  }

  idOf({ stretch, offset }: GivenRecord, event: MailboxEvent): string {
    return eventId(this.#settings.hostId, stretch.segment.name, offset, event.ts);
  }

  resume(): void {
    this.#wake();
  }

  hold(reason: string): void {
    if (this.#state.name === "held") {
      this.#state = { ...this.#state, reason };
      return;
    }
    this.#state = heldBecause(reason);
    this.#log.warn(`held: ${reason}. Until it delivers again, the journal keeps what is recorded for it`);
  }

  release(): void {
    if (this.#state.name !== "held") return;
    this.#state = delivering();
    this.#log.info("delivers again");
    this.#wake();
  }

  /** Whether a segment is of no more use to this destination. */
  isPast(segment: Segment): boolean {
    return this.#tail.isPast(segment);
  }

  status(): DeliveryStatus {
    const { unanswered, oldest, counters } = this.#tail;
    const unread = this.#tail.unread();
    return {
      ...counters,
      type: this.#settings.type,
      state: this.#state,
      outcomes: { ...this.#outcomes, waiting: unanswered },
      ...unread,
      lagRecords: unanswered + lagRecords(counters, unread),
      lagSeconds: oldest === undefined ? 0 : Math.max(0, performance.now() - oldest) / 1_000,
      ...this.destination.status(),
    };
  }

  /** Stops reading, lets the destination send what it has for at most `drainMs`, and saves the cursor. */
  async close(drainMs: number): Promise<void> {
    this.#stopped = true;
    clearImmediate(this.#running);
    this.#tail.close();
    await this.destination.close(drainMs);
    clearTimeout(this.#saveTimer);
    await this.#saving;
    await this.#save();
  }

  #wake(): void {
    if (this.#running !== undefined || this.#stopped || this.#state.name === "held") return;
    this.#running = setImmediate(() => {
      this.#running = undefined;
      if (this.#state.name !== "held") this.#read();
    });
  }

  #read(): void {
    const takesBacklog = this.#hasRoom(1) && this.destination.accepting;
    const records: EventRecord[] = [];
    // A backlog waits for room; what has just been written is little, and is not to wait for the backlog.
    if (takesBacklog) this.#tail.read(records);
    else if (this.#hasRoom(ROOM_FOR_NEW)) this.#tail.readNew(records);
    this.#inMemory += records.length;
    const wanted = records.filter((record) => {
      const filteredBy = record.event === undefined ? "" : this.#settings.filteredBy(record.event);
      if (filteredBy === undefined) return true;
      this.#answered(record.stretch, record.index, "filtered", filteredBy);
      return false;
    });
    if (wanted.length > 0) this.destination.deliver(wanted);
    if (takesBacklog) this.#saveSoon();
    if (takesBacklog && this.#tail.behind) this.#wake();
  }

  #answered(stretch: Stretch, index: number, outcome: Outcome | "filtered", reason = ""): void {
    const line = stretch.lineOf(index);
    if (this.#tail.answer(stretch, index)) {
      if (stretch.unload(index)) this.#inMemory--;
      const isDropped = stretch.isDropped(index);
      this.#outcomes[isDropped ? "dropped" : outcome]++;
      const why = isDropped ? stretch.dropReason(index) : reason;
      const what = why === "" ? outcome : `${isDropped ? "dropped" : outcome}: ${why}`;
      this.#recent.add(stretch.segment.name, line, what, this.#nowMs());
    }
    this.#saveSoon();
    if (this.#tail.behind) this.#wake();
  }

  /** The clock is read once in a turn of the event loop: for each record it would be a fiftieth of what the record costs. */
  #nowMs(): number {
    if (this.#turnMs === undefined) {
      this.#turnMs = performance.now();
      setImmediate(() => (this.#turnMs = undefined));
    }
    return this.#turnMs;
  }

  #hasRoom(share: number): boolean {
    return this.#inMemory < share * MAX_IN_MEMORY && this.#tail.unanswered < share * MAX_UNANSWERED;
  }

  #saveSoon(): void {
    if (this.#saveTimer !== undefined || this.#stopped) return;
    this.#saveTimer = setTimeout(
      () => {
        this.#saveTimer = undefined;
        this.#saving = this.#saving.then(() => this.#save());
      },
      Math.max(SAVE_MS, this.#saveTook / SAVE_SHARE),
    );
  }

  async #save(): Promise<void> {
    const began = performance.now();
    try {
      await saveCursor(this.#settings.cursorFile, this.#tail.cursor());
      this.#once.forget("save");
    } catch (error) {
      if (this.#once.first("save")) {
        const message = `${(error as Error).message}. Until it can be saved, a restart sends again what has been sent since`;
        this.#log.error({ destination: this.name }, message);
      }
    }
    this.#saveTook = performance.now() - began;
  }
}

/** Destinations know no more of it than a `Place` says, and give back what they were given. */
function stretchOf(place: Place): Stretch {
  return place as Stretch;
}

function scannerFor({ wholeRecords, wantsService }: DeliverySettings): RecordScanner | undefined {
  return wholeRecords ? undefined : new RecordScanner(wantsService);
}

/** How many records are not read, estimated by their bytes. */
export function lagRecords({ records, bytes }: TailCounters, { unreadBytes }: Unread): number {
  return Math.ceil(unreadBytes / (records === 0 ? TYPICAL_RECORD : bytes / records));
}
