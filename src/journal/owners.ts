import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { OcnotifyError } from "../errors.ts";
import type { Logger } from "../log.ts";
import { printable } from "../printable.ts";

const run = promisify(execFile);

/** Milliseconds for which the system's answer about a uid is valid. */
const VALID_MS = 10 * 60_000;
/** The same for a uid that the system does not know: it may be about to get a name. */
const UNKNOWN_VALID_MS = 60_000;
/** Uids whose names are remembered; beyond it, the one that was asked for longest ago is forgotten. */
const MAX_KNOWN = 10_000;
/** Names of one uid beside its own, which the system has confirmed. */
const MAX_CONFIRMED = 8;
/** Names that are asked for at once when a uid is reconsidered. */
const MAX_ASKED = 16;
/** Processes of getent at once: a directory full of strangers' files must not become as many processes. */
const MAX_ASKING = 4;
/** A uid, and the names of the mail users, are asked for again at most once in this time. */
const AGAIN_MS = 5_000;
/** Uids that are reconsidered at once; others wait for the next listing of the directory. */
const MAX_RECONSIDERING = 64;

/** The configured names beside a system user's own that may be his in Dovecot: by his system name, with one `*` in each. */
export type UserNames = Readonly<Record<string, string | readonly string[]>>;

interface Owner {
  /** As the system has it; undefined when the system does not know the uid. */
  readonly name: string | undefined;
  /** Dovecot's names of this user in lower case, as far as the configuration has them. */
  readonly users: readonly string[];
  /** The same, as far as the system says that they are this uid's. */
  confirmed: readonly string[];
  /** Milliseconds of the process's clock. */
  readonly until: number;
}

/** `unanswered`: the name service failed. `skipped`: not asked, because too many others are. */
export type Verdict = "answered" | "unanswered" | "skipped";

/**
 * Whose segments are believed. Any local user can put a file into the journal's directory, so a segment speaks
 * for everybody only when root, the daemon's own user or a mail user owns it; one of another user speaks for
 * that user alone.
 */
export class Owners {
  readonly #mailUids: Set<number>;
  /** The mail users that are given by name, and their uids as far as the system knows them. */
  readonly #mailUsers: Map<string, number | undefined>;
  readonly #userNames: readonly (readonly [string, readonly string[]])[];
  readonly #owners = new Map<number, Owner>();

  readonly #learning = new Map<number, Promise<boolean>>();
  readonly #reconsidering = new Map<number, { readonly names: Set<string>; readonly verdict: Promise<Verdict> }>();
  readonly #reconsideredAt = new Map<number, number>();
  readonly #slots: Promise<unknown>[] = Array.from({ length: MAX_ASKING }, () => Promise.resolve());
  #slot = 0;
  #resolving: Promise<void> | undefined;
  #resolvedAt = -Infinity;

  /** Mail users that are given by name are known only after `resolve`. */
  constructor(mailUsers: Iterable<string | number>, userNames: UserNames = {}) {
    const users = [...mailUsers];
    this.#mailUids = new Set([0, process.geteuid?.() ?? 0, ...users.filter(isUid).map(Number)]);
    this.#mailUsers = new Map(users.filter((user) => !isUid(user)).map((user) => [String(user), undefined]));
    this.#userNames = Object.entries(userNames).map(([name, forms]) => [name, [forms].flat()]);
  }

  /** Looks up the mail users that are given by name. One that the system does not know yet may be made later. */
  async resolve(log: Logger): Promise<void> {
    try {
      await this.#resolveMailUsers();
    } catch (error) {
      log.warn((error as Error).message);
    }
    for (const user of this.unknownMailUsers) {
      const message = unknownMailUser(user);
      if (user === "vmail") log.debug(message);
      else log.warn(message);
    }
  }

  /** The configured mail users that the system does not know. */
  get unknownMailUsers(): string[] {
    return [...this.#mailUsers].flatMap(([name, uid]) => (uid === undefined ? [name] : []));
  }

  /** Whether a segment of this uid speaks for every user. */
  speaksForAll(uid: number): boolean {
    return this.#mailUids.has(uid);
  }

  /** Whether a segment of this uid speaks for this user of Dovecot, as far as the uid has been looked up; see `learn`. */
  speaksFor(uid: number, user: string): boolean {
    if (this.#mailUids.has(uid)) return true;
    const owner = this.#owners.get(uid);
    if (owner === undefined) return false;
    const name = user.toLowerCase();
    return owner.users.includes(name) || owner.confirmed.includes(name);
  }

  /** The system's name of a uid that has been looked up, and has one. */
  nameOf(uid: number): string | undefined {
    return this.#owners.get(uid)?.name;
  }

  /** Whether `speaksFor` knows enough of the uid to be asked. */
  knows(uid: number): boolean {
    if (this.#mailUids.has(uid)) return true;
    const owner = this.#owners.get(uid);
    return owner !== undefined && owner.until > performance.now();
  }

  /** Looks the name of a uid up where the system does (files, LDAP, …). False when the system gave no answer. */
  learn(uid: number): Promise<boolean> {
    const asked = this.#learning.get(uid);
    if (asked !== undefined) return asked;
    const asking = this.#inSlot(() => this.#learn(uid)).then(
      () => true,
      () => false,
    );
    this.#learning.set(uid, asking);
    void asking.finally(() => this.#learning.delete(uid));
    return asking;
  }

  /**
   * Asks the system anew about a uid for which `speaksFor` said no: whether it has become a mail user's, and whether
   * one of the names is a name of it. Not more than once in 5 s for each uid: who asks sooner waits, together with all
   * who ask meanwhile.
   */
  reconsider(uid: number, names: readonly string[]): Promise<Verdict> {
    let question = this.#reconsidering.get(uid);
    if (question === undefined) {
      if (this.#reconsidering.size >= MAX_RECONSIDERING) return Promise.resolve("skipped");
      const asked = new Set<string>();
      const verdict = this.#reconsider(uid, asked).then(
        () => "answered" as const,
        () => "unanswered" as const,
      );
      question = { names: asked, verdict };
      this.#reconsidering.set(uid, question);
      void verdict.finally(() => this.#reconsidering.delete(uid));
    }
    for (const name of names) if (question.names.size < MAX_ASKED) question.names.add(name);
    return question.verdict;
  }

  /** What to do about a segment of this uid that names a user for whom it does not speak. */
  advice(uid: number, user: string): string {
    const name = this.nameOf(uid);
    const unknown = this.unknownMailUsers;
    const mailUser =
      unknown.length > 0
        ? `journal.mail_users names ${unknown.join(", ")}, which this system does not know: make that user with uid ${uid}, or name ${name ?? uid} there and restart the daemon`
        : `add ${name ?? uid} to journal.mail_users and restart the daemon`;
    const own =
      name === undefined ? "" : `. If ${printable(user)} is the system's user ${name}, say so in journal.user_names`;
    return `If Dovecot delivers as uid ${uid}, ${mailUser}${own}`;
  }

  async #learn(uid: number): Promise<void> {
    const found = (await passwd(String(uid)))?.name;
    if (found !== undefined && this.#mailUsers.has(found)) this.#isMailUser(found, uid);
    const known = this.#owners.get(uid);
    const confirmed: string[] = [];
    for (const user of known?.confirmed ?? []) {
      const of = await uidOf(user);
      if (of === undefined || of === uid) confirmed.push(user);
    }
    // What a name service does not find for a moment must not be lost: a uid keeps its names until another has them.
    const name = found ?? known?.name;
    // Set anew, so that it is the last to be forgotten.
    this.#owners.delete(uid);
    const oldest = this.#owners.keys().next().value;
    if (this.#owners.size >= MAX_KNOWN && oldest !== undefined) this.#owners.delete(oldest);
    const until = performance.now() + (found === undefined ? UNKNOWN_VALID_MS : VALID_MS);
    this.#owners.set(uid, { name, users: this.#usersOf(name), confirmed, until });
  }

  async #reconsider(uid: number, names: ReadonlySet<string>): Promise<void> {
    await until((this.#reconsideredAt.get(uid) ?? -Infinity) + AGAIN_MS);
    if (this.#reconsideredAt.size >= MAX_KNOWN) this.#reconsideredAt.clear();
    this.#reconsideredAt.set(uid, performance.now());
    await this.#inSlot(() => this.#learn(uid));
    for (const name of names) {
      const owner = this.#owners.get(uid);
      if (owner === undefined || owner.confirmed.length >= MAX_CONFIRMED || this.speaksFor(uid, name)) continue;
      if ((await this.#inSlot(() => uidOf(name))) === uid) {
        owner.confirmed = [...owner.confirmed, name.toLowerCase()];
      }
    }
    const unconfirmed = [...names].filter((name) => !this.speaksFor(uid, name));
    if (this.#mailUsers.size > 0 && unconfirmed.length > 0) await this.#resolveAgain();
  }

  /** The mail users are looked up again for all who ask together, and not before 5 s after the last time. */
  #resolveAgain(): Promise<void> {
    this.#resolving ??= (async () => {
      await until(this.#resolvedAt + AGAIN_MS);
      this.#resolvedAt = performance.now();
      await this.#resolveMailUsers();
    })().finally(() => {
      this.#resolving = undefined;
    });
    return this.#resolving;
  }

  async #resolveMailUsers(): Promise<void> {
    for (const name of this.#mailUsers.keys()) {
      const entry = await passwd(name);
      if (entry !== undefined) this.#isMailUser(name, entry.uid);
    }
  }

  #isMailUser(name: string, uid: number): void {
    this.#mailUsers.set(name, uid);
    this.#mailUids.add(uid);
  }

  /** The configured names of the system's user of this name, his own among them. */
  #usersOf(name: string | undefined): string[] {
    if (name === undefined) return [];
    const users = this.#userNames.flatMap(([pattern, forms]) => {
      const part = starOf(pattern, name);
      return part === undefined ? [] : forms.map((form) => form.replace("*", () => part));
    });
    return [name, ...users].map((user) => user.toLowerCase());
  }

  #inSlot<T>(ask: () => Promise<T>): Promise<T> {
    this.#slot = (this.#slot + 1) % MAX_ASKING;
    const asking = (this.#slots[this.#slot] ?? Promise.resolve()).then(ask);
    this.#slots[this.#slot] = asking.catch(() => undefined);
    return asking;
  }
}

function isUid(user: string | number): boolean {
  return typeof user === "number" || /^\d+$/.test(user);
}

/** The uid of a name of Dovecot, when it is one of the system. */
async function uidOf(name: string): Promise<number | undefined> {
  // getent(1) takes a number for a uid, also with a sign or blanks before it.
  return /^\s*[-+]?\d+$/.test(name) ? undefined : (await passwd(name))?.uid;
}

/** Resolves at a time of the process's clock, in milliseconds. */
async function until(time: number): Promise<void> {
  const wait = time - performance.now();
  if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
}

/** What `*` stands for when the pattern matches the name: a name without a domain. Empty for a pattern without `*`. */
function starOf(pattern: string, name: string): string | undefined {
  const [before = "", after] = pattern.split("*");
  if (after === undefined) return pattern === name ? "" : undefined;
  const part = name.slice(before.length, name.length - after.length);
  return name === before + part + after && /^[^@\\/+]+$/.test(part) ? part : undefined;
}

const unknownMailUser = (user: string): string =>
  `mail user "${user}": this system knows no such user. Name the user that Dovecot delivers as (mail_uid, or the userdb's uid)`;

/**
 * The uid of a configured mail user.
 * @throws OcnotifyError ERR_MAIL_USER for a name that the system does not know, ERR_GETENT when it gives no answer
 */
export async function uidOfMailUser(user: string | number): Promise<number> {
  if (isUid(user)) return Number(user);
  const entry = await passwd(String(user));
  if (entry === undefined) throw new OcnotifyError("ERR_MAIL_USER", unknownMailUser(String(user)));
  return entry.uid;
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
