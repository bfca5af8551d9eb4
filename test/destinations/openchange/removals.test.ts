import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { pino } from "pino";
import { Removals } from "../../../src/destinations/openchange/removals.ts";
import type { Logger } from "../../../src/log.ts";
import { Resolver } from "../../../src/destinations/openchange/resolver.ts";
import { startMemcached, type TestMemcached } from "../../helpers/memcached.ts";
import { freePort } from "../../helpers/ports.ts";
import { waitFor } from "../../helpers/wait.ts";

/** Lines of the log, as objects. */
function logOf(lines: Record<string, unknown>[]): Logger {
  return pino({ base: null }, { write: (line: string) => lines.push(JSON.parse(line) as Record<string, unknown>) });
}

const hosts = (count: number): string[] => Array.from({ length: count }, (_, n) => `tcp://127.0.0.1:${1024 + n}`);

describe("taking hosts out of the resolver", () => {
  let memcached: TestMemcached;
  let resolver: Resolver;
  before(async () => {
    memcached = await startMemcached();
    resolver = new Resolver(memcached.config);
  });
  after(async () => {
    resolver.close();
    await memcached.stop();
  });
  it("changes a record once for all that go, and logs one line", async (t) => {
    for (const host of hosts(3)) await resolver.register("jdoe", host);
    const changed = t.mock.method(resolver, "unregisterAll");
    const lines: Record<string, unknown>[] = [];
    const removals = new Removals(logOf(lines));
    // A thousand that are not in the record cost no more.
    for (const host of hosts(1_000).slice(1)) removals.add({ resolver, cn: "jdoe" }, host);
    await waitFor("the line", () => lines.length > 0);
    assert.deepEqual(await resolver.hosts("jdoe"), hosts(1));
    assert.equal(changed.mock.callCount(), 1);
    assert.equal(lines.length, 1);
    assert.equal(lines[0]?.["hosts"], 2);
    assert.match(String(lines[0]?.["msg"]), /^taken out of the resolver/);
  });

  it("goes on with the next record when one cannot be changed", async () => {
    const dead = new Resolver(`--SERVER=127.0.0.1:${await freePort()}`);
    await resolver.register("anna", "tcp://127.0.0.1:1");
    const lines: Record<string, unknown>[] = [];
    const removals = new Removals(logOf(lines));
    removals.add({ resolver: dead, cn: "anna" }, "tcp://127.0.0.1:1");
    removals.add({ resolver, cn: "anna" }, "tcp://127.0.0.1:1");
    await waitFor("both lines", () => lines.length === 2);
    assert.match(String(lines[0]?.["msg"]), /^cannot take the host out of the resolver: memcached /);
    assert.deepEqual(await resolver.hosts("anna"), []);
    dead.close();
  });
});
