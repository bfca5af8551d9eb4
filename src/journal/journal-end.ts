import type { Cursor } from "./cursor.ts";
import type { JournalDirectory } from "./directory.ts";

/** Where the journal ends now, and the bytes before that. A segment is read a little: what it is depends on its beginning. */
export function journalEnd(directory: JournalDirectory): { readonly cursor: Cursor; readonly bytesBefore: number } {
  const segments = [...directory.segments.values()].filter(({ size }) => size > 0);
  const cursor: Cursor = new Map(
    segments.map((segment) => {
      const offset = segment.size;
      directory.read(segment, 0, Buffer.alloc(1), 1);
      return [segment.name, { identity: segment.identity, offset }];
    }),
  );
  return { cursor, bytesBefore: segments.reduce((sum, { size }) => sum + size, 0) };
}
