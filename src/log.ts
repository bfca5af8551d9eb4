import { createHash } from "node:crypto";
import { pino, type Logger } from "pino";
import { PinoPretty } from "pino-pretty";
import { printableCopy } from "./printable.ts";

export type { Logger } from "pino";

export const LOG_LEVELS = ["error", "warn", "info", "debug"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export const LOG_FORMATS = ["text", "json"] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

/**
 * The program's log, on stderr. `warn`: nothing is lost yet; `error`: the operator must act.
 * Text is for people and for the journal of systemd, which adds the time itself; json is one object a line.
 */
export function createLog(options: { level: LogLevel; format: LogFormat }): Logger {
  const underSystemd = process.env["JOURNAL_STREAM"] !== undefined;
  const stream =
    options.format === "json"
      ? pino.destination({ dest: 2, sync: true })
      : PinoPretty({
          destination: 2,
          sync: true,
          colorize: process.stderr.isTTY,
          singleLine: true,
          translateTime: underSystemd ? false : "SYS:yyyy-mm-dd HH:MM:ss.l",
          ignore: underSystemd ? "pid,hostname,time" : "pid,hostname",
        });
  return pino(
    {
      level: options.level,
      base: null,
      formatters: { level: (label) => ({ level: label }) },
      hooks: {
        // Names of users, folders and hosts come from others, and a log is read on a terminal.
        logMethod(args, method) {
          method.apply(this, args.map(printableCopy) as typeof args);
        },
      },
    },
    stream,
  );
}

/** A cause that lasts is told again after this. */
const AGAIN_MS = 60 * 60_000;
const MAX_CAUSES = 10_000;
const MAX_CAUSES_OF_ONE = 100;
/** Characters. A longer cause, such as one with the name of a folder, is remembered by its hash. */
const MAX_CAUSE = 256;

/**
 * Remembers what was logged, so that a cause is told once an hour and not per record. No more than 10,000 causes are told in
 * an hour, and 100 that one uid is to blame for: whoever can make causes up (names of hosts, of folders) must not fill the
 * disk with the log, nor use up what others have to be told.
 */
export class Once {
  readonly #told = new Map<string, number>();
  /** By uid: since when, and how many. */
  readonly #blamed = new Map<number, { readonly since: number; count: number }>();

  /**
   * True the first time in an hour that it is asked for `cause`.
   * @param uid who is to blame, when that is somebody who is not trusted
   */
  first(cause: string, uid?: number): boolean {
    const key = keyOf(cause);
    const now = performance.now();
    const blamed = uid === undefined ? undefined : this.#blame(uid, now);
    if (blamed !== undefined && blamed.count >= MAX_CAUSES_OF_ONE) return false;
    const told = this.#told.get(key);
    if (told !== undefined && now - told < AGAIN_MS) return false;
    // Set anew, so that those told of longest ago come first.
    this.#told.delete(key);
    for (const [other, at] of this.#told) {
      if (now - at < AGAIN_MS) break;
      this.#told.delete(other);
    }
    if (this.#told.size >= MAX_CAUSES) return false;
    this.#told.set(key, now);
    if (blamed !== undefined) blamed.count++;
    return true;
  }

  /** The cause is over: when it comes back, it is told again. @returns whether it was told */
  forget(cause: string): boolean {
    return this.#told.delete(keyOf(cause));
  }

  #blame(uid: number, now: number): { count: number } {
    let blamed = this.#blamed.get(uid);
    if (blamed === undefined || now - blamed.since >= AGAIN_MS) {
      blamed = { since: now, count: 0 };
      this.#blamed.delete(uid);
      for (const [other, { since }] of this.#blamed) {
        if (now - since < AGAIN_MS) break;
        this.#blamed.delete(other);
      }
      this.#blamed.set(uid, blamed);
    }
    return blamed;
  }
}

function keyOf(cause: string): string {
  return cause.length > MAX_CAUSE ? createHash("sha1").update(cause).digest("base64") : cause;
}
