import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, statSync, unlinkSync, watch } from "node:fs";
import type { BigIntStats, FSWatcher } from "node:fs";
import { opendir } from "node:fs/promises";
import { join } from "node:path";
import { OcnotifyError } from "../errors.ts";
import { Once, type Logger } from "../log.ts";
import { Owners } from "./owners.ts";
import { MAY, remedyOf } from "./remedy.ts";
import { parseSegmentName, type Segment } from "./segment.ts";

/** The kernel's queue of changes may overflow, unseen by us: so often the directory is listed anew all the same. */
const RESCAN_MS = 60_000;
const REOPEN_MS = 5_000;
/**
 * Changes within this time after the last look are looked at together: under load, to look at each by itself would take
 * the processor from the deliveries that make them. The first after a while is looked at at once.
 */
const PAUSE_MS = 10;
const MAX_OPEN_FILES = 64;
/** A file with this much of nothing in it, and a hundredth of something at most, was made to keep a reader busy. */
const MAX_HOLE = 1024n ** 3n;
const MIN_DENSITY = 100n;

export interface DirectoryCounters {
  /** Files in the directory that are not read, by reason. */
  untrusted: Record<string, number>;
}

/**
 * The journal's directory: which segments there are, how far each is written, and their bytes. Shared by every
 * destination's tail. The kernel tells of changes (inotify), so an idle directory costs nothing.
 */
export class JournalDirectory {
  readonly path: string;
  readonly owners: Owners;
  readonly segments = new Map<string, Segment>();
  readonly counters: DirectoryCounters = { untrusted: {} };
  readonly #log: Logger;
  readonly #once = new Once();
  readonly #untrusted = new Map<string, string>();
  readonly #files = new Map<Segment, number>();
  readonly #listeners = new Set<(changed: readonly Segment[]) => void>();
  readonly #dirty = new Set<string>();
  readonly #retries = new Set<Segment>();
  #watcher: FSWatcher | undefined;
  /** The directory that is watched: another may take its name. */
  #watched = "";
  #rescan: NodeJS.Timeout | undefined;
  #reopen: NodeJS.Timeout | undefined;
  #scheduled: NodeJS.Immediate | undefined;
  #delayed: NodeJS.Timeout | undefined;
  #refreshedAt = -Infinity;
  #scanning: Promise<void> | undefined;
  #closed = false;

  constructor(path: string, owners: Owners, log: Logger) {
    this.path = path;
    this.owners = owners;
    this.#log = log;
  }

  /**
   * Lists the directory and goes on watching it.
   * @throws OcnotifyError ERR_JOURNAL_DIRECTORY when it is missing, is no directory or may not be listed
   */
  async open(): Promise<void> {
    try {
      this.#watch();
      await this.#scan();
    } catch (error) {
      this.close();
      throw directoryError(this.path, error);
    }
    this.#rescan = setInterval(() => void this.#rescanNow(), RESCAN_MS);
    this.#rescan.unref();
  }

  /** Calls `listener` with the segments that are new, have grown, shrunk or gone; returns how to stop that. */
  onChange(listener: (changed: readonly Segment[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** A segment could not be read for now: its listeners are called again with the next listing of the directory. */
  retryLater(segment: Segment): void {
    this.#retries.add(segment);
  }

  /**
   * Fills `target` from `position` on; returns the number of bytes, 0 at the end or when the file is gone.
   * The file that is read is the one that was looked at, whatever has been put in its place.
   */
  read(segment: Segment, position: number, target: Buffer, length = target.length): number {
    const file = this.#file(segment);
    if (file === undefined) return 0;
    try {
      return readSync(file, target, 0, length, position);
    } catch (error) {
      this.#closeFile(segment);
      this.retryLater(segment);
      if (this.#once.first(`read ${segment.name}`)) {
        this.#log.error({ segment: segment.name, position }, `cannot read the segment: ${(error as Error).message}`);
      }
      return 0;
    }
  }

  /** Deletes a segment unless something was written to it since `size` was read. Returns whether it is gone. */
  remove(segment: Segment): boolean {
    const path = join(this.path, segment.name);
    try {
      const stats = lstatSync(path, { bigint: true });
      if (identityOf(stats) === segment.identity) {
        if (Number(stats.size) !== segment.size) {
          this.#markDirty(segment.name);
          return false;
        }
        unlinkSync(path);
      }
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code !== "ENOENT") {
        if (this.#once.first(`remove ${code}`)) {
          const usual = `The daemon's user must own ${this.path}`;
          const remedy = remedyOf(code, this.path, MAY.write + MAY.search, usual);
          this.#log.error(`cannot delete old segments of the journal: ${message}. ${remedy}`);
        }
        return false;
      }
    }
    this.#forget(segment);
    this.#tell([segment]);
    return true;
  }

  close(): void {
    this.#closed = true;
    this.#watcher?.close();
    clearInterval(this.#rescan);
    clearInterval(this.#reopen);
    clearImmediate(this.#scheduled);
    clearTimeout(this.#delayed);
    for (const segment of this.#files.keys()) this.#closeFile(segment);
  }

  #watch(): void {
    this.#watched = identityOf(statSync(this.path, { bigint: true }));
    const watcher = watch(this.path, (_event, name) => {
      // A change without a name, or one of the directory itself, can mean anything.
      if (name === null || parseSegmentName(name) === undefined) this.#checkDirectory();
      else this.#markDirty(name);
    });
    watcher.on("error", (error) => this.#lost(error));
    this.#watcher = watcher;
  }

  #checkDirectory(): void {
    try {
      if (identityOf(statSync(this.path, { bigint: true })) === this.#watched) return;
    } catch (error) {
      this.#lost(error as Error);
      return;
    }
    // Another directory stands in its place.
    this.#watcher?.close();
    if (this.#reopened()) void this.#rescanNow();
  }

  /** The directory is gone: mails are still delivered, so watch out for its return. That is work: it keeps us alive. */
  #lost(error: Error): void {
    if (this.#closed || this.#reopen !== undefined) return;
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#log.error(`${directoryError(this.path, error).message}. Looking for it every ${REOPEN_MS / 1000} s`);
    this.#reopen = setInterval(() => {
      if (!this.#reopened()) return;
      clearInterval(this.#reopen);
      this.#reopen = undefined;
      void this.#rescanNow();
    }, REOPEN_MS);
  }

  #reopened(): boolean {
    try {
      this.#watch();
    } catch (error) {
      this.#lost(error as Error);
      return false;
    }
    this.#log.info({ directory: this.path }, "the journal directory is back");
    return true;
  }

  async #rescanNow(): Promise<void> {
    try {
      if (this.#watcher !== undefined) this.#checkDirectory();
      await this.#scan();
      const retries = [...this.#retries].filter(({ gone }) => !gone);
      this.#retries.clear();
      this.#tell(retries);
    } catch (error) {
      if (this.#watcher !== undefined) this.#lost(error as Error);
    }
  }

  async #scan(): Promise<void> {
    this.#scanning ??= this.#list().finally(() => {
      this.#scanning = undefined;
    });
    return this.#scanning;
  }

  async #list(): Promise<void> {
    const before = new Set(this.segments.keys());
    for await (const entry of await opendir(this.path, { bufferSize: 256 })) {
      if (this.#closed) return;
      if (parseSegmentName(entry.name) === undefined) continue;
      before.delete(entry.name);
      this.#dirty.add(entry.name);
      if (this.#dirty.size >= 1024) this.#refresh();
    }
    for (const name of before) this.#dirty.add(name);
    this.#refresh();
  }

  #markDirty(name: string): void {
    this.#dirty.add(name);
    if (this.#scheduled !== undefined || this.#delayed !== undefined) return;
    const left = this.#refreshedAt + PAUSE_MS - performance.now();
    if (left > 0) {
      this.#delayed = setTimeout(() => this.#refresh(), left);
    } else {
      // After the poll phase: every change of this turn is looked at together.
      this.#scheduled = setImmediate(() => this.#refresh());
    }
  }

  #refresh(): void {
    clearImmediate(this.#scheduled);
    clearTimeout(this.#delayed);
    this.#scheduled = undefined;
    this.#delayed = undefined;
    this.#refreshedAt = performance.now();
    const changed: Segment[] = [];
    for (const name of this.#dirty) this.#look(name, changed);
    this.#dirty.clear();
    this.#tell(changed);
  }

  #tell(changed: readonly Segment[]): void {
    if (changed.length === 0) return;
    for (const listener of this.#listeners) listener(changed);
  }

  #look(name: string, changed: Segment[]): void {
    const known = this.segments.get(name);
    let stats: BigIntStats | undefined;
    try {
      stats = lstatSync(join(this.path, name), { bigint: true });
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "ENOENT") this.#distrust(name, `cannot be looked at (${code})`);
    }
    if (known !== undefined && (stats === undefined || identityOf(stats) !== known.identity)) {
      this.#forget(known);
      changed.push(known);
    }
    if (stats === undefined) {
      this.#untrusted.delete(name);
      return;
    }
    const parsed = parseSegmentName(name);
    const fault = parsed === undefined ? "not a segment" : faultOf(stats, parsed.euid);
    if (parsed === undefined || fault !== undefined) {
      this.#distrust(name, fault ?? "");
      return;
    }
    this.#untrusted.delete(name);
    const size = Number(stats.size);
    const modified = Number(stats.mtimeMs);
    const current = this.segments.get(name);
    if (current === undefined) {
      const uid = Number(stats.uid);
      const segment = { name, bucket: parsed.bucket, uid, identity: identityOf(stats), size, modified, gone: false };
      this.segments.set(name, segment);
      changed.push(segment);
    } else if (current.size !== size) {
      current.size = size;
      current.modified = modified;
      changed.push(current);
    }
  }

  #distrust(name: string, fault: string): void {
    if (this.#untrusted.get(name) === fault) return;
    if (this.#untrusted.size >= 100_000) this.#untrusted.clear();
    this.#untrusted.set(name, fault);
    this.counters.untrusted[fault] = (this.counters.untrusted[fault] ?? 0) + 1;
    if (this.#once.first(fault)) {
      this.#log.warn(
        { segment: name, directory: this.path },
        `not reading this file: ${fault}. Told once for all such`,
      );
    }
  }

  #forget(segment: Segment): void {
    segment.gone = true;
    if (this.segments.get(segment.name) === segment) this.segments.delete(segment.name);
    this.#closeFile(segment);
  }

  #file(segment: Segment): number | undefined {
    const open = this.#files.get(segment);
    if (open !== undefined) return open;
    if (segment.gone || this.#closed) return undefined;
    let file: number | undefined;
    try {
      // O_NONBLOCK: should a FIFO have taken its place, opening it must not hang.
      file = openSync(join(this.path, segment.name), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      if (identityOf(fstatSync(file, { bigint: true })) !== segment.identity) {
        closeSync(file);
        this.#markDirty(segment.name);
        return undefined;
      }
    } catch (error) {
      if (file !== undefined) closeSync(file);
      this.retryLater(segment);
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === "ENOENT") this.#markDirty(segment.name);
      else if (this.#once.first(`open ${segment.uid} ${code}`)) {
        const usual = `The daemon's group must own the files of ${this.path}: the directory needs mode 3733 and that group`;
        const remedy = remedyOf(code, join(this.path, segment.name), MAY.read, usual);
        this.#log.error({ segment: segment.name }, `cannot read the segment: ${message}. ${remedy}`);
      }
      return undefined;
    }
    if (this.#files.size >= MAX_OPEN_FILES) {
      const oldest = this.#files.keys().next().value;
      if (oldest !== undefined) this.#closeFile(oldest);
    }
    this.#files.set(segment, file);
    return file;
  }

  #closeFile(segment: Segment): void {
    const file = this.#files.get(segment);
    if (file === undefined) return;
    this.#files.delete(segment);
    closeSync(file);
  }
}

/** Not the device: its number may be another one after a reboot. */
function identityOf(stats: BigIntStats): string {
  return `${stats.ino}:${stats.birthtimeNs}`;
}

/** Why a file is not a segment that its writer made, or undefined when it is one. */
function faultOf(stats: BigIntStats, euid: number): string | undefined {
  if (stats.isSymbolicLink()) return "a symbolic link";
  if (!stats.isFile()) return "not a regular file";
  if (stats.nlink !== 1n) return "a file with several hard links";
  if (Number(stats.uid) !== euid) return "its owner is not the uid in its name";
  const filled = stats.blocks * 512n;
  if (stats.size - filled > MAX_HOLE && stats.size / MIN_DENSITY > filled) return "a file that is mostly a hole";
  return undefined;
}

function directoryError(path: string, error: unknown): OcnotifyError {
  const { code, message } = error as NodeJS.ErrnoException;
  const usual =
    code === "ENOENT"
      ? `Create it: install -d -m 3733 -o <user of the daemon> -g <its group> ${path}`
      : code === "EACCES"
        ? "It must belong to the daemon's user, with mode 3733"
        : code === "ENOTDIR"
          ? "Name a directory"
          : code === "ENOSPC" || code === "EMFILE"
            ? "Raise fs.inotify.max_user_watches, fs.inotify.max_user_instances or the limit of open files"
            : message;
  const remedy = remedyOf(code, path, MAY.read + MAY.search, usual);
  const what =
    code === "ENOENT" ? "does not exist" : code === "EACCES" ? "may not be listed" : `cannot be read (${code})`;
  return new OcnotifyError("ERR_JOURNAL_DIRECTORY", `journal directory ${path} ${what}. ${remedy}`, { cause: error });
}
