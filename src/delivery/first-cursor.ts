import { loadCursor, saveCursor, type Cursor } from "../journal/cursor.ts";
import type { JournalDirectory } from "../journal/directory.ts";
import { journalEnd } from "../journal/journal-end.ts";
import type { Logger } from "../log.ts";
import type { Kind } from "./kind.ts";

/**
 * Where a destination begins; undefined for the oldest record. The journal's end is saved before anything is recorded after it.
 * @throws OcnotifyError ERR_CURSOR, ERR_CURSOR_SAVE
 */
export async function firstCursor(
  { cursorFile, startsAt }: { readonly cursorFile: string } & Pick<Kind, "startsAt">,
  directory: JournalDirectory,
  log: Logger,
): Promise<Cursor | undefined> {
  const saved = await loadCursor(cursorFile);
  if (saved !== undefined || startsAt === "oldest") return saved;
  const { cursor, bytesBefore } = journalEnd(directory);
  await saveCursor(cursorFile, cursor);
  const before = "ocnotify tail --since 1h --json prints what came before, as far back as journal.retention keeps it";
  log.info({ bytesBefore }, `a new destination begins with what is recorded from now on. ${before}`);
  return cursor;
}
