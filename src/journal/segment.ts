import type { Growth } from "./growth.ts";
import type { Identity } from "./identity.ts";

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
  readonly inode: bigint;
  /** Tells this file from an earlier one of the same name. */
  identity: Identity;
  /** Bytes at the last look. */
  size: number;
  /** Milliseconds of unix time of the last write, as the file system has it. */
  modified: number;
  readonly growth: Growth;
  /**
   * When it was found, in milliseconds of the process's clock: none of its records is older. -Infinity when it was there
   * at the start.
   */
  readonly foundAt: number;
  /** When it was last written, in milliseconds of the process's clock, as far as can be known. */
  writtenAt: number;
  /** The file is gone, or another stands in its place. */
  gone: boolean;
}
