import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";

import * as fc from "fast-check";

import { parseConfigString } from "../../../src/protocols/memcached/config-string.ts";
import { createPlacement } from "../../../src/protocols/memcached/placement.ts";
import { MemcachedPool } from "../../../src/protocols/memcached/pool.ts";
import { type PoolConfig, serverIdentity } from "../../../src/protocols/memcached/pool-config.ts";
import { type Libmemcached, startLibmemcached } from "../../helpers/libmemcached.ts";
import { startMemcached, type TestMemcached } from "../../helpers/memcached.ts";

const identities = ({ servers }: PoolConfig): string[] =>
  servers.map((server) => {
    const { name, port } = serverIdentity(server);
    return `${name}:${port}`;
  });

const host = fc.constantFrom("abc", "localhost", "10.0.0.1", "10.0.0.2", "cache.example.com", "Cache.example.com");
const port = fc.constantFrom("", ":11211", ":11212", ":1", ":65535");
const weight = fc.constantFrom("", "/?0", "/?1", "/?2", "/?3", "/?10", "/?33", "/?99999");
const hashes = ["MD5", "CRC", "FNV1_64", "FNV1A_64", "FNV1_32", "FNV1A_32", "MURMUR", "JENKINS"];
const statement = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(host, port, weight).map((parts) => `--SERVER=${parts.join("")}`) },
  { weight: 1, arbitrary: weight.map((suffix) => `--SOCKET="/run/memcached.sock"${suffix}`) },
  { weight: 2, arbitrary: fc.constantFrom(...hashes).map((hash) => `--HASH=${hash}`) },
  {
    weight: 2,
    arbitrary: fc
      .constantFrom("consistent", "CONSISTENT,MD5", "modula", "consistent,CRC")
      .map((name) => `--DISTRIBUTION=${name}`),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom("--SORT-HOSTS", "--HASH-WITH-NAMESPACE", "--NAMESPACE=foo", "RESET", "--TCP-NODELAY"),
  },
);

describe("beside the real libmemcached", () => {
  let library: Libmemcached;

  before(async () => {
    library = await startLibmemcached();
  });
  after(() => library.stop());

  it("finds the same servers in the same order, and every key on the same one", async () => {
    const keys = Array.from({ length: 200 }, (_, index) => `resolver:user${index}é@example.com`);
    const pool = fc
      .array(statement, { minLength: 1, maxLength: 9 })
      .map((statements) => statements.join(" "))
      .filter((config) => {
        try {
          return parseConfigString(config).servers.length > 1;
        } catch {
          return false;
        }
      });
    await fc.assert(
      fc.asyncProperty(pool, async (config) => {
        const ours = parseConfigString(config);
        const names = identities(ours);
        assert.deepEqual(names, (await library.config(config))?.servers);
        const place = createPlacement(ours);
        const places = keys.map((key) => names[place(key)]);
        assert.deepEqual(places, await library.place(config, keys));
      }),
      { numRuns: 300 },
    );
  });

  it("takes and refuses the same strings", async () => {
    const words = [
      "--SERVER= --server=abc --SERVER=abc --SOCKET= --SOCKET=abc --NAMESPACE= --HASH= --DISTRIBUTION= --CONNECT-TIMEOUT=",
      "--POOL-MIN=1 --NOREPLY --BINARY-PROTOCOL --FOO abc a-b ab 127.0.0.1 12 md5 CRC modula Consistent true RESET END",
      'INCLUDE :11211 :123456 /?3 /? , = - . "/tmp/x,y"',
    ]
      .flatMap((line) => line.split(" "))
      .concat(" ", " ", " ", "\t", "\n", "#x\n");
    const text = fc.array(fc.constantFrom(...words), { maxLength: 8 }).map((parts) => `--SERVER=xyz ${parts.join("")}`);
    await fc.assert(
      // A quote within a word is the one oddity of the library's scanner that ours does not have.
      fc.asyncProperty(
        text.filter((config) => !/[\w.-]"|"[\w.-]/.test(config.replaceAll('"/tmp/x,y"', ""))),
        async (config) => {
          const theirs = await library.config(config);
          let ours: PoolConfig | undefined;
          try {
            ours = parseConfigString(config);
          } catch (error) {
            // No server is the one reason of ours for refusing what can come of these words.
            if (theirs?.servers.length !== 0) {
              assert.equal(theirs, undefined, String(error));
            }
            return;
          }
          assert.ok(theirs, "the library refuses it");
          assert.deepEqual(
            [identities(ours), ours.hash, ours.namespace, ours.distribution],
            [
              theirs.servers,
              theirs.hash.toLowerCase(),
              theirs.namespace,
              theirs.distribution.replace("MEMCACHED_DISTRIBUTION_", "").toLowerCase(),
            ],
          );
        },
      ),
      { numRuns: 3000 },
    );
  });

  it("refuses the same flags after one another", async () => {
    const flags = (
      "BINARY-PROTOCOL BUFFER-REQUESTS HASH-WITH-NAMESPACE NOREPLY RANDOMIZE-REPLICA-READ SORT-HOSTS SUPPORT-CAS " +
      "USE-UDP VERIFY-KEY TCP-KEEPALIVE TCP-KEEPIDLE TCP-NODELAY FETCH-VERSION USER-DATA NAMESPACE=foo POOL-MIN=1"
    )
      .split(" ")
      .map((flag) => `--${flag}`);
    const refused: string[] = [];
    for (const first of flags) {
      for (const second of flags) {
        for (const between of [" ", " --SERVER=abc ", " RESET "]) {
          const config = `${first}${between}${second} --SERVER=xyz`;
          const theirs = await library.config(config);
          let ours = true;
          try {
            parseConfigString(config);
          } catch {
            ours = false;
          }
          assert.equal(ours, theirs !== undefined, config);
          if (!ours) refused.push(config);
        }
      }
    }
    assert.ok(refused.includes("--USE-UDP --BUFFER-REQUESTS --SERVER=xyz"));
    assert.ok(refused.includes("--BINARY-PROTOCOL --VERIFY-KEY --SERVER=xyz"));
  });

  describe("on a pool of three memcacheds", () => {
    let directory: string;
    let servers: TestMemcached[];
    const keys = Array.from({ length: 60 }, (_, index) => `resolver:user${index}@exämple.com`);

    before(async () => {
      directory = await mkdtemp(join(tmpdir(), "ocnotify-pool-"));
      servers = await Promise.all([
        startMemcached(),
        startMemcached(),
        startMemcached({ unix: join(directory, "memcached.sock") }),
      ]);
    });
    after(async () => {
      await Promise.all(servers.map((server) => server.stop()));
      await rm(directory, { recursive: true, force: true });
    });

    for (const [before, after, weights] of [
      ["", ""],
      ["", " --HASH=MURMUR"],
      ["", " --SORT-HOSTS"],
      ["--NAMESPACE=first ", ""],
      ["--DISTRIBUTION=consistent ", ""],
      ["--HASH=MD5 --DISTRIBUTION=consistent ", ""],
      ["--DISTRIBUTION=consistent ", "", ["/?1", "/?5", "/?2"]],
      ["--NAMESPACE=second --HASH-WITH-NAMESPACE --DISTRIBUTION=consistent,MD5 ", " --HASH=FNV1A_32"],
      ["--BINARY-PROTOCOL ", " --HASH=CRC"],
    ] as const) {
      it(`each finds what the other wrote: ${before}…${weights?.join(" ") ?? ""}${after}`, async () => {
        const config = before + servers.map((server, at) => server.config + (weights?.[at] ?? "")).join(" ") + after;
        const pool = new MemcachedPool(parseConfigString(config));
        try {
          for (const key of keys) {
            const value = Buffer.from(`theirs\0${config}${key}`);
            assert.ok(await library.set(config, key, value), key);
          }
          const { values, failures } = await pool.getMany(keys);
          assert.equal(failures.size, 0);
          for (const key of keys) {
            assert.equal(values.get(key)?.toString(), `theirs\0${config}${key}`, key);
            const ours = Buffer.from(`ours\r\n${config}${key}`);
            assert.equal(await pool.serverFor(key).set(pool.wireKey(key), ours), "stored");
            assert.deepEqual(await library.get(config, key), ours, key);
          }
        } finally {
          pool.close();
        }
      });
    }
  });
});
