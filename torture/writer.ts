import { randomBytes } from "node:crypto";
import { chownSync, closeSync, constants, fchmodSync, fstatSync, lstatSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { BUCKET_SECONDS } from "../src/journal/segment.ts";
import type { Tally } from "./tally.ts";

const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;

interface WriterOptions {
  /** Whose segments; another than one's own takes root. */
  readonly uid?: number;
  /** Seconds of a bucket, as in the plugin by default. */
  readonly bucketSeconds?: number;
  /** Milliseconds of unix time, by the writer's clock. */
  readonly clock?: () => number;
}

/** Writes records as the plugin does: appended to the segment of the time and the writer's uid, one write each. */
export class Writer {
  readonly #journal: string;
  readonly #tally: Tally;
  readonly #uid: number;
  readonly #bucketMs: number;
  readonly #clock: () => number;
  readonly #ownName = randomBytes(8).toString("hex");
  #bytes = 0;

  constructor(journal: string, tally: Tally, options: WriterOptions = {}) {
    this.#journal = journal;
    this.#tally = tally;
    this.#uid = options.uid ?? process.getuid?.() ?? 0;
    this.#bucketMs = (options.bucketSeconds ?? BUCKET_SECONDS) * 1_000;
    this.#clock = options.clock ?? Date.now;
  }

  /** Bytes written. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A record for each of these users, in this order. */
  write(users: readonly string[], fields: Record<string, unknown> = {}): void {
    this.#append(users.map((user) => () => `${this.#record(user, this.#tally.write(user), fields)}\n`));
  }

  /** Bytes that are no whole record; the next record follows on the same line. */
  tear(bytes: number): void {
    this.#append([() => this.#record("torn", 1, {}).slice(0, bytes)]);
  }

  #record(user: string, uid: number, fields: Record<string, unknown>): string {
    return JSON.stringify({
      v: 1,
      ts: this.#clock() * 1000,
      event: "MessageNew",
      user,
      mailbox: user,
      sep: "/",
      uidvalidity: 1,
      uids: String(uid),
      size: 1234,
      messageId: `<${this.#tally.records}@torture.example>`,
      service: "lmtp",
      ...fields,
    });
  }

  /** Each text is made only when the one before is written: a record is dated by its write. */
  #append(texts: readonly (() => string)[]): void {
    const written: string[] = [];
    let deleted: boolean;
    do {
      const { name, segment } = this.#open();
      try {
        for (let index = 0; index < texts.length; index++) {
          const text = (written[index] ??= texts[index]?.() ?? "");
          this.#bytes += writeSync(segment, text);
        }
        // Retention may have deleted it after it was opened.
        deleted = lstatSync(name, { throwIfNoEntry: false })?.ino !== fstatSync(segment).ino;
      } finally {
        closeSync(segment);
      }
    } while (deleted);
  }

  /** As the plugin, it writes to no file that somebody else has made: it takes a name that nobody can have made before. */
  #open(): { name: string; segment: number } {
    const usual = `${Math.floor(this.#clock() / this.#bucketMs)}.${this.#uid}`;
    for (const file of [usual, `${usual}.${this.#ownName}`]) {
      const name = join(this.#journal, `${file}.ndjson`);
      const segment = openSync(name, FLAGS, 0o640);
      const { uid } = fstatSync(segment);
      if (uid === this.#uid || uid === process.getuid?.()) {
        fchmodSync(segment, 0o640);
        if (uid !== this.#uid) chownSync(name, this.#uid, -1);
        return { name, segment };
      }
      closeSync(segment);
    }
    throw new Error("somebody else has made a file of a random name");
  }
}
