import { createHash } from "node:crypto";

import { type HashFunction, HASHES } from "./hash.ts";
import { MAX_KEY_BYTES } from "./key.ts";
import { DEFAULT_PORT, type PoolConfig, type ServerConfig, serverIdentity } from "./pool-config.ts";

/** A key, without its namespace, to the index of its server in `servers`. */
export type Placement = (key: string) => number;

type Layout = Pick<
  PoolConfig,
  "servers" | "namespace" | "hash" | "distribution" | "pointsHash" | "weighted" | "hashWithNamespace"
>;

interface Continuum {
  /** Ascending. */
  points: Uint32Array;
  /** The server of each point. */
  owners: Uint32Array;
}

const POINTS_PER_SERVER = 100;
const KETAMA_POINTS_PER_SERVER = 160;
const KETAMA_POINTS_PER_HASH = 4;

/** The same server for each key that libmemcached 1.1.4 chooses. The points are computed once, here. */
export function createPlacement(config: Layout): Placement {
  const { servers } = config;
  if (servers.length < 2) {
    return () => 0;
  }
  const hashOf = keyHasher(HASHES[config.hash], config.hashWithNamespace ? config.namespace : "");
  if (config.distribution === "modula") {
    return (key) => hashOf(key) % servers.length;
  }
  const { points, owners } = config.weighted ? weightedContinuum(servers) : plainContinuum(servers, config.pointsHash);
  return (key) => owners[firstNotBelow(points, hashOf(key))] ?? 0;
}

/** Hashes keys after a fixed prefix, in one buffer that is used again and again: this is done for every event. */
function keyHasher(hash: HashFunction, prefix: string): (key: string) => number {
  const start = Buffer.byteLength(prefix);
  const scratch = new Uint8Array(start + MAX_KEY_BYTES);
  scratch.set(Buffer.from(prefix));
  return (key) => {
    for (let index = 0; index < key.length; index++) {
      const unit = key.charCodeAt(index);
      if (unit >= 0x80 || index === MAX_KEY_BYTES) {
        const bytes = Buffer.from(prefix + key);
        return isTooLong(bytes.length) ? 0 : hash(bytes, bytes.length);
      }
      scratch[start + index] = unit;
    }
    const length = start + key.length;
    return isTooLong(length) ? 0 : hash(scratch, length);
  };

  // Nobody can store such a key, but asked for its place, the library takes 0 for the hash.
  function isTooLong(length: number): boolean {
    return start > 0 && length > MAX_KEY_BYTES;
  }
}

function plainContinuum(servers: readonly ServerConfig[], pointsHash: PoolConfig["pointsHash"]): Continuum {
  const hash = HASHES[pointsHash];
  const pairs: [number, number][] = [];
  for (const [index, server] of servers.entries()) {
    for (let point = 0; point < POINTS_PER_SERVER; point++) {
      const label = Buffer.from(`${labelOf(server)}-${point}`);
      pairs.push([hash(label, label.length), index]);
    }
  }
  return sorted(pairs);
}

/** Ketama (Richard Jones, last.fm, 2007), with libmemcached's share of points, which is computed in float. */
function weightedContinuum(servers: readonly ServerConfig[]): Continuum {
  const total = servers.reduce((sum, server) => sum + server.weight, 0);
  const pairs: [number, number][] = [];
  for (const [index, server] of servers.entries()) {
    const groups = groupsOf(server.weight, total, servers.length);
    for (let group = 0; group < groups; group++) {
      const digest = createHash("md5")
        .update(`${labelOf(server)}-${group}`)
        .digest();
      for (let point = 0; point < KETAMA_POINTS_PER_HASH; point++) {
        pairs.push([digest.readUInt32LE(4 * point), index]);
      }
    }
  }
  return sorted(pairs);
}

/** The hashes of a server. Each step is rounded to a C float, as in libmemcached, which decides at whole numbers. */
function groupsOf(weight: number, total: number, count: number): number {
  const { fround } = Math;
  const perServer = fround(fround(fround(weight / total) * KETAMA_POINTS_PER_SERVER) / KETAMA_POINTS_PER_HASH);
  return Math.floor(fround(fround(perServer * count) + 1e-10));
}

/** What stands before the number of a point: the default port is left out. */
function labelOf(server: ServerConfig): string {
  const { name, port } = serverIdentity(server);
  return port === DEFAULT_PORT ? name : `${name}:${port}`;
}

function sorted(pairs: [number, number][]): Continuum {
  pairs.sort(([a, ownerOfA], [b, ownerOfB]) => a - b || ownerOfA - ownerOfB);
  return {
    points: Uint32Array.from(pairs, ([point]) => point),
    owners: Uint32Array.from(pairs, ([, owner]) => owner),
  };
}

/** The index of the first point that is not below the hash, or 0: the points are a circle. */
function firstNotBelow(points: Uint32Array, hash: number): number {
  let low = 0;
  let high = points.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((points[middle] ?? 0) < hash) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low === points.length ? 0 : low;
}
