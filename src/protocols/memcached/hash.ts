import { createHash } from "node:crypto";

/**
 * The hash functions of libmemcached 1.1.4 that a configuration string can name, each `(key bytes, their number) → uint32`. They are
 * the published algorithms with libmemcached's parameters and oddities, which decide where a key lies:
 * in `default` and the FNV ones a byte is a signed char, as on x86 and unlike in the publications.
 */
export const HASHES = {
  default: oneAtATime,
  md5: md5Head,
  crc,
  fnv1_64: (key: Uint8Array, length: number) => fnv64(key, length, false),
  fnv1a_64: (key: Uint8Array, length: number) => fnv64(key, length, true),
  fnv1_32: fnv1,
  fnv1a_32: fnv1a,
  murmur: murmur2,
  jenkins: lookup3,
} as const satisfies Record<string, HashFunction>;

export type HashName = keyof typeof HASHES;

/** The first `length` bytes to an unsigned 32-bit number. The length stands apart, so that a buffer can be used again. */
export type HashFunction = (key: Uint8Array, length: number) => number;

/** Bob Jenkins, "Hash Functions", Dr. Dobb's 1997: one-at-a-time. */
function oneAtATime(key: Uint8Array, length: number): number {
  let hash = 0;
  for (let index = 0; index < length; index++) {
    hash = (hash + signed(key, index)) | 0;
    hash = (hash + (hash << 10)) | 0;
    hash ^= hash >>> 6;
  }
  hash = (hash + (hash << 3)) | 0;
  hash ^= hash >>> 11;
  return (hash + (hash << 15)) >>> 0;
}

/** The first four bytes of MD5 (RFC 1321), little endian. */
function md5Head(key: Uint8Array, length: number): number {
  return createHash("md5").update(key.subarray(0, length)).digest().readUInt32LE(0);
}

const CRC_TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) {
    value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  }
  return value;
});

/** 15 bits of the CRC-32 of IEEE 802.3, as memcached clients in Perl began to do it. */
function crc(key: Uint8Array, length: number): number {
  let value = -1;
  for (let index = 0; index < length; index++) {
    value = (value >>> 8) ^ at(CRC_TABLE, (value ^ at(key, index)) & 0xff);
  }
  return (~value >>> 16) & 0x7fff;
}

const FNV_32_OFFSET = 0x811c9dc5;
const FNV_32_PRIME = 0x01000193;

/** FNV-1, 32 bits (RFC 9923). */
function fnv1(key: Uint8Array, length: number): number {
  let hash = FNV_32_OFFSET | 0;
  for (let index = 0; index < length; index++) {
    hash = Math.imul(hash, FNV_32_PRIME) ^ signed(key, index);
  }
  return hash >>> 0;
}

/** FNV-1a, 32 bits. */
function fnv1a(key: Uint8Array, length: number): number {
  let hash = FNV_32_OFFSET | 0;
  for (let index = 0; index < length; index++) {
    hash = Math.imul(hash ^ signed(key, index), FNV_32_PRIME);
  }
  return hash >>> 0;
}

/**
 * The low 32 bits of FNV-1 or FNV-1a with 64 bits. The prime is 2^40 + 0x1b3, so that the high half of a product never
 * comes down into the low half, and 32 bits suffice.
 */
function fnv64(key: Uint8Array, length: number, xorFirst: boolean): number {
  let hash = 0x84222325 | 0;
  for (let index = 0; index < length; index++) {
    hash = xorFirst ? Math.imul(hash ^ signed(key, index), 0x1b3) : Math.imul(hash, 0x1b3) ^ signed(key, index);
  }
  return hash >>> 0;
}

/** Austin Appleby's MurmurHash2, seeded with 0xdeadbeef × length. */
function murmur2(key: Uint8Array, length: number): number {
  const m = 0x5bd1e995;
  let left = length;
  let hash = Math.imul(0xdeadbeef, left) ^ left;
  let index = 0;
  for (; left >= 4; left -= 4, index += 4) {
    let word = Math.imul(word32(key, index, 4), m);
    word ^= word >>> 24;
    hash = Math.imul(hash, m) ^ Math.imul(word, m);
  }
  if (left > 0) {
    hash = Math.imul(hash ^ word32(key, index, left), m);
  }
  hash ^= hash >>> 13;
  hash = Math.imul(hash, m);
  return (hash ^ (hash >>> 15)) >>> 0;
}

/** Bob Jenkins, lookup3.c (2006, public domain): hashlittle with initval 13. */
function lookup3(key: Uint8Array, length: number): number {
  let left = length;
  let a = (0xdeadbeef + left + 13) | 0;
  let b = a;
  let c = a;
  let index = 0;
  for (; left > 12; left -= 12, index += 12) {
    a = (a + word32(key, index, 4)) | 0;
    b = (b + word32(key, index + 4, 4)) | 0;
    c = (c + word32(key, index + 8, 4)) | 0;
    a = ((a - c) | 0) ^ rotate(c, 4);
    c = (c + b) | 0;
    b = ((b - a) | 0) ^ rotate(a, 6);
    a = (a + c) | 0;
    c = ((c - b) | 0) ^ rotate(b, 8);
    b = (b + a) | 0;
    a = ((a - c) | 0) ^ rotate(c, 16);
    c = (c + b) | 0;
    b = ((b - a) | 0) ^ rotate(a, 19);
    a = (a + c) | 0;
    c = ((c - b) | 0) ^ rotate(b, 4);
    b = (b + a) | 0;
  }
  if (left === 0) {
    return c >>> 0;
  }
  a = (a + word32(key, index, Math.min(left, 4))) | 0;
  b = (b + word32(key, index + 4, Math.min(left - 4, 4))) | 0;
  c = (c + word32(key, index + 8, left - 8)) | 0;
  c = ((c ^ b) - rotate(b, 14)) | 0;
  a = ((a ^ c) - rotate(c, 11)) | 0;
  b = ((b ^ a) - rotate(a, 25)) | 0;
  c = ((c ^ b) - rotate(b, 16)) | 0;
  a = ((a ^ c) - rotate(c, 4)) | 0;
  b = ((b ^ a) - rotate(a, 14)) | 0;
  return ((c ^ b) - rotate(b, 24)) >>> 0;
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

/** `count` bytes as a little-endian word, 0 if count is not positive. */
function word32(key: Uint8Array, index: number, count: number): number {
  let word = 0;
  for (let byte = 0; byte < count; byte++) {
    word |= at(key, index + byte) << (8 * byte);
  }
  return word;
}

function signed(key: Uint8Array, index: number): number {
  return (at(key, index) << 24) >> 24;
}

/** The compiler does not know that an index is within. */
function at(array: Uint8Array | Int32Array, index: number): number {
  return array[index] ?? 0;
}
