import { lstatSync, readFileSync, rmdirSync, unlinkSync, type BigIntStats } from "node:fs";
import { join } from "node:path";
import { Once, type Logger } from "../log.ts";
import type { JournalDirectory } from "./directory.ts";
import { parseSegmentName, type FileFault } from "./segment.ts";

/** Files that are looked at in one sweep: some 100 ms. */
const MAX_CLEARED = 5_000;
const CLEARED: ReadonlySet<FileFault> = new Set(["symlink", "not-a-file", "foreign-owner"]);
/** Owners whose names are asked of the system after one sweep. */
const MAX_ASKED = 4;

/**
 * Deletes what has the name of a segment and cannot be one, so that it keeps nobody from recording: what is no file, and a
 * file of another owner than the uid in its name. Where uids are mapped (containers, user namespaces, NFS) each genuine
 * segment seems to have another owner. So a foreign file with something in it goes only if the uid in its name has
 * segments here under its own number, and the owner is a user of this system.
 */
export class Clearing {
  readonly #directory: JournalDirectory;
  readonly #log: Logger;
  readonly #once = new Once();
  /** What the kernel shows for an owner that has no number here. */
  readonly #overflowUid = overflowUid();
  #cleared = 0;
  /** Where this round has got to. */
  #rest: Iterator<[name: string, fault: FileFault]> | undefined;

  constructor(directory: JournalDirectory, log: Logger) {
    this.#directory = directory;
    this.#log = log;
  }

  /** Files deleted since the start. */
  get cleared(): number {
    return this.#cleared;
  }

  /** Looks at some of the files that are not read. @returns whether there are more */
  sweep(): boolean {
    const { path, owners, segments } = this.#directory;
    const genuine = new Set<number>();
    for (const { uid } of segments.values()) genuine.add(uid);
    const unknown = new Set<number>();
    this.#rest ??= this.#directory.filesNotRead()[Symbol.iterator]();
    let more = true;
    for (let looked = 0; more && looked < MAX_CLEARED; looked++) {
      const next = this.#rest.next();
      more = next.done !== true;
      if (next.done === true) break;
      const [name, fault] = next.value;
      const parsed = parseSegmentName(name);
      if (parsed === undefined || !CLEARED.has(fault)) continue;
      try {
        const stats = lstatSync(join(path, name), { bigint: true });
        const owner = Number(stats.uid);
        if (stats.isFile() && stats.size > 0n) {
          if (owner === parsed.euid || owner === this.#overflowUid || !genuine.has(parsed.euid)) continue;
          if (owners.nameOf(owner) === undefined) {
            unknown.add(owner);
            continue;
          }
        } else if (stats.isFile() && owner === parsed.euid) continue;
        this.#delete(name, stats);
      } catch (error) {
        this.#failed(name, error as NodeJS.ErrnoException);
      }
    }
    for (const uid of [...unknown].slice(0, MAX_ASKED)) if (!owners.knows(uid)) void owners.learn(uid);
    if (!more) this.#rest = undefined;
    return more;
  }

  #delete(name: string, stats: BigIntStats): void {
    const path = join(this.#directory.path, name);
    if (stats.isDirectory()) rmdirSync(path);
    else unlinkSync(path);
    this.#cleared++;
    this.#directory.changed(name);
    if (!this.#once.first("cleared")) return;
    this.#log.warn(
      { segment: name, uid: Number(stats.uid) },
      "deleted a file that has the name of a segment and is none: somebody else than Dovecot makes files in the journal's directory. Logged once an hour for all such",
    );
  }

  #failed(name: string, { code, message }: NodeJS.ErrnoException): void {
    if (code === "ENOENT" || !this.#once.first(`failed ${code}`)) return;
    const remedy = code === "ENOTEMPTY" ? "Remove it" : `The daemon's user must own ${this.#directory.path}`;
    this.#log.error(
      { segment: name },
      `cannot delete what has the name of a segment and is none: ${message}. ${remedy}`,
    );
  }
}

function overflowUid(): number {
  try {
    return Number(readFileSync("/proc/sys/kernel/overflowuid", "latin1"));
  } catch {
    return 65_534;
  }
}
