import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { after, before, describe, it } from "node:test";

import { parseConfigString } from "../../../src/protocols/memcached/config-string.ts";
import { MemcachedPool } from "../../../src/protocols/memcached/pool.ts";
import { startMemcached, type TestMemcached } from "../../helpers/memcached.ts";

describe("MemcachedPool", () => {
  let memcacheds: TestMemcached[];
  const keys = Array.from({ length: 300 }, (_, index) => `resolver:user${index}`);
  const config = (): string => memcacheds.map((memcached) => memcached.config).join(" ");

  before(async () => {
    memcacheds = await Promise.all([startMemcached(), startMemcached(), startMemcached()]);
  });
  after(() => Promise.all(memcacheds.map((memcached) => memcached.stop())));

  async function withPool(suffix: string, run: (pool: MemcachedPool) => Promise<void>): Promise<void> {
    const pool = new MemcachedPool(parseConfigString(config() + suffix));
    try {
      await run(pool);
    } finally {
      pool.close();
    }
  }

  const fill = (pool: MemcachedPool): Promise<unknown> =>
    Promise.all(keys.map((key) => pool.serverFor(key).set(pool.wireKey(key), Buffer.from(key))));

  it("finds every key on its server, and a miss is no failure", () =>
    withPool("", async (pool) => {
      await fill(pool);
      assert.equal(new Set(keys.map((key) => pool.serverFor(key))).size, 3);
      const { values, failures } = await pool.getMany(["miss", ...keys]);
      assert.deepEqual([...values.keys()].toSorted(), keys.toSorted());
      assert.equal(values.get("resolver:user7")?.toString(), "resolver:user7");
      assert.equal(failures.size, 0);
    }));

  it("prefixes the namespace on the wire only", () =>
    withPool(" --NAMESPACE=name.space", async (pool) => {
      assert.equal(pool.wireKey("a"), "name.spacea");
      await pool.serverFor("a").set(pool.wireKey("a"), Buffer.from("in"));
      assert.equal((await pool.getMany(["a"])).values.get("a")?.toString(), "in");
      await withPool("", async (bare) => {
        assert.equal((await bare.getMany(["a"])).values.size, 0);
        assert.equal(pool.serverFor("a").name, bare.serverFor("a").name);
      });
    }));

  it("fails a bad key alone", () =>
    withPool(" --NAMESPACE=abc", async (pool) => {
      await fill(pool);
      const { values, failures } = await pool.getMany(["a b", "k".repeat(248), "", ...keys]);
      assert.equal(values.size, keys.length);
      assert.deepEqual(
        Array.from(failures, ([key, { code, canRetry }]) => [key, code, canRetry]),
        ["a b", "k".repeat(248), ""].map((key) => [key, "ERR_MEMCACHED_KEY", false]),
      );
    }));

  it("fails a value over the limit alone, and what is over 64 MiB with the values before it", async () => {
    // A memcached that has 1,000,000 bytes for each key, and one more for "long".
    const server = createServer((socket) => {
      socket.on("data", (chunk) => {
        for (const key of chunk.toString().trim().split(" ").slice(1)) {
          const value = Buffer.alloc(key === "long" ? 1_000_001 : 1_000_000);
          for (const part of [`VALUE ${key} 0 ${value.length}\r\n`, value, "\r\n"]) socket.write(part);
        }
        socket.write("END\r\n");
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const pool = new MemcachedPool(parseConfigString(`--SERVER=127.0.0.1:${port}`), { maxValueSize: 1_000_000 });
    const asked = ["long", ...keys.slice(0, 70)];
    try {
      const { values, failures } = await pool.getMany(asked);
      assert.deepEqual([...values.keys()], asked.slice(1, 68));
      assert.deepEqual([...failures.keys()], ["long", ...asked.slice(68)]);
      assert.match(failures.get("long")?.message ?? "", /1000001 bytes, over the limit/);
      for (const { code, canRetry } of failures.values()) {
        assert.deepEqual([code, canRetry], ["ERR_MEMCACHED_VALUE", false]);
      }
      let found = 0;
      const others = await pool.getEach(asked, () => found++);
      assert.deepEqual([found, [...others.keys()]], [70, ["long"]]);
    } finally {
      pool.close();
      server.close();
    }
  });

  for (const trouble of ["stopped", "standing still"] as const) {
    it(`fails the keys of one server of three that is ${trouble}, and those alone`, () =>
      withPool(" --POLL-TIMEOUT=300 --RETRY-TIMEOUT=60", async (pool) => {
        await fill(pool);
        const [victim] = memcacheds;
        assert.ok(victim);
        if (trouble === "stopped") {
          await victim.stop();
        } else {
          victim.pause();
        }
        try {
          const lost = keys.filter((key) => pool.serverFor(key) === pool.servers[0]);
          for (let round = 0; round < 2; round++) {
            const started = performance.now();
            const { values, failures } = await pool.getMany(keys);
            assert.ok(performance.now() - started < (round === 0 ? 2000 : 250), "fails fast");
            assert.deepEqual([...failures.keys()].toSorted(), lost.toSorted());
            assert.equal(values.size, keys.length - lost.length);
            for (const failure of failures.values()) {
              assert.equal(failure.canRetry, true);
              assert.equal(failure.code === "ERR_MEMCACHED_DOWN", round === 1);
            }
          }
        } finally {
          await victim.restart();
        }
      }));
  }

  it("refuses a configuration without a server", () => {
    const empty = { ...parseConfigString("--SERVER=abc"), servers: [] };
    assert.throws(() => new MemcachedPool(empty), { code: "ERR_MEMCACHED_CONFIG" });
  });
});
