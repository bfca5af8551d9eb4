import { appendFileSync, chownSync } from "node:fs";
import { join } from "node:path";
import { BUCKET_SECONDS } from "../../src/journal/segment.ts";

/** The uid that the test's files belong to. */
export const OWN_UID = process.getuid?.() ?? 0;

/** The bucket of a moment, in milliseconds of unix time: of now by default. */
export function bucketAt(unixMs = Date.now()): number {
  return Math.floor(unixMs / 1_000 / BUCKET_SECONDS);
}

/** The name of the segment that processes of this uid write in this bucket: of now by default. */
export function segmentName(bucket = bucketAt(), uid = OWN_UID): string {
  return `${bucket}.${uid}.ndjson`;
}

/**
 * Appends to the present segment of a uid, as a process of that uid does; for another's one must be root.
 * @returns its path
 */
export function appendAs(uid: number, journal: string, text: string | Buffer): string {
  const path = join(journal, segmentName(bucketAt(), uid));
  appendFileSync(path, text);
  if (uid !== OWN_UID) chownSync(path, uid, uid);
  return path;
}
