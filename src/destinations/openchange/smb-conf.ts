import { closeSync, openSync, readSync } from "node:fs";

/** Where Samba looks unless the environment names another (`SMB_CONF_PATH`). */
const DEFAULT_PATH = "/etc/samba/smb.conf";
/** A file, with all that it includes, is read no further than this: bytes, and files within files. */
const MAX_BYTES = 1024 * 1024;
const MAX_DEPTH = 8;

/** The libmemcached configuration string of smb.conf. */
export interface NotificationCache {
  readonly file: string;
  readonly resolver: string;
}

/**
 * `mapistore:notification_cache` of smb.conf, with which OpenChange's servers and its original plugin and tool find the
 * resolver; undefined when there is no smb.conf that can be read, or it does not say.
 */
export function notificationCache(): NotificationCache | undefined {
  const file = process.env["SMB_CONF_PATH"] ?? DEFAULT_PATH;
  const reading: Reading = { global: true, found: undefined, left: MAX_BYTES };
  readFile(file, reading, 0);
  // An empty value is none to the servers either.
  return reading.found === undefined || reading.found === "" ? undefined : { file, resolver: reading.found };
}

interface Reading {
  /** Whether parameters are those of [global], as they are before the first section. */
  global: boolean;
  found: string | undefined;
  /** Bytes that may yet be read. */
  left: number;
}

/**
 * As Samba reads it: names in any case and with any blanks; a line that begins with `;` or `#` is a comment, one that ends in
 * a backslash goes on in the next; a later value replaces an earlier one; what follows an error is not read.
 * @returns whether the rest is to be read
 */
function readFile(path: string, reading: Reading, depth: number): boolean {
  const text = depth < MAX_DEPTH ? contentOf(path, reading) : undefined;
  // A comment does not go on in the next line.
  for (const [line] of text?.replaceAll("\r", "").matchAll(/^[ \t]*[;#].*|(?:\\[ \t]*\n|[^\n])+/gm) ?? []) {
    if (!readLine(line.replaceAll(/\\[ \t]*\n/g, "").trim(), reading, depth)) return false;
  }
  return text !== undefined;
}

function readLine(line: string, reading: Reading, depth: number): boolean {
  if (line === "" || line.startsWith(";") || line.startsWith("#")) return true;
  if (line.startsWith("[")) {
    const name = /^\[([^\]]*)\]/.exec(line)?.[1];
    if (name === undefined) return false;
    reading.global = ["global", "globals"].includes(plain(name));
    return true;
  }
  const equals = line.indexOf("=");
  if (equals === -1) return true;
  const name = plain(line.slice(0, equals));
  // Samba makes one blank of several, which libmemcached would not take.
  const value = line
    .slice(equals + 1)
    .trim()
    .replaceAll(/([ \t])[ \t]+/g, "$1");
  if (name === "") return false;
  // What Samba puts in for a macro (%h, %I …) depends on who connects.
  if (name === "include" && !value.includes("%")) return readFile(value, reading, depth + 1);
  if (name === "mapistore:notification_cache" && reading.global) reading.found = value;
  return true;
}

/** A name without case and blanks. */
function plain(name: string): string {
  return name.replaceAll(/\s/g, "").toLowerCase();
}

function contentOf(path: string, reading: Reading): string | undefined {
  try {
    const file = openSync(path, "r");
    try {
      const bytes = Buffer.alloc(reading.left);
      const length = readSync(file, bytes);
      reading.left -= length;
      return bytes.toString("utf8", 0, length).replace(/^\ufeff/, "");
    } finally {
      closeSync(file);
    }
  } catch {
    return undefined;
  }
}
