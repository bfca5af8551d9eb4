import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import type { Answers, Destination } from "./destinations/destination.ts";
import type { EventRecord, MailboxEvent } from "./event.ts";
import { loadCursor, saveCursor } from "./journal/cursor.ts";
import type { JournalDirectory } from "./journal/directory.ts";
import type { Segment } from "./journal/segment.ts";
import { Tail } from "./journal/tail.ts";
import { Once, type Logger } from "./log.ts";

/** Events held in memory at once; further ones stay in the journal until these are answered or put away. */
const MAX_IN_MEMORY = 16_384;
/** Records read and not yet answered, put away ones included. */
const MAX_UNANSWERED = 400_000;
/** A kill costs at most the notifications of this long, sent once more. */
const SAVE_MS = 1_000;

export interface DeliverySettings {
  /** The destination's name, for the log. */
  readonly name: string;
  readonly cursorFile: string;
  /** Which events the destination is given; the others are answered at once. */
  readonly wants: (event: MailboxEvent) => boolean;
}

/**
 * One destination and its reader of the journal. Reads as fast as the destination takes, remembers what is not yet
 * answered, and saves the place of the first of that, so that after any end everything unanswered is read again.
 */
export class Delivery implements Answers {
  readonly name: string;
  readonly destination: Destination;
  readonly #settings: DeliverySettings;
  readonly #log: Logger;
  readonly #once = new Once();
  readonly #tail: Tail;
  #inMemory = 0;
  #filtered = 0;
  #done = 0;
  #running: NodeJS.Immediate | undefined;
  #saving: Promise<void> = Promise.resolve();
  #saveTimer: NodeJS.Timeout | undefined;
  #stopped = false;

  private constructor(
    settings: DeliverySettings,
    tail: (wake: () => void) => Tail,
    destination: (answers: Answers) => Destination,
    log: Logger,
  ) {
    this.name = settings.name;
    this.#settings = settings;
    this.#log = log;
    this.#tail = tail(() => this.#wake());
    this.destination = destination(this);
  }

  /**
   * Begins where the cursor file says, or with the oldest record when there is none.
   * @throws OcnotifyError ERR_CURSOR for a cursor file that cannot be used
   */
  static async start(
    settings: DeliverySettings,
    directory: JournalDirectory,
    destination: (answers: Answers) => Destination,
    log: Logger,
  ): Promise<Delivery> {
    await mkdir(dirname(settings.cursorFile), { recursive: true });
    const cursor = await loadCursor(settings.cursorFile);
    const delivery = new Delivery(settings, (wake) => new Tail(directory, cursor, wake, log), destination, log);
    delivery.#wake();
    return delivery;
  }

  done(record: EventRecord): void {
    this.park(record);
    this.#done++;
    this.#tail.answered(record);
    this.#saveSoon();
    if (this.#tail.behind) this.#wake();
  }

  park(record: EventRecord): void {
    if (record.event === undefined) return;
    record.event = undefined;
    this.#inMemory--;
  }

  get crowded(): boolean {
    return this.#inMemory > MAX_IN_MEMORY / 2;
  }

  load(record: EventRecord): MailboxEvent | undefined {
    return this.#tail.load(record);
  }

  resume(): void {
    this.#wake();
  }

  /** Whether a segment is of no more use to this destination. */
  isPast(segment: Segment): boolean {
    return this.#tail.isPast(segment);
  }

  status(): {
    records: number;
    bytes: number;
    malformed: number;
    untrusted: number;
    filtered: number;
    done: number;
    unanswered: number;
    unreadBytes: number;
  } {
    const { unanswered, unreadBytes } = this.#tail;
    return { ...this.#tail.counters, filtered: this.#filtered, done: this.#done, unanswered, unreadBytes };
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
    if (this.#running !== undefined || this.#stopped) return;
    this.#running = setImmediate(() => {
      this.#running = undefined;
      this.#read();
    });
  }

  #read(): void {
    if (!this.destination.accepting || this.#inMemory >= MAX_IN_MEMORY) return;
    if (this.#tail.unanswered >= MAX_UNANSWERED) return;
    const records: EventRecord[] = [];
    this.#tail.read(records);
    this.#inMemory += records.length;
    const wanted = records.filter((record) => {
      if (record.event !== undefined && this.#settings.wants(record.event)) return true;
      this.#filtered++;
      this.done(record);
      return false;
    });
    if (wanted.length > 0) this.destination.deliver(wanted);
    this.#saveSoon();
    if (this.#tail.behind) this.#wake();
  }

  #saveSoon(): void {
    if (this.#saveTimer !== undefined || this.#stopped) return;
    this.#saveTimer = setTimeout(() => {
      this.#saveTimer = undefined;
      this.#saving = this.#saving.then(() => this.#save());
    }, SAVE_MS);
  }

  async #save(): Promise<void> {
    try {
      await saveCursor(this.#settings.cursorFile, this.#tail.cursor());
      this.#once.forget("save");
    } catch (error) {
      if (this.#once.first("save")) {
        const message = `${(error as Error).message}. Until it can be saved, a restart sends again what has been sent since`;
        this.#log.error({ destination: this.name }, message);
      }
    }
  }
}
