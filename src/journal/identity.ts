import { hash } from "node:crypto";
import { readSync } from "node:fs";

/** Bytes of a segment's beginning that tell it from other files: its first record's date, in microseconds, is in them. */
const HEAD = 64;
const head = Buffer.allocUnsafe(HEAD);

/**
 * Tells a segment from an earlier file of the same name: `<inode>:<length>:<hash of this many bytes from its beginning>`. The
 * inode alone does not, since it is used again; the time of birth, which would, is not known to every kernel and file
 * system. A segment only grows, so its beginning stays.
 */
export type Identity = string;

/** The identity of a file of which nothing has been read. */
export function unreadIdentity(inode: bigint): Identity {
  return `${inode}:0:`;
}

/** Whether it can be that inode. A cursor may have `<inode>:<time of birth>`, of which only the inode is certain. */
export function isInode(identity: Identity, inode: bigint): boolean {
  return identity.startsWith(`${inode}:`);
}

/**
 * What an open file of this inode is, if it begins as the identity says; with more of its beginning, if that was short.
 * @returns undefined when it is another file
 */
export function confirmIdentity(file: number, inode: bigint, identity: Identity): Identity | undefined {
  if (!isInode(identity, inode)) return undefined;
  const read = readSync(file, head, 0, HEAD, 0);
  const [, length, wanted] = identity.split(":");
  const known = wanted === undefined ? 0 : Number(length);
  if (known > read || (known > 0 && hashOf(known) !== wanted)) return undefined;
  return known === read ? identity : `${inode}:${read}:${hashOf(read)}`;
}

function hashOf(length: number): string {
  return hash("sha1", head.subarray(0, length), "base64url");
}
