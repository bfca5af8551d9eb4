import type { Logger, Once } from "../log.ts";
import type { LineFault } from "./line-reader.ts";
import type { Segment } from "./segment.ts";

/** Malformed lines of one segment that are logged, and of all segments of one uid in an hour: it may make many. */
const MAX_LOGGED = 5;
const MAX_LOGGED_OF_UID = 50;

/** Counts the lines that are no records, and logs some of them. */
export class LineFaults {
  readonly #counters: { malformed: number; unrecorded: number };
  readonly #once: Once;
  readonly #log: Logger;

  constructor(counters: { malformed: number; unrecorded: number }, once: Once, log: Logger) {
    this.#counters = counters;
    this.#once = once;
    this.#log = log;
  }

  /**
   * @param of the segment, and how many malformed lines it has had
   * @param offset where the line begins, in bytes from the segment's beginning
   */
  add(of: { readonly segment: Segment; malformed: number }, offset: number, { code, reason }: LineFault): void {
    const { uid, name } = of.segment;
    if (code === "ERR_RECORD_LOST") {
      this.#unrecorded(of.segment, reason);
      return;
    }
    this.#counters.malformed++;
    // A line that is a record but cannot be believed is a change of which nobody is notified.
    const level = code === "ERR_RECORD" ? "error" : "warn";
    if (level === "error" && !this.#once.first(reason)) return;
    of.malformed++;
    if (of.malformed > MAX_LOGGED) return;
    if (!this.#once.first(`malformed ${uid} ${this.#counters.malformed % MAX_LOGGED_OF_UID}`)) return;
    const last = of.malformed === MAX_LOGGED ? ". Further ones in this segment are only counted" : "";
    this.#log[level]({ segment: name, offset }, `not a record, skipped: ${reason}${last}`);
  }

  #unrecorded({ uid, name: segment }: Segment, what: string): void {
    this.#counters.unrecorded++;
    if (!this.#once.first(`unrecorded ${uid}`)) return;
    this.#log.error(
      { segment },
      `${what}, so nobody is told. Shorten openchange_resolver or openchange_backend in Dovecot's configuration, or the mailbox's name, which is in Dovecot's log. Further ones are only counted`,
    );
  }
}
