import { isIPv6 } from "node:net";

import { scanToken, type Token, type TokenType } from "./config-scanner.ts";
import type { MemcachedAddress } from "./connection.ts";
import { ConfigStringError, type MemcachedErrorCode } from "./errors.ts";
import type { HashName } from "./hash.ts";
import { DEFAULT_PORT, type NamedFile, type PoolConfigBuilder } from "./pool-config.ts";

const HASH_KEYWORDS: ReadonlyMap<string, HashName> = new Map([
  ["MD5", "md5"],
  ["CRC", "crc"],
  ["FNV1_64", "fnv1_64"],
  ["FNV1A_64", "fnv1a_64"],
  ["FNV1_32", "fnv1_32"],
  ["FNV1A_32", "fnv1a_32"],
  ["MURMUR", "murmur"],
  ["JENKINS", "jenkins"],
]);

type Meaning = "server" | "socket" | "namespace" | "hash" | "distribution" | "file" | "number" | "flag";

/**
 * Every option that the library takes. Those without a case of their own below concern how the library talks to a
 * server (UDP, buffers, sockets), or what it does besides (replicas, removing failed servers from the pool, which would
 * make two clients look for a key in two places): they are read and have no effect here.
 */
const OPTIONS: ReadonlyMap<string, Meaning> = new Map<string, Meaning>([
  ["SERVER=", "server"],
  ["SOCKET=", "socket"],
  ["NAMESPACE=", "namespace"],
  ["HASH=", "hash"],
  ["DISTRIBUTION=", "distribution"],
  ["CONFIGURE-FILE=", "file"],
  ...(
    "CONNECT-TIMEOUT POLL-TIMEOUT RETRY-TIMEOUT SND-TIMEOUT RCV-TIMEOUT REMOVE-FAILED-SERVERS IO-MSG-WATERMARK " +
    "IO-BYTES-WATERMARK IO-KEY-PREFETCH NUMBER-OF-REPLICAS SOCKET-RECV-SIZE SOCKET-SEND-SIZE POOL-MIN POOL-MAX"
  )
    .split(" ")
    .map((name): [string, Meaning] => [`${name}=`, "number"]),
  ...(
    "BINARY-PROTOCOL BUFFER-REQUESTS HASH-WITH-NAMESPACE NOREPLY RANDOMIZE-REPLICA-READ SORT-HOSTS SUPPORT-CAS " +
    "USE-UDP VERIFY-KEY TCP-KEEPALIVE TCP-KEEPIDLE TCP-NODELAY FETCH-VERSION USER-DATA"
  )
    .split(" ")
    .map((name): [string, Meaning] => [name, "flag"]),
]);

/** The library's limit, in bytes. */
const MAX_NAMESPACE = 127;
const MAX_PORT = 65_535;
/** Milliseconds; what a timer of Node can do, and an int of the library. */
const MAX_TIMEOUT = 2_147_483_647;

/** Reads one string, or one line of a file, into the builder. `include` does the same with a file. */
export class StatementReader {
  readonly #text: string;
  readonly #builder: PoolConfigBuilder;
  readonly #include: (file: NamedFile) => void;
  readonly #where: string;
  #token: Token;
  /** The beginning of the statement, for messages. */
  #statement = 0;
  /** Not forgotten by RESET, as in the library. */
  #hashSeen = false;

  constructor(
    text: string,
    builder: PoolConfigBuilder,
    include: (file: NamedFile) => void,
    where = "memcached configuration string",
  ) {
    this.#text = text;
    this.#builder = builder;
    this.#include = include;
    this.#where = where;
    this.#token = scanToken(text, 0);
  }

  read(): void {
    for (;;) {
      this.#statement = this.#token.start;
      if (this.#isKeyword("END")) {
        return;
      }
      this.#readStatement();
      if (this.#token.type === "end-of-text") {
        return;
      }
      if (this.#token.type !== "space") {
        throw this.#error("expected one space before the next statement");
      }
      this.#advance();
    }
  }

  #readStatement(): void {
    const { type, text } = this.#token;
    if (type === "comment") {
      this.#advance();
    } else if (type === "option") {
      this.#readOption(text.slice(2).toUpperCase());
    } else if (this.#isKeyword("DEBUG")) {
      this.#advance();
    } else if (this.#isKeyword("RESET")) {
      this.#advance();
      this.#builder.reset();
    } else if (this.#isKeyword("INCLUDE")) {
      this.#advance();
      this.#take("space", "expected one space and the name of a file");
      this.#include(this.#readFileName());
    } else if (type === "space" || type === "end-of-text") {
      throw this.#error("expected a statement: one space stands between two, none before the first or after the last");
    } else {
      throw this.#error("expected a statement, such as --SERVER=host:port");
    }
  }

  #readOption(name: string): void {
    const meaning = OPTIONS.get(name);
    if (meaning === undefined) {
      throw this.#error(OPTIONS.has(`${name}=`) ? "a value is missing" : this.#unknownOption(name));
    }
    this.#advance();
    switch (meaning) {
      case "server":
        return this.#readServer();
      case "socket":
        return this.#readSocket();
      case "namespace":
        return this.#readNamespace();
      case "hash":
        return this.#readHash();
      case "distribution":
        return this.#readDistribution();
      case "file":
        return this.#builder.setFile(this.#readFileName());
      case "number":
        return this.#readNumber(name);
      case "flag":
        return this.#applyFlag(name);
    }
  }

  #unknownOption(name: string): string {
    return name.endsWith("=") && OPTIONS.has(name.slice(0, -1)) ? "this option takes no value" : "unknown option";
  }

  #readServer(): void {
    const { type, text } = this.#token;
    let host = text;
    if (type === "ipv6-address") {
      host = text.slice(1, -1);
      if (!isIPv6(host)) {
        throw this.#error("not an IPv6 address");
      }
    } else if (type === "keyword") {
      throw this.#error(`${text} is a word of the language and can be no host name; add the domain or use an address`);
    } else if (type !== "word" && type !== "ip-address") {
      throw this.#error("expected a host name of at least three characters or an IP address");
    }
    this.#advance();
    let port = DEFAULT_PORT;
    if (this.#token.type === "port") {
      // The library takes port 0 for the default.
      port = Number(this.#token.text.slice(1)) || DEFAULT_PORT;
      if (port > MAX_PORT) {
        throw this.#error("a port is 65535 at most");
      }
      this.#advance();
    }
    this.#addServer({ kind: "tcp", host, port });
  }

  #readSocket(): void {
    const path = this.#readString();
    if (path === "" || path.includes("\0")) {
      throw this.#error("expected the path of a socket");
    }
    this.#addServer({ kind: "unix", path });
  }

  #addServer(address: MemcachedAddress): void {
    let weight = 1;
    if (this.#token.type === "weight") {
      // The library takes weight 0 for 1.
      weight = Number(this.#token.text.slice(2)) || 1;
      this.#advance();
    }
    if (!this.#builder.addServer({ ...address, weight })) {
      throw this.#error(`more than ${this.#builder.maxServers} servers`, this.#statement);
    }
  }

  #readNamespace(): void {
    const place = this.#place();
    const namespace = this.#readString();
    if (this.#builder.namespace !== "") {
      throw place("the namespace can only be set once");
    }
    if (namespace === "" || Buffer.byteLength(namespace) > MAX_NAMESPACE) {
      throw place(`a namespace has 1 to ${MAX_NAMESPACE} bytes`);
    }
    if (!/^[\x21-\x7e]*$/.test(namespace) && !this.#builder.binaryProtocol) {
      throw place("a namespace is of printable ASCII without spaces");
    }
    this.#builder.set({ namespace });
  }

  #readHash(): void {
    const hash = this.#takeHash();
    if (this.#hashSeen) {
      throw this.#error("the hash can only be set once", this.#statement);
    }
    this.#hashSeen = true;
    this.#builder.setHash(hash);
  }

  #takeHash(): HashName {
    const hash = this.#token.type === "keyword" ? HASH_KEYWORDS.get(this.#token.text.toUpperCase()) : undefined;
    if (hash === undefined) {
      throw this.#error(`unknown hash, one of ${[...HASH_KEYWORDS.keys()].join(", ")} (leave it out for the default)`);
    }
    this.#advance();
    return hash;
  }

  #readDistribution(): void {
    if (this.#isKeyword("RANDOM")) {
      throw this.#error("with random distribution nobody finds a key again; use consistent or modula");
    }
    const consistent = this.#isKeyword("CONSISTENT");
    if (!consistent && !this.#isKeyword("MODULA")) {
      throw this.#error("unknown distribution, one of consistent, modula");
    }
    this.#advance();
    if (this.#token.type === "comma") {
      this.#advance();
      // The library reads it and makes no use of it.
      this.#takeHash();
    }
    this.#builder.setDistribution(consistent ? "consistent" : "modula");
  }

  #readNumber(name: string): void {
    const place = this.#place();
    const value = Number(this.#take("number", "expected a number"));
    const milliseconds = name === "RETRY-TIMEOUT=" ? 1000 * value : value;
    if (name.endsWith("TIMEOUT=") && milliseconds > MAX_TIMEOUT) {
      throw place(`a timeout is ${MAX_TIMEOUT} ms at most`);
    }
    if (name === "CONNECT-TIMEOUT=" && value > 0) {
      this.#builder.set({ connectTimeoutMs: value });
    } else if (name === "POLL-TIMEOUT=" && value > 0) {
      this.#builder.set({ pollTimeoutMs: value });
    } else if (name === "RETRY-TIMEOUT=") {
      this.#builder.set({ retryTimeoutMs: milliseconds });
    }
  }

  #applyFlag(name: string): void {
    if (name === "SORT-HOSTS") {
      this.#builder.sortHosts();
    } else if (name === "HASH-WITH-NAMESPACE") {
      this.#builder.set({ hashWithNamespace: true });
    } else if (name === "BINARY-PROTOCOL") {
      this.#builder.set({ binaryProtocol: true });
    } else if (name === "VERIFY-KEY" && this.#builder.binaryProtocol) {
      throw this.#error(
        "not after --BINARY-PROTOCOL: the library verifies keys of the text protocol only",
        this.#statement,
      );
    } else if (name === "USE-UDP") {
      this.#builder.useUdp = true;
    } else if (name === "BUFFER-REQUESTS" && this.#builder.useUdp) {
      throw this.#error("not after --USE-UDP: the library buffers no requests over UDP", this.#statement);
    }
  }

  #readString(): string {
    const { type, text } = this.#token;
    if (type !== "word" && type !== "quoted-string") {
      throw this.#error("expected a text in double quotes, or a word of at least three letters and digits");
    }
    this.#advance();
    // The first and the last character are cut off whatever they are, and a backslash stays, as in the library.
    return type === "word" ? text : text.slice(1, -1);
  }

  #readFileName(): NamedFile {
    const fail = this.#place();
    return { fail, path: this.#readString() };
  }

  #isKeyword(word: string): boolean {
    return this.#token.type === "keyword" && this.#token.text.toUpperCase() === word;
  }

  #take(type: TokenType, why: string): string {
    const { text } = this.#token;
    if (this.#token.type !== type) {
      throw this.#error(why);
    }
    this.#advance();
    return text;
  }

  #advance(): void {
    this.#token = scanToken(this.#text, this.#token.end);
  }

  /** For an error that is found when the reader has gone on. */
  #place(): NamedFile["fail"] {
    const { start } = this.#token;
    const statement = this.#statement;
    return (why, code, cause) => this.#error(why, start, statement, code, cause);
  }

  #error(
    why: string,
    offset = this.#token.start,
    statement = this.#statement,
    code: MemcachedErrorCode = "ERR_MEMCACHED_CONFIG",
    cause?: unknown,
  ): ConfigStringError {
    const rest = this.#text.slice(statement);
    const shown = /^ *[^ \t\r\n]*/.exec(rest)?.[0].slice(0, 60) ?? "";
    const message = `${this.#where}, at character ${offset + 1}: \`${shown}\`: ${why}`;
    return new ConfigStringError(code, message, offset, cause);
  }
}
