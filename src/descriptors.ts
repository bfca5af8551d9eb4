import { readFileSync } from "node:fs";

/** For the journal, the cursors, memcached, names and 64 clients of each socket: connections to receivers leave this many free. */
const RESERVED = 256;

const MAX_OPEN_SEGMENTS = 64;

/** Descriptors that this process may have open. Node.js raises the soft limit to the hard one when it starts. */
export function descriptorLimit(limits = readFileSync("/proc/self/limits", "latin1")): number {
  const soft = /^Max open files\s+(\S+)/m.exec(limits)?.[1];
  return soft === undefined || soft === "unlimited" ? Infinity : Number(soft);
}

/** Connections to receivers that fit such a limit, of all destinations together. */
export function connectionsWithin(limit: number): number {
  return Math.max(limit - RESERVED, Math.floor(limit / 2));
}

/** Segments that are kept open at once within such a limit. */
export function openSegmentsWithin(limit: number): number {
  return Math.min(MAX_OPEN_SEGMENTS, Math.floor(limit / 8));
}

/** Whether an error says that no descriptor is free, of this process's or of the system's. */
export function isShortOfDescriptors(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "EMFILE" || code === "ENFILE";
}
