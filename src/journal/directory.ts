import { fstatSync, lstatSync, readSync, renameSync, unlinkSync } from "node:fs";
import type { BigIntStats } from "node:fs";
import { opendir } from "node:fs/promises";
import { join } from "node:path";
import { isShortOfDescriptors } from "../descriptors.ts";
import { Once, type Logger } from "../log.ts";
import { Growth } from "./growth.ts";
import { isInode, unreadIdentity, type Identity } from "./identity.ts";
import type { Owners } from "./owners.ts";
import { MAY, remedyOf } from "./remedy.ts";
import { describeFault, faultOf, ownSegmentName, parseSegmentName, type FileFault, type Segment } from "./segment.ts";
import { SegmentFiles } from "./segment-files.ts";
import { DirectoryWatch, directoryError, type Inotify } from "./watch.ts";

/**
 * Changes within this time after the last look are looked at together: under load, to look at each by itself would take
 * the processor from the deliveries that make them. The first after a while is looked at at once.
 */
const PAUSE_MS = 10;
/** A segment that cannot be opened is not tried again before. */
const FAILED_MS = 200;
/** While no descriptor is free, what waits for one is tried again after this. */
const SHORT_MS = 1_000;
/** Names that are looked at together while the directory is listed. */
const LISTED_TOGETHER = 1024;

/** Segments of one uid that is no mail user's, while they are there: two months of one every ten minutes. */
const MAX_OF_STRANGER = 10_000;

/** Files that are not read are remembered up to this many; what is not remembered is not counted. */
const MAX_NOT_READ = 100_000;

/**
 * The journal's directory: which segments there are, how far each is written, and their bytes. Shared by every
 * destination's tail.
 */
export class JournalDirectory {
  readonly path: string;
  readonly owners: Owners;
  readonly segments = new Map<string, Segment>();
  readonly #log: Logger;
  readonly #once = new Once();
  readonly #notRead = new Map<string, FileFault>();
  /** Segments by uid. */
  readonly #counts = new Map<number, number>();
  readonly #files: SegmentFiles;
  readonly #listeners = new Set<(changed: readonly Segment[]) => void>();
  readonly #dirty = new Set<string>();
  readonly #retries = new Set<Segment>();
  #retrySoon: NodeJS.Timeout | undefined;
  /** When a segment could not be opened or read, in milliseconds of the process's clock. */
  readonly #failedAt = new Map<Segment, number>();
  readonly #watch: DirectoryWatch;
  /** Segments that were found to be others when they were opened, and of which nobody has been told. */
  readonly #replaced: Segment[] = [];
  /** Whether the directory has been listed: what is found from then on is new. */
  #listed = false;
  #scheduled: NodeJS.Immediate | undefined;
  #delayed: NodeJS.Timeout | undefined;
  #refreshedAt = -Infinity;
  #scanning: Promise<readonly string[]> | undefined;
  #closed = false;

  constructor(path: string, owners: Owners, log: Logger) {
    this.path = path;
    this.owners = owners;
    this.#files = new SegmentFiles(path);
    this.#log = log;
    this.#watch = new DirectoryWatch(
      path,
      {
        changed: (name) => this.#markDirty(name),
        list: () => this.#scan(),
        relisted: () => this.#retry(),
      },
      log,
    );
  }

  /** Whether the kernel tells of changes; the directory is listed every second otherwise. */
  get inotify(): Inotify {
    return this.#watch.inotify;
  }

  /**
   * Lists the directory and goes on watching it.
   * @throws OcnotifyError ERR_JOURNAL_DIRECTORY when it is missing, is no directory or may not be listed
   */
  async open(): Promise<void> {
    try {
      this.#watch.open();
      await this.#scan();
    } catch (error) {
      this.close();
      throw directoryError(this.path, error);
    }
    this.#listed = true;
  }

  /** Tries with a file of our own whether the kernel tells of changes; for the daemon, which owns the directory. */
  probe(): void {
    this.#watch.probe();
  }

  /** How many files there are at the moment that are not read, by reason. */
  get notRead(): Partial<Record<FileFault, number>> {
    const counts: Partial<Record<FileFault, number>> = {};
    for (const fault of this.#notRead.values()) counts[fault] = (counts[fault] ?? 0) + 1;
    return counts;
  }

  /** The files that are not read, as far as they are remembered, and why. */
  filesNotRead(): Iterable<[name: string, fault: FileFault]> {
    return this.#notRead;
  }

  /** A file has been changed: it is looked at again. */
  changed(name: string): void {
    this.#markDirty(name);
  }

  /** Calls `listener` with the segments that are new, have grown, shrunk or gone; returns how to stop that. */
  onChange(listener: (changed: readonly Segment[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Whether a segment is the file that had this identity, when a cursor was saved. */
  isStill(segment: Segment, identity: Identity): boolean {
    if (identity === segment.identity) return true;
    if (!isInode(identity, segment.inode)) return false;
    const confirmed = this.#files.confirm(segment, identity);
    if (confirmed !== undefined) segment.identity = confirmed;
    return confirmed !== undefined;
  }

  /** A segment cannot be read for now: its listeners are called again with the next listing of the directory. */
  retryLater(segment: Segment): void {
    this.#retries.add(segment);
  }

  /**
   * Fills `target` from `position` on; returns the number of bytes, 0 at the end or when the file is gone, undefined when
   * it cannot be read for now. The file that is read is the one that was looked at, whatever has been put in its place.
   */
  read(segment: Segment, position: number, target: Buffer, length = target.length): number | undefined {
    const file = this.#file(segment);
    if (file === undefined) return segment.gone || this.#closed ? 0 : undefined;
    try {
      return readSync(file, target, 0, length, position);
    } catch (error) {
      this.#files.close(segment);
      this.#failed(segment, error);
      if (this.#once.first(`read ${segment.uid}`)) {
        this.#log.error({ segment: segment.name, position }, `cannot read the segment: ${(error as Error).message}`);
      }
      return undefined;
    }
  }

  /**
   * Deletes a segment unless something was written to it since `size` was read. Returns whether it is gone.
   * @param state `unread`: not everybody has read it, and it need not be readable
   *
   * A writer opens it, writes, and looks whether it is still there under its name; if not, it writes again, to a new file.
   * Here it is renamed to a name that no writer opens, looked at, and unlinked. Whoever found it under its name after the
   * write has written before the look; then it stays under its new name, as a segment like others. After a kill it does, too.
   */
  remove(segment: Segment, state: "read" | "unread" = "read"): boolean {
    const path = join(this.path, segment.name);
    try {
      const { ino, size } = lstatSync(path, { bigint: true });
      if (ino === segment.inode) {
        const mustOpen = segment.size > 0 && state === "read";
        if (Number(size) !== segment.size || (mustOpen && this.#file(segment) === undefined)) {
          this.#markDirty(segment.name);
          return false;
        }
        const name = ownSegmentName(segment.name);
        const aside = join(this.path, name);
        renameSync(path, aside);
        const now = lstatSync(aside, { bigint: true });
        if (now.ino !== segment.inode || Number(now.size) !== segment.size) {
          this.#renamed(segment, name);
          return false;
        }
        unlinkSync(aside);
        // A writer's second write comes elsewhere. A plugin that only looks for links does not make one if it wrote since the
        // look: that is lost, but not uncounted.
        const file = this.#files.opened(segment);
        if (file !== undefined) segment.size = fstatSync(file).size;
        segment.deletedUnread = state === "unread";
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
    this.#watch.close();
    clearImmediate(this.#scheduled);
    clearTimeout(this.#delayed);
    clearTimeout(this.#retrySoon);
    this.#files.closeAll();
  }

  /** What could not be read is offered again. */
  #retry(): void {
    const retries = [...this.#retries].filter(({ gone }) => !gone);
    this.#retries.clear();
    this.#failedAt.clear();
    this.#tell(retries);
  }

  async #scan(): Promise<readonly string[]> {
    this.#scanning ??= this.#list().finally(() => {
      this.#scanning = undefined;
    });
    return this.#scanning;
  }

  /** Looks at every segment. @returns the first of those that had changed without a word of the kernel, as yet */
  async #list(): Promise<readonly string[]> {
    const before = new Set(this.segments.keys());
    const untold: string[] = [];
    const names: string[] = [];
    const look = (): void => {
      const changed = this.#refresh(names.splice(0));
      untold.push(...changed.slice(0, LISTED_TOGETHER - untold.length));
    };
    for await (const entry of await opendir(this.path, { bufferSize: 256 })) {
      if (this.#closed) return [];
      if (parseSegmentName(entry.name) === undefined) continue;
      before.delete(entry.name);
      names.push(entry.name);
      if (names.length >= LISTED_TOGETHER) look();
    }
    for (const name of before) names.push(name);
    look();
    return untold;
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

  /**
   * Looks at what the kernel has told of, then at what was listed.
   * @returns which of what was listed had changed, and had not been told of
   */
  #refresh(listed: readonly string[] = []): string[] {
    clearImmediate(this.#scheduled);
    clearTimeout(this.#delayed);
    this.#scheduled = undefined;
    this.#delayed = undefined;
    this.#refreshedAt = performance.now();
    const changed = this.#replaced.splice(0);
    for (const name of this.#dirty) this.#look(name, changed);
    this.#dirty.clear();
    const told = changed.length;
    for (const name of listed) this.#look(name, changed);
    const untold = changed.slice(told).map(({ name }) => name);
    this.#tell(changed);
    return untold;
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
      if (code !== "ENOENT") {
        this.#leaveOut(name, "unreadable", `it cannot be looked at (${code})`);
        return;
      }
    }
    if (known !== undefined && (stats === undefined || !this.#seemsTheSame(known, stats))) {
      this.#forget(known);
      changed.push(known);
    }
    if (stats === undefined) {
      this.#notRead.delete(name);
      return;
    }
    const parsed = parseSegmentName(name);
    if (parsed === undefined) return;
    const fault = faultOf(stats, parsed.euid);
    if (fault !== undefined) {
      this.#leaveOut(name, fault, describeFault(fault, stats));
      return;
    }
    const current = this.segments.get(name);
    const count = this.#counts.get(parsed.euid) ?? 0;
    if (current === undefined && count >= MAX_OF_STRANGER && !this.owners.speaksForAll(parsed.euid)) {
      this.#leaveOut(name, "too-many", `uid ${parsed.euid} has ${count} others, and is no mail user`);
      return;
    }
    this.#notRead.delete(name);
    if (current === undefined) {
      const segment = this.#segmentOf(name, parsed.bucket, stats);
      this.segments.set(name, segment);
      this.#counts.set(segment.uid, count + 1);
      changed.push(segment);
      return;
    }
    const size = Number(stats.size);
    current.modified = Number(stats.mtimeMs);
    if (current.size === size) return;
    current.growth.changed(current.size, size, this.#refreshedAt);
    current.writtenAt = this.#refreshedAt;
    current.size = size;
    changed.push(current);
  }

  #segmentOf(name: string, bucket: number, stats: BigIntStats): Segment {
    const now = this.#refreshedAt;
    const size = Number(stats.size);
    const modified = Number(stats.mtimeMs);
    return {
      name,
      bucket,
      uid: Number(stats.uid),
      inode: stats.ino,
      identity: unreadIdentity(stats.ino),
      size,
      modified,
      growth: new Growth(size, now),
      foundAt: this.#listed ? Math.ceil(now) : -Infinity,
      writtenAt: this.#listed ? now : now - Math.max(0, Date.now() - modified),
      gone: false,
      deletedUnread: false,
    };
  }

  /** Whether the file under a segment's name is that segment, as far as can be said without reading what is new. */
  #seemsTheSame(segment: Segment, stats: BigIntStats): boolean {
    if (stats.ino !== segment.inode) return false;
    const size = Number(stats.size);
    // Growth is looked at when it is read.
    if (size > segment.size || (size === segment.size && Number(stats.mtimeMs) === segment.modified)) return true;
    if (this.#files.opened(segment) !== undefined) {
      // An inode that is open is not used for another file, so this one was cut, and may begin otherwise now.
      if (size < segment.size) {
        this.#files.close(segment);
        segment.identity = unreadIdentity(segment.inode);
      }
      return true;
    }
    return this.#files.confirm(segment, segment.identity) !== undefined;
  }

  #leaveOut(name: string, fault: FileFault, why: string): void {
    if (this.#notRead.size < MAX_NOT_READ || this.#notRead.has(name)) this.#notRead.set(name, fault);
    if (this.#once.first(fault)) {
      this.#log.warn(
        { segment: name, directory: this.path },
        `not reading this file: ${why}. Logged once an hour for all such; ocnotify check says what to do`,
      );
    }
  }

  #renamed(segment: Segment, name: string): void {
    this.segments.delete(segment.name);
    this.#markDirty(segment.name);
    segment.name = name;
    this.segments.set(name, segment);
    this.#markDirty(name);
  }

  #forget(segment: Segment): void {
    segment.gone = true;
    this.#failedAt.delete(segment);
    if (this.segments.get(segment.name) === segment) {
      this.segments.delete(segment.name);
      const left = (this.#counts.get(segment.uid) ?? 0) - 1;
      if (left > 0) this.#counts.set(segment.uid, left);
      else this.#counts.delete(segment.uid);
    }
    this.#files.close(segment);
  }

  #file(segment: Segment): number | undefined {
    const open = this.#files.opened(segment);
    if (open !== undefined) return open;
    if (segment.gone || this.#closed) return undefined;
    // Hundreds of thousands of records may be asked for while it fails.
    const failedAt = this.#failedAt.get(segment);
    if (failedAt !== undefined && performance.now() - failedAt < FAILED_MS) return undefined;
    try {
      const file = this.#files.open(segment);
      if (file !== "another") {
        this.#failedAt.delete(segment);
        return file;
      }
      this.#forget(segment);
      this.#replaced.push(segment);
      this.#markDirty(segment.name);
    } catch (error) {
      this.#failed(segment, error);
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === "ENOENT") this.#markDirty(segment.name);
      else if (this.#once.first(`open ${segment.uid} ${code}`)) {
        const usual = `The daemon's group must own the files of ${this.path}: the directory needs mode 3733 and that group`;
        const remedy = remedyOf(code, join(this.path, segment.name), MAY.read, usual);
        this.#log.error({ segment: segment.name }, `cannot read the segment: ${message}. ${remedy}`);
      }
    }
    return undefined;
  }

  /** It is tried again: by who asks for it after a while, and by all with the next listing; sooner if there was no descriptor. */
  #failed(segment: Segment, error: unknown): void {
    this.#failedAt.set(segment, performance.now());
    this.retryLater(segment);
    if (!isShortOfDescriptors(error)) return;
    this.#retrySoon ??= setTimeout(() => {
      this.#retrySoon = undefined;
      this.#retry();
    }, SHORT_MS).unref();
  }
}
