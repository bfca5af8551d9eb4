import { chownSync, closeSync, constants, fchmodSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { BUCKET_SECONDS } from "../src/journal/segment.ts";
import type { Tally } from "./tally.ts";

const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;

/** Writes records as the plugin does: appended to the segment of the time and the writer's uid, one write each. */
export class Writer {
  readonly #journal: string;
  readonly #tally: Tally;
  readonly #uid: number;
  #bytes = 0;

  /** @param uid whose segments; another than one's own takes root */
  constructor(journal: string, tally: Tally, uid = process.getuid?.() ?? 0) {
    this.#journal = journal;
    this.#tally = tally;
    this.#uid = uid;
  }

  /** Bytes written. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A record for each of these users, in this order. */
  write(users: readonly string[], fields: Record<string, unknown> = {}): void {
    const now = Date.now();
    const name = join(this.#journal, `${Math.floor(now / 1000 / BUCKET_SECONDS)}.${this.#uid}.ndjson`);
    const segment = openSync(name, FLAGS, 0o640);
    try {
      fchmodSync(segment, 0o640);
      if (this.#uid !== process.getuid?.()) chownSync(name, this.#uid, -1);
      for (const user of users) {
        const record = {
          v: 1,
          ts: Date.now() * 1000,
          event: "MessageNew",
          user,
          mailbox: user,
          sep: "/",
          uidvalidity: 1,
          uids: String(this.#tally.write(user)),
          size: 1234,
          messageId: `<${this.#tally.records}@torture.example>`,
          service: "lmtp",
          ...fields,
        };
        this.#bytes += writeSync(segment, `${JSON.stringify(record)}\n`);
      }
    } finally {
      closeSync(segment);
    }
  }
}
