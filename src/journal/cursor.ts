import { readFile } from "node:fs/promises";
import * as v from "valibot";
import { replaceFile } from "../atomic-file.ts";
import { OcnotifyError } from "../errors.ts";

/** Ranges of one segment that a cursor names; of more, the shortest are left out. */
const MAX_RANGES = 4_096;

/** Lines of a segment, from its beginning to its end, in bytes from the segment's beginning. */
export type Range = readonly [from: number, to: number];

/** How far a destination has got in one segment. */
export interface Place {
  /** That of the file: another file of the same name is read from its start. */
  readonly identity: string;
  /** Where the first record begins that is not answered, in bytes from the segment's beginning. */
  readonly offset: number;
  /** Where the records after it are answered, in order. */
  readonly answered?: readonly Range[];
}

/** How far a destination has got, by the segment's name. */
export type Cursor = ReadonlyMap<string, Place>;

/** The places of a cursor by inode: a segment may have got another name since, when it was about to be deleted. */
export function placesByInode(cursor: Cursor): Map<string, Place> {
  return new Map(Array.from(cursor.values(), (place) => [place.identity.split(":", 1)[0] as string, place]));
}

const offset = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/**
 * A program that does not know `answered` goes on at the offset, and sends again what comes after it: that costs
 * nothing but repeats, so it is no new version.
 */
const CursorFile = v.object({
  version: v.literal(1),
  segments: v.record(
    v.string(),
    v.pipe(
      v.object({ identity: v.string(), offset, answered: v.exactOptional(v.array(v.unknown())) }),
      v.check((place) => areRanges(place.answered ?? [], place.offset), "answered ranges that are none"),
      v.transform((place) => place as Place),
    ),
  ),
});

/** Whether these are ranges, in order and after `from`. There may be very many, which a schema would check too slowly. */
function areRanges(values: readonly unknown[], from: number): boolean {
  if (values.length > MAX_RANGES) return false;
  let last = from;
  for (const value of values) {
    if (!Array.isArray(value) || value.length !== 2) return false;
    for (const at of value as readonly unknown[]) {
      if (typeof at !== "number" || !Number.isSafeInteger(at) || at < last) return false;
      last = at;
    }
  }
  return true;
}

/** Gathers ranges, in order. Of more than a cursor may have it keeps the longest: they save most repeats. */
export class LongestRanges {
  #ranges: Range[] = [];
  /** A range must be longer than this, in bytes. */
  #longerThan = 0;

  /** Adds what lies between `from` and `to`, but for these runs of it, each of which is two offsets. */
  addBetween(runs: readonly number[], from: number, to: number): void {
    let at = from;
    for (let index = 0; index < runs.length; index += 2) {
      this.#add(at, runs[index] as number);
      at = Math.max(at, runs[index + 1] as number);
    }
    this.#add(at, to);
  }

  ranges(): readonly Range[] {
    if (this.#ranges.length > MAX_RANGES) this.#dropShortest();
    return this.#ranges;
  }

  #add(from: number, to: number): void {
    if (to - from <= this.#longerThan) return;
    this.#ranges.push([from, to]);
    if (this.#ranges.length >= 2 * MAX_RANGES) this.#dropShortest();
  }

  #dropShortest(): void {
    const lengths = this.#ranges.map(([from, to]) => to - from).toSorted((a, b) => b - a);
    const least = lengths[MAX_RANGES - 1] as number;
    let room = MAX_RANGES - lengths.indexOf(least);
    this.#ranges = this.#ranges.filter(([from, to]) => to - from > least || (to - from === least && room-- > 0));
    this.#longerThan = least;
  }
}

/**
 * Reads a cursor file; undefined when there is none, as at the first start.
 * @throws OcnotifyError ERR_CURSOR when the file is there and cannot be used
 */
export async function loadCursor(path: string): Promise<Cursor | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw cursorError(path, "cannot be read", error);
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw cursorError(path, "is not JSON", error);
  }
  const result = v.safeParse(CursorFile, json);
  if (!result.success) throw cursorError(path, "is not a cursor of version 1", new v.ValiError(result.issues));
  return new Map(Object.entries(result.output.segments));
}

/**
 * Replaces a cursor file so that a crash at any moment leaves the old one or the new one, whole.
 * @throws OcnotifyError ERR_CURSOR_SAVE, which may go away by itself (a full disk)
 */
export async function saveCursor(path: string, cursor: Cursor): Promise<void> {
  try {
    await replaceFile(path, JSON.stringify({ version: 1, segments: Object.fromEntries(cursor) }));
  } catch (error) {
    throw new OcnotifyError("ERR_CURSOR_SAVE", `cannot save the cursor ${path}: ${(error as Error).message}`, {
      cause: error,
      canRetry: true,
    });
  }
}

function cursorError(path: string, what: string, cause: unknown): OcnotifyError {
  return new OcnotifyError(
    "ERR_CURSOR",
    `the cursor ${path} ${what}: ${(cause as Error).message}. Delete it to send everything that the journal still holds once more`,
    { cause },
  );
}
