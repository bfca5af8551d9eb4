import type { MemcachedAddress } from "./connection.ts";
import type { MemcachedError, MemcachedErrorCode } from "./errors.ts";
import type { HashName } from "./hash.ts";

/** Where libmemcached expects a memcached that names no port. */
export const DEFAULT_PORT = 11211;

/** A memcached of a pool. The weight counts only in weighted ketama. */
export type ServerConfig = MemcachedAddress & { readonly weight: number };

/** What a libmemcached configuration string means. */
export interface PoolConfig {
  /** In the order that the placement counts in. */
  servers: readonly ServerConfig[];
  /** Stands before every key on the wire; empty for none. */
  namespace: string;
  /** Of keys. */
  hash: HashName;
  distribution: "modula" | "consistent";
  /** Of the points of the servers, for consistent; the hash at the time when the points were made last. */
  pointsHash: HashName;
  /** Whether consistent is weighted ketama. */
  weighted: boolean;
  /** Whether the namespace takes part in choosing the server. */
  hashWithNamespace: boolean;
  sortHosts: boolean;
  /** Milliseconds. */
  connectTimeoutMs: number;
  /** Milliseconds. */
  pollTimeoutMs: number;
  /** Milliseconds. */
  retryTimeoutMs: number;
  /** Asked for; the client speaks the text protocol all the same, to the same data. */
  binaryProtocol: boolean;
}

/** A file that a string names, and how to complain about it. */
export interface NamedFile {
  path: string;
  fail: (why: string, code?: MemcachedErrorCode, cause?: unknown) => MemcachedError;
}

/**
 * The state that libmemcached is in between two statements of a string. The order of statements matters: the points of
 * consistent distribution are made anew when a server is added, when the distribution is set and when hosts are to be
 * sorted, with the hash of that moment; and whether they are weighted is decided when a server is added. Here the hash is
 * noted at these moments; sorting and the points, which cost, are done once at the end.
 */
export class PoolConfigBuilder {
  /** Servers that a string may name. */
  readonly maxServers: number;
  #config: PoolConfig = initial();
  #servers: ServerConfig[] = [];
  #file: NamedFile | undefined;
  /** Only for what the library refuses after it: this client speaks TCP all the same. */
  useUdp = false;

  constructor(maxServers: number) {
    this.maxServers = maxServers;
  }

  /** @returns whether there was room for one more */
  addServer(server: ServerConfig): boolean {
    if (this.#servers.length >= this.maxServers) {
      return false;
    }
    this.#servers.push(server);
    if (server.weight > 1 && this.#config.distribution === "consistent") {
      this.#config.weighted = true;
    }
    this.#notePoints();
    return true;
  }

  /** Leaves the points as they are. */
  setHash(hash: HashName): void {
    this.#config.hash = hash;
  }

  setDistribution(distribution: PoolConfig["distribution"]): void {
    this.#config.distribution = distribution;
    if (distribution === "consistent") {
      this.#config.weighted = false;
    }
    this.#notePoints();
  }

  sortHosts(): void {
    this.#config.sortHosts = true;
    this.#notePoints();
  }

  set(
    values: Partial<
      Pick<
        PoolConfig,
        "namespace" | "hashWithNamespace" | "connectTimeoutMs" | "pollTimeoutMs" | "retryTimeoutMs" | "binaryProtocol"
      >
    >,
  ): void {
    Object.assign(this.#config, values);
  }

  /** The last `--CONFIGURE-FILE`, which is read when all else was. */
  get file(): NamedFile | undefined {
    return this.#file;
  }

  setFile(file: NamedFile): void {
    this.#file = file;
  }

  get namespace(): string {
    return this.#config.namespace;
  }

  get binaryProtocol(): boolean {
    return this.#config.binaryProtocol;
  }

  reset(): void {
    this.#config = initial();
    this.#servers = [];
    this.#file = undefined;
    this.useUdp = false;
  }

  build(): PoolConfig {
    const servers = this.#config.sortHosts ? this.#servers.toSorted(compareServers) : [...this.#servers];
    return { ...this.#config, servers };
  }

  #notePoints(): void {
    this.#config.pointsHash = this.#config.hash;
  }
}

/** The name and the port of a server as libmemcached keeps them: a socket has port 0. */
export function serverIdentity(server: MemcachedAddress): { name: string; port: number } {
  return server.kind === "tcp" ? { name: server.host, port: server.port } : { name: server.path, port: 0 };
}

function compareServers(left: ServerConfig, right: ServerConfig): number {
  const a = serverIdentity(left);
  const b = serverIdentity(right);
  return Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)) || a.port - b.port;
}

function initial(): PoolConfig {
  return {
    servers: [],
    namespace: "",
    hash: "default",
    distribution: "modula",
    pointsHash: "default",
    weighted: false,
    hashWithNamespace: false,
    sortHosts: false,
    // Libmemcached would wait 4 s and 5 s.
    connectTimeoutMs: 1000,
    pollTimeoutMs: 1000,
    retryTimeoutMs: 2000,
    binaryProtocol: false,
  };
}
