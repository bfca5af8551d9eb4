import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { parseConfigString } from "../../../src/protocols/memcached/config-string.ts";
import { ConfigStringError } from "../../../src/protocols/memcached/errors.ts";
import type { PoolConfig } from "../../../src/protocols/memcached/pool-config.ts";

interface Verdict {
  config: string;
  ok: boolean;
  servers?: string[];
  distribution?: string;
  hash?: string;
  namespace?: string | null;
}

// oxlint-disable-next-line typescript/no-unsafe-type-assertion
const vectors = JSON.parse(
  readFileSync(new URL("../../fixtures/libmemcached-config.json", import.meta.url), "utf8"),
) as Verdict[];

/** What the library takes and we refuse, with the reason. */
const DEVIATIONS: ReadonlyMap<string, string> = new Map([
  ["# comment\n", "no server: nothing could ever be looked up"],
  ["--SERVER=abc RESET", "no server: nothing could ever be looked up"],
]);

const servers = ({ servers }: PoolConfig): string[] =>
  servers.map((server) => (server.kind === "tcp" ? `${server.host}:${server.port}` : server.path));

/** A string that names this many servers. */
const naming = (count: number): string =>
  Array.from({ length: count }, (_, index) => `--SERVER=host${index}`).join(" ");

function decide(config: string): Verdict {
  try {
    const pool = parseConfigString(config);
    const { distribution, hash, namespace } = pool;
    return { config, ok: true, servers: servers(pool), distribution, hash, namespace: namespace || null };
  } catch (error) {
    assert.ok(error instanceof ConfigStringError, String(error));
    assert.equal(error.canRetry, false);
    return { config, ok: false };
  }
}

describe("the configuration string", () => {
  for (const verdict of vectors) {
    const { config } = verdict;
    const reason = DEVIATIONS.get(config);
    it(`${verdict.ok && reason === undefined ? "takes" : "refuses"} ${JSON.stringify(config)}`, () => {
      assert.deepEqual(decide(config), reason === undefined ? verdict : { config, ok: false });
    });
  }

  it("lists no deviation that is none", () => {
    for (const config of DEVIATIONS.keys()) {
      assert.equal(vectors.find((verdict) => verdict.config === config)?.ok, true, config);
    }
  });

  it("points at the character", () => {
    const wrong: [string, number, RegExp][] = [
      ["", 0, /expected a statement/],
      ["# nothing\n", 10, /no server/],
      ["--SERVER=abc --HASH=FOO", 20, /at character 21: `--HASH=FOO`: unknown hash, one of MD5, CRC/],
      ["--SERVER=abc --DISTRIBUTION=ketama", 28, /unknown distribution, one of consistent, modula/],
      ["--SERVER=abc --DISTRIBUTION=random", 28, /random/],
      ["--SERVER=abc:65536", 12, /65535/],
      ["--SERVER=abc  --SERVER=def", 13, /one space/],
      ["--SERVER=abc --CONNECT-TIMEOUT=2147483648", 31, /2147483647 ms/],
      ["--SERVER=abc --RETRY-TIMEOUT=2147484", 29, /2147483647 ms/],
      ["--SERVER=abc --NOREPLY=1", 13, /takes no value/],
      ["--SERVER=[fe80::xyz]", 9, /IP address/],
      ["--SERVER=[1:2:3]", 9, /IPv6/],
      ["--SERVER=abc --NAMESPACE=foo --NAMESPACE=bar", 41, /only be set once/],
    ];
    for (const [config, offset, message] of wrong) {
      assert.throws(() => parseConfigString(config), { code: "ERR_MEMCACHED_CONFIG", offset, message }, config);
    }
  });

  it("means what it says", () => {
    assert.deepEqual(parseConfigString("--SERVER=abc"), {
      servers: [{ kind: "tcp", host: "abc", port: 11211, weight: 1 }],
      namespace: "",
      hash: "default",
      distribution: "modula",
      pointsHash: "default",
      weighted: false,
      hashWithNamespace: false,
      sortHosts: false,
      connectTimeoutMs: 1000,
      pollTimeoutMs: 1000,
      retryTimeoutMs: 2000,
      binaryProtocol: false,
    });
    const all =
      '--server=b.example:1/?3 --Socket="/run/m c.sock"/?2 --SERVER=[::1]:11212 --SERVER=[fe80::1] --NAMESPACE=ns- ' +
      "--hash=md5 --DISTRIBUTION=consistent,CRC --CONNECT-TIMEOUT=5 --POLL-TIMEOUT=6 --RETRY-TIMEOUT=7 " +
      "--BINARY-PROTOCOL --SORT-HOSTS --HASH-WITH-NAMESPACE";
    assert.deepEqual(parseConfigString(all.replace("=ns-", '="ns-"')), {
      servers: [
        { kind: "unix", path: "/run/m c.sock", weight: 2 },
        { kind: "tcp", host: "::1", port: 11212, weight: 1 },
        { kind: "tcp", host: "b.example", port: 1, weight: 3 },
        { kind: "tcp", host: "fe80::1", port: 11211, weight: 1 },
      ],
      namespace: "ns-",
      hash: "md5",
      distribution: "consistent",
      pointsHash: "md5",
      weighted: false,
      hashWithNamespace: true,
      sortHosts: true,
      connectTimeoutMs: 5,
      pollTimeoutMs: 6,
      retryTimeoutMs: 7000,
      binaryProtocol: true,
    });
  });

  it("takes a connect or poll timeout of 0 for the default, and a retry timeout of 0 for at once", () => {
    const pool = parseConfigString("--SERVER=abc --CONNECT-TIMEOUT=0 --POLL-TIMEOUT=0 --RETRY-TIMEOUT=0");
    assert.deepEqual([pool.connectTimeoutMs, pool.pollTimeoutMs, pool.retryTimeoutMs], [1000, 1000, 0]);
  });

  it("reads no file unless it is told to", () => {
    for (const config of ['INCLUDE "/etc/shadow" --SERVER=abc', '--SERVER=abc --CONFIGURE-FILE="/etc/shadow"']) {
      assert.throws(() => parseConfigString(config), { code: "ERR_MEMCACHED_CONFIG_FILE", message: /\/etc\/shadow/ });
    }
  });

  describe("with files", () => {
    const files: Record<string, string> = {
      pool: "--SERVER=aaa\n\n--SERVER=bbb END --SERVER=ccc\n--SERVER=ddd --HASH=md5",
      more: '--CONFIGURE-FILE="pool"\n',
      loop: 'INCLUDE "loop"\n',
      wrong: "--SERVER=aaa\n--SERVERS=bbb\n",
      empty: "",
    };
    const readFile = (path: string): string => {
      const content = files[path];
      if (content === undefined) {
        throw new Error(`ENOENT: ${path}`);
      }
      return content;
    };
    const read = (config: string): string[] => servers(parseConfigString(config, { readFile }));

    it("puts INCLUDE in its place and --CONFIGURE-FILE at the end", () => {
      assert.deepEqual(read('INCLUDE "pool" --SERVER=eee'), ["aaa:11211", "bbb:11211", "ddd:11211", "eee:11211"]);
      const last = ["eee:11211", "aaa:11211", "bbb:11211", "ddd:11211"];
      assert.deepEqual(read('--CONFIGURE-FILE="pool" --SERVER=eee'), last);
      assert.deepEqual(read('INCLUDE "more" --SERVER=eee'), last);
      assert.deepEqual(read('--CONFIGURE-FILE="pool" RESET --SERVER=eee'), ["eee:11211"]);
    });

    it("says what is wrong with a file", () => {
      const wrong: [string, RegExp][] = [
        ['INCLUDE "none"', /cannot read none: ENOENT/],
        ['INCLUDE "empty"', /empty/],
        ['INCLUDE "loop"', /too deeply/],
        ['INCLUDE "wrong"', /^wrong:2, at character 1: `--SERVERS=bbb`/],
      ];
      for (const [config, message] of wrong) {
        assert.throws(() => parseConfigString(config, { readFile }), { message, canRetry: false });
      }
    });
  });

  it("answers or complains, whatever the string", () => {
    const part = fc.constantFrom(...vectors.flatMap(({ config }) => config.split(/(?=[ ,:/="])/)));
    const text = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.array(part, { maxLength: 12 }).map((parts) => parts.join("")),
    );
    fc.assert(
      fc.property(text, (config) => {
        decide(config);
      }),
      { numRuns: 2000 },
    );
  });

  it("bounds the servers and the timeouts of a string from elsewhere", () => {
    const limits = { maxServers: 8, maxTimeoutMs: 2_000 };
    assert.equal(parseConfigString(naming(8), limits).servers.length, 8);
    assert.throws(() => parseConfigString(naming(9), limits), {
      code: "ERR_MEMCACHED_CONFIG",
      message: /`--SERVER=host8`: more than 8 servers/,
    });
    assert.throws(() => parseConfigString(naming(1_025)), /more than 1024 servers/);
    const timeouts = "--SERVER=host --CONNECT-TIMEOUT=100 --POLL-TIMEOUT=90000 --RETRY-TIMEOUT=90";
    const { connectTimeoutMs, pollTimeoutMs, retryTimeoutMs } = parseConfigString(timeouts, limits);
    assert.deepEqual([connectTimeoutMs, pollTimeoutMs, retryTimeoutMs], [100, 2_000, 2_000]);
  });

  it("is not slow at a long string", () => {
    const long = "--SERVER=host.example.com:11211/?3 ".repeat(1000);
    const started = performance.now();
    assert.equal(parseConfigString(long.trimEnd()).servers.length, 1000);
    for (const hostile of [`"${"\\".repeat(50_000)}`, "-".repeat(50_000), "1.".repeat(50_000), "\n#".repeat(50_000)]) {
      decide(`--SERVER=abc --SOCKET=${hostile}`);
    }
    assert.ok(performance.now() - started < 2000);
  });
});
