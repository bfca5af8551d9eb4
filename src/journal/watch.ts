import { randomBytes } from "node:crypto";
import { closeSync, openSync, readFileSync, statSync, unlinkSync, watch } from "node:fs";
import type { FSWatcher } from "node:fs";
import { basename, join } from "node:path";
import { isShortOfDescriptors } from "../descriptors.ts";
import { OcnotifyError } from "../errors.ts";
import { Once, type Logger } from "../log.ts";
import { MAY, remedyOf } from "./remedy.ts";
import { parseSegmentName } from "./segment.ts";

/** Although the kernel tells of changes, the directory is listed this often, should one have been lost. */
const RELIST_MS = 60_000;
/** The directory is listed this often while it is not certain that the kernel tells of changes. */
const POLL_MS = 1_000;
/** Polling waits this many times longer than a listing takes. */
const POLL_PAUSE = 20;
/** The kernel has told of a change within this time, or never will. */
const TOLD_MS = 1_000;
const REOPEN_MS = 5_000;
/** The kernel's queue of changes, where /proc does not say. What comes while it is full is not told. */
const QUEUE_LENGTH = 16_384;

/**
 * Whether inotify tells of what others write: `works` once it has told of a segment's change, `unproven` before,
 * `silent` when it has not told of a change, or cannot be used.
 */
export type Inotify = "works" | "unproven" | "silent";

export interface WatchEvents {
  /** The kernel tells of a change of this segment. */
  changed(name: string): void;
  /**
   * Anything may have changed: the directory is to be listed.
   * @returns some of the segments of whose change the kernel had not told by then
   */
  list(): Promise<readonly string[]>;
  /** Once a minute, after a listing. */
  relisted(): void;
}

/**
 * Finds out when the journal's directory changes: by inotify, so that an idle directory costs nothing; and by listing it
 * every second until inotify is known to tell of what others write. On NFS, virtiofs, overlay and in some sandboxes it
 * tells only of one's own changes, or of none.
 */
export class DirectoryWatch {
  readonly #path: string;
  readonly #events: WatchEvents;
  readonly #log: Logger;
  readonly #once = new Once();
  #watcher: FSWatcher | undefined;
  /** Device and inode of the directory that is watched: another may take its name. */
  #watched = "";
  #inotify: Inotify = "unproven";
  /** Segments that a listing found to be changed and of which the kernel has yet to tell. */
  readonly #untold = new Set<string>();
  /** The name of our own file, until the kernel tells of it. */
  #probe: string | undefined;
  readonly #queueLength = maxQueuedEvents();
  /** Changes that were told in this turn of the event loop. */
  #told = 0;
  /** The directory was deleted or moved, so the one that is there may be another, though it have the same inode. */
  #doubted = false;
  #relist: NodeJS.Timeout | undefined;
  #poll: NodeJS.Timeout | undefined;
  #reopen: NodeJS.Timeout | undefined;
  readonly #waits = new Set<NodeJS.Timeout>();
  #closed = false;

  constructor(path: string, events: WatchEvents, log: Logger) {
    this.#path = path;
    this.#events = events;
    this.#log = log;
  }

  get inotify(): Inotify {
    return this.#inotify;
  }

  /** Begins to watch: what changes from now on is not missed. @throws what keeps the directory from being looked at */
  open(): void {
    this.#watch();
    this.#relist = setInterval(() => void this.#relistNow(), RELIST_MS);
    this.#relist.unref();
    this.#pollSoon();
  }

  /**
   * Makes and deletes a file, to learn at once whether inotify tells of anything. Its name is none of a segment. Where no
   * file can be made, the first change that somebody else makes shows it.
   */
  probe(): void {
    if (this.#watcher === undefined) return;
    const name = `.probe-${randomBytes(6).toString("hex")}`;
    const path = join(this.#path, name);
    try {
      closeSync(openSync(path, "wx", 0o600));
      unlinkSync(path);
    } catch (error) {
      this.#log.debug(`cannot try inotify: ${(error as Error).message}`);
      return;
    }
    this.#probe = name;
    this.#afterTelling(() => {
      if (this.#probe === name) this.#isSilent();
    });
  }

  close(): void {
    this.#closed = true;
    this.#watcher?.close();
    clearInterval(this.#relist);
    clearInterval(this.#reopen);
    clearTimeout(this.#poll);
    for (const wait of this.#waits) clearTimeout(wait);
  }

  #watch(): void {
    const { dev, ino } = statSync(this.#path, { bigint: true });
    this.#watched = `${dev}:${ino}`;
    this.#probe = undefined;
    this.#untold.clear();
    try {
      this.#watcher = watch(this.#path, (event, name) => this.#onEvent(event, name));
    } catch (error) {
      const { code = "" } = error as NodeJS.ErrnoException;
      if (["ENOENT", "ENOTDIR", "EACCES"].includes(code)) throw error;
      this.#watcher = undefined;
      this.#isSilent(error as Error);
      return;
    }
    this.#watcher.on("error", (error) => this.#lost(error));
    this.#inotify = "unproven";
  }

  #onEvent(event: string, name: string | null): void {
    if (this.#told++ === 0) setImmediate(() => this.#turnEnded());
    if (name !== null && parseSegmentName(name) !== undefined) {
      this.#untold.delete(name);
      if (this.#inotify === "unproven") this.#inotify = "works";
      this.#events.changed(name);
    } else if (name !== null && name === this.#probe) {
      this.#probe = undefined;
    } else {
      // A change without a name, or one of the directory itself, can mean anything.
      if (event === "rename" && (name === null || name === basename(this.#path))) this.#doubted = true;
      if (this.#watchAnother(false)) void this.#list();
      this.#pollSoon();
    }
  }

  /** As many changes as the kernel's queue can hold: it may have been full, and the rest was not told. */
  #turnEnded(): void {
    const overflow = this.#told >= this.#queueLength;
    this.#told = 0;
    if (overflow && !this.#closed) void this.#list();
  }

  /** @returns whether another directory had taken the place of the one that was watched */
  #watchAnother(mayHaveSameInode: boolean): boolean {
    if (this.#closed || this.#reopen !== undefined) return false;
    try {
      const { dev, ino } = statSync(this.#path, { bigint: true });
      if (`${dev}:${ino}` === this.#watched && !mayHaveSameInode) return false;
      this.#watcher?.close();
      this.#watch();
      return true;
    } catch (error) {
      this.#lost(error as Error);
      return false;
    }
  }

  /** The directory is gone: mails are still delivered, so watch out for its return. That is work: it keeps us alive. */
  #lost(error: Error): void {
    if (this.#closed || this.#reopen !== undefined) return;
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#log.error(`${directoryError(this.#path, error).message}. Looking for it every ${REOPEN_MS / 1000} s`);
    this.#reopen = setInterval(() => {
      try {
        this.#watch();
      } catch {
        return;
      }
      clearInterval(this.#reopen);
      this.#reopen = undefined;
      this.#log.info({ directory: this.#path }, "the journal directory is back");
      void this.#list();
      this.#pollSoon();
    }, REOPEN_MS);
  }

  async #relistNow(): Promise<void> {
    // A limit may have been raised since.
    if (this.#watcher === undefined) this.#watchAnother(true);
    await this.#look();
    if (!this.#closed) this.#events.relisted();
  }

  /** Lists the directory, and finds out whether the kernel tells of what had changed. */
  async #look(): Promise<void> {
    if (this.#closed || this.#reopen !== undefined) return;
    const isNew = this.#watchAnother(this.#doubted);
    this.#doubted = false;
    const watcher = this.#watcher;
    const untold = await this.#list();
    if (isNew || untold.length === 0 || watcher === undefined || this.#inotify === "silent") return;
    for (const name of untold) this.#untold.add(name);
    this.#afterTelling(() => {
      if (this.#watcher === watcher && untold.some((name) => this.#untold.has(name))) this.#isSilent();
    });
  }

  async #list(): Promise<readonly string[]> {
    try {
      return await this.#events.list();
    } catch (error) {
      if (isShortOfDescriptors(error)) {
        // It is there, and what the kernel tells goes on coming.
        if (this.#once.first("short")) this.#log.error(`${directoryError(this.#path, error).message}. Tried again`);
        this.#pollSoon();
        return [];
      }
      this.#lost(error as Error);
      return [];
    }
  }

  /** Calls back when the kernel has told of everything that had changed before. */
  #afterTelling(callback: () => void): void {
    const wait = setTimeout(() => {
      this.#waits.delete(wait);
      // What was told while this process was busy comes before.
      setImmediate(() => {
        if (!this.#closed) callback();
      });
    }, TOLD_MS);
    wait.unref();
    this.#waits.add(wait);
  }

  #isSilent(error?: NodeJS.ErrnoException): void {
    if (this.#inotify === "silent") return;
    this.#inotify = "silent";
    this.#untold.clear();
    this.#probe = undefined;
    this.#pollSoon();
    if (!this.#once.first(`silent ${error?.code}`)) return;
    const every = `The directory is listed every second, so notifications come up to a second late`;
    if (error === undefined) {
      this.#log.warn(
        { directory: this.#path },
        `inotify does not tell of changes in the journal directory. ${every}. Put it on a local file system that Dovecot and the daemon share: not NFS, virtiofs or an overlay`,
      );
    } else {
      this.#log.error({ directory: this.#path }, `${watchError(error)}. ${every}`);
    }
  }

  #pollSoon(pauseMs = POLL_MS): void {
    if (this.#poll !== undefined || this.#closed) return;
    this.#poll = setTimeout(() => {
      const began = performance.now();
      const looking = this.#inotify === "works" && !this.#doubted ? undefined : this.#look();
      void looking?.then(() => {
        this.#poll = undefined;
        this.#pollSoon(Math.max(POLL_MS, (performance.now() - began) * POLL_PAUSE));
      });
      if (looking === undefined) this.#poll = undefined;
    }, pauseMs);
    this.#poll.unref();
  }
}

function maxQueuedEvents(): number {
  try {
    return Number(readFileSync("/proc/sys/fs/inotify/max_queued_events", "utf8")) || QUEUE_LENGTH;
  } catch {
    return QUEUE_LENGTH;
  }
}

/** inotify_init(2) and inotify_add_watch(2) say what each error means. */
function watchError(error: Error): string {
  const { code, message } = error as NodeJS.ErrnoException;
  const remedy =
    code === "ENOSPC"
      ? "Raise the sysctl fs.inotify.max_user_watches and restart ocnotify"
      : code === "EMFILE"
        ? "Raise the sysctl fs.inotify.max_user_instances or the limit of open files (LimitNOFILE) and restart ocnotify"
        : "This kernel or sandbox has no inotify";
  return `cannot watch the journal directory with inotify: ${message}. ${remedy}`;
}

/** The error of a directory that cannot be read, with what to do. */
export function directoryError(path: string, error: unknown): OcnotifyError {
  const { code, message } = error as NodeJS.ErrnoException;
  const usual =
    code === "ENOENT"
      ? `Create it: install -d -m 3733 -o <user of the daemon> -g <its group> ${path}`
      : code === "EACCES"
        ? "It must belong to the daemon's user, with mode 3733"
        : code === "ENOTDIR"
          ? "Name a directory"
          : message;
  const remedy = remedyOf(code, path, MAY.read + MAY.search, usual);
  const what =
    code === "ENOENT" ? "does not exist" : code === "EACCES" ? "may not be listed" : `cannot be read (${code})`;
  return new OcnotifyError("ERR_JOURNAL_DIRECTORY", `journal directory ${path} ${what}. ${remedy}`, { cause: error });
}
