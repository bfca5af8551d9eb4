/**
 * A segment: one file of the journal, named by the time bucket in which it was begun and the effective uid of its
 * writers, `<unix time / 600>.<euid>.ndjson`.
 */

/** Seconds of one time bucket. */
export const BUCKET_SECONDS = 600;

const NAME = /^(0|[1-9]\d{0,11})\.(0|[1-9]\d{0,9})\.ndjson$/;

/** What a segment's file name says; undefined for any other name. */
export function parseSegmentName(name: string): { bucket: number; euid: number } | undefined {
  const match = NAME.exec(name);
  return match === null ? undefined : { bucket: Number(match[1]), euid: Number(match[2]) };
}

/** A segment as the directory last saw it. */
export interface Segment {
  readonly name: string;
  readonly bucket: number;
  /** The uid that owns the file, which is the writer's. */
  readonly uid: number;
  /** Tells this file from an earlier one of the same name: inode and birth. */
  readonly identity: string;
  /** Bytes at the last look. */
  size: number;
  /** Milliseconds of unix time of the last write. */
  modified: number;
  /** The file is gone, or another stands in its place. */
  gone: boolean;
}
