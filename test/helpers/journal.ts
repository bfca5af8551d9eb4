import { appendFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import type { EventRecord } from "../../src/journal/stretch.ts";
import type { Cursor } from "../../src/journal/cursor.ts";
import { JournalDirectory } from "../../src/journal/directory.ts";
import { Growth } from "../../src/journal/growth.ts";
import { Owners, type UserNames } from "../../src/journal/owners.ts";
import type { Segment } from "../../src/journal/segment.ts";
import { Tail } from "../../src/journal/tail.ts";
import { Writer } from "../../src/journal/writer.ts";
import type { Logger } from "../../src/log.ts";
import { OWN_UID, segmentName } from "./segments.ts";

export { OWN_UID, segmentName } from "./segments.ts";

/** A uid that is certainly not this process's own, and has no name in the system. */
export const STRANGE_UID = 61_234;

/** Why a test that gives files away cannot run, or false. */
export const NOT_ROOT = OWN_UID === 0 ? false : "only root can give a file to another user";

export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** A log that keeps its lines for the test to read. */
export function collectLog(): { log: Logger; lines: LogLine[] } {
  const lines: LogLine[] = [];
  const stream = { write: (line: string) => void lines.push(JSON.parse(line) as LogLine) };
  const log = pino({ level: "debug", base: null, formatters: { level: (level) => ({ level }) } }, stream);
  return { log, lines };
}

/** One line of the journal, its newline included. */
export function line(fields: Record<string, unknown> = {}): string {
  const record = { v: 1, ts: 1, event: "MessageNew", user: "jdoe", mailbox: "INBOX", sep: "/", ...fields };
  return `${JSON.stringify(record)}\n`;
}

/** A segment of which there is no file. */
export function noSegment(fields: Partial<Segment> = {}): Segment {
  const name = segmentName(1, 0);
  const times = { modified: 0, growth: new Growth(0, 0), foundAt: 0, writtenAt: 0 };
  return {
    name,
    bucket: 1,
    uid: 0,
    inode: 1n,
    identity: "1:0:",
    size: 0,
    gone: false,
    deletedUnread: false,
    ...times,
    ...fields,
  };
}

/** A writer as nobody reads it. */
export function writerOf(uid: number): Writer {
  return new Writer(uid, new Owners([]), () => undefined);
}

/** A journal in a folder of its own, and who reads it. */
export class TestJournal {
  readonly folder = mkdtempSync(join(tmpdir(), "ocnotify-journal-"));
  readonly path = join(this.folder, "journal");
  readonly lines: LogLine[];
  readonly log: Logger;
  readonly #opened: { close(): void }[] = [];

  constructor() {
    mkdirSync(this.path);
    ({ log: this.log, lines: this.lines } = collectLog());
  }

  file(segment: string): string {
    return join(this.path, segment);
  }

  append(segment: string, data: string | Buffer): void {
    appendFileSync(this.file(segment), data);
  }

  /** @param mailUsers names or uids of the configured mail users */
  async open(mailUsers: readonly (string | number)[] = [], userNames: UserNames = {}): Promise<JournalDirectory> {
    const owners = new Owners(mailUsers, userNames);
    await owners.resolve(this.log);
    const directory = new JournalDirectory(this.path, owners, this.log);
    await directory.open();
    this.#opened.push(directory);
    return directory;
  }

  /** Opens the journal and reads all there is, and whatever comes. */
  async read(cursor?: Cursor, ...owners: Parameters<TestJournal["open"]>): Promise<Reader> {
    const reader = new Reader(await this.open(...owners), cursor, this.log);
    this.#opened.push(reader.tail);
    return reader;
  }

  /** Closes everything that was opened, as the end of the daemon does. */
  close(): void {
    for (const opened of this.#opened.splice(0).toReversed()) opened.close();
  }

  remove(): void {
    this.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Reads all that a tail offers as soon as it does. */
export class Reader {
  readonly directory: JournalDirectory;
  readonly tail: Tail;
  readonly records: EventRecord[] = [];

  constructor(directory: JournalDirectory, cursor: Cursor | undefined, log: Logger) {
    this.directory = directory;
    this.tail = new Tail(directory, cursor, () => this.#drain(), log);
    this.#drain();
  }

  get users(): string[] {
    return this.records.map(({ event }) => event?.user ?? "");
  }

  #drain(): void {
    while (this.tail.behind) this.tail.read(this.records);
  }
}
