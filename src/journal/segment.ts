import { randomBytes } from "node:crypto";
import type { BigIntStats } from "node:fs";
import type { Growth } from "./growth.ts";
import type { Identity } from "./identity.ts";

/**
 * A segment: one file of the journal, named by the time bucket in which it was begun and the effective uid of its
 * writers, `<unix time / 600>.<euid>.ndjson`. When somebody else's file has that name, each process of the uid writes to one of
 * its own, with 16 random hex digits before `.ndjson`.
 */

/** Seconds of one time bucket. */
export const BUCKET_SECONDS = 600;

const NAME = /^(0|[1-9]\d{0,11})\.(0|[1-9]\d{0,9})(?:\.[0-9a-f]{16})?\.ndjson$/;

/** A file with this much of nothing in it, and a hundredth of something at most, was made to keep a reader busy. */
const MAX_HOLE = 1024n ** 3n;
const MIN_DENSITY = 100n;

/** What a segment's file name says; undefined for any other name. */
export function parseSegmentName(name: string): { bucket: number; euid: number } | undefined {
  const match = NAME.exec(name);
  return match === null ? undefined : { bucket: Number(match[1]), euid: Number(match[2]) };
}

/** A name that nobody else knows for a segment of this name. */
export function ownSegmentName(name: string): string {
  return `${name.split(".", 2).join(".")}.${randomBytes(8).toString("hex")}.ndjson`;
}

/** Whether a segment may be the one that is being written to: a writer opens that of one moment and writes in the next. */
export function isBeingWritten({ bucket }: Segment, unixMs: number): boolean {
  return Math.abs(bucket - Math.floor(unixMs / 1_000 / BUCKET_SECONDS)) <= 1;
}

/** A segment as the directory last saw it. */
export interface Segment {
  /** It gets another when it was to be deleted, and was written to in that moment. */
  name: string;
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
  /** It was deleted because the journal is full, whoever had not read it. */
  deletedUnread: boolean;
}

/** Why a file with the name of a segment is not read. */
export type FileFault = "symlink" | "not-a-file" | "hard-links" | "foreign-owner" | "hole" | "too-many" | "unreadable";

/** Why a file is not a segment that its writer made, or undefined when it is one. */
export function faultOf(stats: BigIntStats, euid: number): FileFault | undefined {
  if (stats.isSymbolicLink()) return "symlink";
  if (!stats.isFile()) return "not-a-file";
  if (Number(stats.uid) !== euid) return "foreign-owner";
  if (stats.nlink !== 1n) return "hard-links";
  const filled = stats.blocks * 512n;
  if (stats.size - filled > MAX_HOLE && stats.size / MIN_DENSITY > filled) return "hole";
  return undefined;
}

/** What `faultOf` found, in words. */
export function describeFault(fault: FileFault, { uid, nlink }: BigIntStats): string {
  switch (fault) {
    case "foreign-owner":
      return `its owner is uid ${uid}, and not the one in its name`;
    case "hard-links":
      return `it has ${nlink} hard links`;
    case "symlink":
      return "it is a symbolic link";
    case "hole":
      return "it is nearly all a hole";
    default:
      return "it is not a regular file";
  }
}
