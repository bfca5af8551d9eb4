import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { OcnotifyError } from "../errors.ts";
import type { Logger } from "../log.ts";

const run = promisify(execFile);

/** How long the answer for a uid is believed. */
const BELIEVED_MS = 10 * 60_000;
const MAX_KNOWN = 10_000;
/** Processes of getent at once: a directory full of strangers' files must not become as many processes. */
const MAX_ASKING = 4;

/**
 * Whose segments are believed. Any local user can put a file into the journal's directory, so a segment speaks
 * for everybody only when root, the daemon's own user or a mail user owns it; one of another user speaks for
 * the user of that name alone.
 */
export class Owners {
  readonly #mailUids: ReadonlySet<number>;
  readonly #names = new Map<number, { name: string | undefined; until: number }>();

  readonly #asking = new Map<number, Promise<boolean>>();
  readonly #slots: Promise<unknown>[] = Array.from({ length: MAX_ASKING }, () => Promise.resolve());
  #slot = 0;

  constructor(mailUids: Iterable<number>) {
    this.#mailUids = new Set([0, process.geteuid?.() ?? 0, ...mailUids]);
  }

  /** Whether a segment of this uid speaks for every user. */
  speaksForAll(uid: number): boolean {
    return this.#mailUids.has(uid);
  }

  /** The only user that a segment of this uid may name, if it has been looked up; see `learn`. */
  nameOf(uid: number): string | undefined {
    return this.#names.get(uid)?.name;
  }

  /** Whether `nameOf(uid)` is known well enough to be asked. */
  knows(uid: number): boolean {
    const known = this.#names.get(uid);
    return known !== undefined && known.until > performance.now();
  }

  /** Looks the name of a uid up where the system does (files, LDAP, …). False when the system gave no answer. */
  learn(uid: number): Promise<boolean> {
    const asked = this.#asking.get(uid);
    if (asked !== undefined) return asked;
    this.#slot = (this.#slot + 1) % MAX_ASKING;
    const asking = (this.#slots[this.#slot] ?? Promise.resolve()).then(() => this.#ask(uid));
    this.#slots[this.#slot] = asking;
    this.#asking.set(uid, asking);
    return asking;
  }

  async #ask(uid: number): Promise<boolean> {
    let name: string | undefined;
    try {
      name = (await passwd(String(uid)))?.name.toLowerCase();
    } catch {
      return false;
    } finally {
      this.#asking.delete(uid);
    }
    if (this.#names.size >= MAX_KNOWN) this.#names.clear();
    this.#names.set(uid, { name, until: performance.now() + BELIEVED_MS });
    return true;
  }
}

/**
 * The uids of the configured mail users.
 * @throws OcnotifyError ERR_MAIL_USER for a name that the system does not know
 */
export async function uidsOfUsers(users: readonly (string | number)[]): Promise<number[]> {
  const uids: number[] = [];
  for (const user of users) {
    if (typeof user === "number" || /^\d+$/.test(user)) {
      uids.push(Number(user));
      continue;
    }
    const entry = await passwd(user);
    if (entry === undefined) {
      throw new OcnotifyError(
        "ERR_MAIL_USER",
        `mail user "${user}": this system knows no such user. Name the user that Dovecot delivers as (mail_uid, or the userdb's uid)`,
      );
    }
    uids.push(entry.uid);
  }
  return uids;
}

async function passwd(key: string): Promise<{ name: string; uid: number } | undefined> {
  try {
    const { stdout } = await run("getent", ["passwd", "--", key], { timeout: 10_000 });
    const [name, , uid] = stdout.split("\n", 1)[0]?.split(":") ?? [];
    return name === undefined || uid === undefined || !/^\d+$/.test(uid) ? undefined : { name, uid: Number(uid) };
  } catch (error) {
    // getent(1): 2 is "one or more supplied key could not be found".
    if ((error as { code?: unknown }).code === 2) return undefined;
    throw new OcnotifyError("ERR_GETENT", `cannot look up user "${key}" with getent: ${(error as Error).message}`, {
      cause: error,
      canRetry: true,
    });
  }
}

/** A mail user that this host does not have cannot own a segment either, so it is no reason not to start. */
export async function knownUids(users: readonly (string | number)[], log: Logger): Promise<number[]> {
  const uids: number[] = [];
  for (const user of users) {
    try {
      uids.push(...(await uidsOfUsers([user])));
    } catch (error) {
      if (user === "vmail") log.debug((error as Error).message);
      else log.warn((error as Error).message);
    }
  }
  return uids;
}
