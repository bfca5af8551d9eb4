import { closeSync, constants, fstatSync, openSync } from "node:fs";
import { join } from "node:path";
import { descriptorLimit, isShortOfDescriptors, openSegmentsWithin } from "../descriptors.ts";
import { confirmIdentity, type Identity } from "./identity.ts";
import { faultOf, type Segment } from "./segment.ts";

/** The open files of segments: at most 64, or an eighth of the limit of open files if that is less. */
export class SegmentFiles {
  readonly #directory: string;
  readonly #mostOpen: number;
  /** Oldest first. */
  readonly #files = new Map<Segment, number>();

  constructor(directory: string, mostOpen = openSegmentsWithin(descriptorLimit())) {
    this.#directory = directory;
    this.#mostOpen = mostOpen;
  }

  /** The descriptor of a segment that is open. */
  opened(segment: Segment): number | undefined {
    return this.#files.get(segment);
  }

  /**
   * Opens a segment, in place of the one that was opened first where too many are open. Its identity is then that of the
   * bytes that it begins with.
   * @returns its descriptor, or `another` when another file has its name
   * @throws the error of the system
   */
  open(segment: Segment): number | "another" {
    const file = this.#openAlone(segment);
    try {
      const stats = fstatSync(file, { bigint: true });
      const isSegment = faultOf(stats, segment.uid) === undefined;
      const identity = isSegment ? confirmIdentity(file, stats.ino, segment.identity) : undefined;
      if (identity === undefined) {
        closeSync(file);
        return "another";
      }
      segment.identity = identity;
    } catch (error) {
      closeSync(file);
      throw error;
    }
    if (this.#files.size >= this.#mostOpen) {
      const oldest = this.#files.keys().next().value;
      if (oldest !== undefined) this.close(oldest);
    }
    this.#files.set(segment, file);
    return file;
  }

  /**
   * What a segment is when its file begins as the identity says; undefined for another file that has got the same inode. A
   * file that cannot be opened is taken for the same: it has not been read, or is looked at when it can be.
   */
  confirm(segment: Segment, identity: Identity): Identity | undefined {
    let file: number | undefined;
    try {
      file = this.#open(segment);
      return confirmIdentity(file, fstatSync(file, { bigint: true }).ino, identity);
    } catch {
      return identity;
    } finally {
      if (file !== undefined) closeSync(file);
    }
  }

  close(segment: Segment): void {
    const file = this.#files.get(segment);
    if (file === undefined) return;
    this.#files.delete(segment);
    closeSync(file);
  }

  closeAll(): void {
    for (const segment of this.#files.keys()) this.close(segment);
  }

  /** When no descriptor is free, those of the other segments are given up: one is enough. */
  #openAlone(segment: Segment): number {
    try {
      return this.#open(segment);
    } catch (error) {
      if (!isShortOfDescriptors(error)) throw error;
      this.closeAll();
      return this.#open(segment);
    }
  }

  #open({ name }: Segment): number {
    // O_NONBLOCK: should a FIFO have taken its place, opening it must not hang.
    return openSync(join(this.#directory, name), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  }
}
