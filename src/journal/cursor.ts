import { open, readFile, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import * as v from "valibot";
import { OcnotifyError } from "../errors.ts";

/** How far a destination has got: for each segment the offset of the first record not yet answered, in bytes. */
export type Cursor = ReadonlyMap<string, { readonly identity: string; readonly offset: number }>;

const CursorFile = v.object({
  version: v.literal(1),
  segments: v.record(
    v.string(),
    v.object({ identity: v.string(), offset: v.pipe(v.number(), v.safeInteger(), v.minValue(0)) }),
  ),
});

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
  const temporary = `${path}.new`;
  try {
    const file = await open(temporary, "w", 0o640);
    try {
      await file.writeFile(JSON.stringify({ version: 1, segments: Object.fromEntries(cursor) }));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    // The new name is on disk only when the directory is.
    const directory = await open(dirname(path), "r");
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
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
