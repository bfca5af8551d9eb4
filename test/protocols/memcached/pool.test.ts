import assert from "node:assert/strict";
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
