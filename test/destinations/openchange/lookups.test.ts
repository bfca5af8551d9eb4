import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { describe, mock, test, type TestContext } from "node:test";
import { charset } from "../../../src/destinations/openchange/codec/charset.ts";
import { encodeResolverRecord } from "../../../src/destinations/openchange/codec/resolver-record.ts";
import { HostLists } from "../../../src/destinations/openchange/host-lists.ts";
import { Lookups } from "../../../src/destinations/openchange/lookups.ts";
import { Resolver } from "../../../src/destinations/openchange/resolver.ts";
import { Route, type Job } from "../../../src/destinations/openchange/route.ts";
import type { EventRecord } from "../../../src/delivery/destination.ts";
import type { MemcachedServer } from "../../../src/protocols/memcached/server.ts";
import { waitFor } from "../../helpers/wait.ts";

const PATIENCE_MS = 20_000;
const LIMIT = 10_000;
const HOST = "tcp://10.0.0.5:1";

/** The answer to one key. */
const item = (key: string, value: Buffer): Buffer =>
  Buffer.concat([Buffer.from(`VALUE ${key} 0 ${value.length}\r\n`), value, Buffer.from("\r\n")]);
const record = (...hosts: string[]): Buffer => encodeResolverRecord(hosts);

const job = (route: Route): Job => ({ route, record: { stretch: { seenAt: 0 } } as EventRecord, unencoded: 0 });

interface Site {
  /** What happened, in order. */
  readonly seen: string[];
  /** The users of each request. */
  readonly asked: string[][];
  route(cn: string): Route;
  push(route: Route): void;
}

/** Look-ups of a memcached that answers each `get` as `answer` does. */
async function site(t: TestContext, answer: (socket: Socket, keys: readonly string[]) => void): Promise<Site> {
  const seen: string[] = [];
  const asked: string[][] = [];
  const server = createServer((socket) => {
    let rest = "";
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      const lines = (rest + chunk.toString()).split("\r\n");
      rest = lines.pop() ?? "";
      const gets = lines.filter((line) => line.startsWith("get "));
      if (lines.includes("version")) socket.write("VERSION 1\r\n");
      for (const line of gets) {
        const keys = line.split(" ").slice(1);
        asked.push(keys.map((key) => key.replace("resolver:", "")));
        answer(socket, keys);
      }
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const resolver = new Resolver(`--SERVER=127.0.0.1:${port} --POLL-TIMEOUT=200 --RETRY-TIMEOUT=0`, {
    maxRecordSize: LIMIT,
  });
  const [memcached] = resolver.pool.servers;
  assert.ok(memcached !== undefined);
  const lookups = new Lookups(
    memcached,
    new HostLists(charset()),
    {
      found: ({ cn, hosts }, jobs, omitted) => seen.push(`${cn} ${jobs.length} ${hosts.length} ${omitted}`),
      undecodable: ({ cn }, jobs, error) => seen.push(`${cn} ${jobs.length} ${error.message}`),
      failed: (_, error) => seen.push(`failed ${(error as { code?: string }).code}`),
      recovered: () => seen.push("recovered"),
      restarted: () => assert.fail(),
      notYet: () => assert.fail(),
      ageless: () => assert.fail(),
    },
    { graceMs: 0, batch: 1_000, blamed: undefined },
  );
  t.after(() => {
    lookups.close();
    resolver.close();
    server.close();
  });
  return { seen, asked, route: (cn) => new Route(cn, resolver, lookups), push: (route) => lookups.push(job(route)) };
}

describe("an answer to look-ups", () => {
  test("of which one value is too long tells all others, and says how long that one is and what to do", async (t) => {
    const w = await site(t, (socket, keys) => {
      for (const key of keys) {
        socket.write(item(key, key === "resolver:long" ? Buffer.alloc(LIMIT + 1) : record(HOST)));
      }
      socket.write("END\r\n");
    });
    for (const cn of ["anna", "long", "jdoe"]) w.push(w.route(cn));
    await waitFor("the answer", () => w.seen.length === 3);
    const [anna, long = "", jdoe] = w.seen;
    assert.deepEqual([anna, jdoe], ["anna 1 1 0", "jdoe 1 1 0"]);
    assert.match(
      long,
      /record for long is too long.* has 10001 bytes, over the limit of 10000.*flush --username long$/,
    );
  });

  test("is used as it comes: of one that breaks off, the rest alone is asked for again, in order", async (t) => {
    let requests = 0;
    let release: (() => void) | undefined;
    const w = await site(t, (socket, keys) => {
      const [first = "", ...others] = keys.map((key) => item(key, record(HOST)));
      socket.write(first);
      release = () => socket.destroy();
      if (requests++ === 0) return;
      for (const each of others) socket.write(each);
      socket.write("END\r\n");
    });
    const routes = ["anna", "jdoe", "maria"].map((cn) => w.route(cn));
    for (const route of [...routes, ...routes]) w.push(route);
    await waitFor("the first value", () => w.seen.length === 1);
    assert.deepEqual(w.seen, ["anna 2 1 0"]);
    release?.();
    await waitFor("the others", () => w.seen.length >= 5, PATIENCE_MS);
    assert.deepEqual(w.seen, [
      "anna 2 1 0",
      "failed ERR_MEMCACHED_CONNECTION",
      "jdoe 2 1 0",
      "maria 2 1 0",
      "recovered",
    ]);
    assert.deepEqual(w.asked, [
      ["anna", "jdoe", "maria"],
      ["jdoe", "maria"],
    ]);
  });

  test("that cannot come in time is asked for in ever smaller parts, and each user is told", async (t) => {
    // Takes no more than 20 keys of a request, counted over its lines.
    let open = 0;
    const w = await site(t, (socket, keys) => {
      open += keys.length;
      if (open > 20) {
        setTimeout(() => (open = 0), 100);
        return;
      }
      for (const key of keys) socket.write(item(key, record(HOST)));
      socket.write("END\r\n");
      open = 0;
    });
    for (let user = 0; user < 100; user++) w.push(w.route(`u${user}`));
    await waitFor("all users", () => w.seen.filter((line) => line.endsWith(" 1 1 0")).length === 100, PATIENCE_MS);
    const found = w.seen.filter((line) => line.startsWith("u")).map((line) => line.split(" ")[0]);
    assert.deepEqual(
      found,
      Array.from({ length: 100 }, (_, user) => `u${user}`),
    );
  });

  test("of two users with one key is for both", async (t) => {
    const w = await site(t, (socket, keys) => {
      for (const key of keys) socket.write(item(key, record(HOST)));
      socket.write("END\r\n");
    });
    for (const cn of ["jdoe", "JDoe"]) w.push(w.route(cn));
    await waitFor("the answer", () => w.seen.length === 2);
    assert.deepEqual([w.seen, w.asked], [["jdoe 1 1 0", "JDoe 1 1 0"], [["jdoe"]]]);
  });

  test("with many hosts is for those only who waited for it, so that a route does not hold it", async (t) => {
    const many = Array.from({ length: 300 }, (_, index) => `tcp://10.0.0.5:${index + 1}`);
    const w = await site(t, (socket, keys) => {
      for (const key of keys) socket.write(item(key, key === "resolver:many" ? record(...many) : record(HOST)));
      socket.write("END\r\n");
    });
    const routes = ["many", "few"].map((cn) => w.route(cn));
    for (const route of routes) w.push(route);
    await waitFor("the answer", () => w.seen.length === 2);
    assert.deepEqual(w.seen, ["many 1 300 0", "few 1 1 0"]);
    assert.deepEqual(
      routes.map((route) => [route.hosts.length, route.answersFor(0, performance.now())]),
      [
        [0, false],
        [1, true],
      ],
    );
  });
});

/** Lets everything happen that waits for no timer. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate);
}

/** Look-ups of a server that was started this long before each request, and has the users of `registered`. */
function restarted(t: TestContext, ageMs: number) {
  const seen: string[] = [];
  const registered = new Set<string>();
  const server = {
    name: "test",
    async getEach(keys: readonly string[], onFound: (key: string, item: { value: Buffer }) => void) {
      seen.push(`asked ${keys.join(" ")}`);
      for (const key of keys) if (registered.has(key)) onFound(key, { value: record(HOST) });
    },
    startedAt: async () => (ageMs === Infinity ? -Infinity : startMs),
  } as unknown as MemcachedServer;
  const startMs = performance.now() - ageMs;
  const resolver = { pool: { wireKey: (key: string) => key.replace("resolver:", "") } } as unknown as Resolver;
  const lookups = new Lookups(
    server,
    new HostLists(charset()),
    {
      found: ({ cn, hosts }, jobs) => seen.push(`${cn} ${jobs.length} ${hosts.length}`),
      undecodable: () => assert.fail(),
      failed: (_, error) => assert.fail(error),
      recovered: () => assert.fail(),
      restarted: (_, agoMs) => seen.push(`started ${Math.floor(agoMs / 1_000)} s ago`),
      notYet: (_, routes) => seen.push(`not yet ${routes.map(({ cn }) => cn).join(" ")}`),
      ageless: () => seen.push("ageless"),
    },
    { graceMs: 30_000, batch: 1_000, blamed: undefined },
  );
  mock.timers.enable({ apis: ["setTimeout"] });
  t.after(() => {
    mock.timers.reset();
    lookups.close();
  });
  return { seen, registered, lookups, route: (cn: string) => new Route(cn, resolver, lookups) };
}

describe("a memcached that has just been started", () => {
  test("is asked again each second for a user who is not found, beside the others, and its start is reported once", async (t) => {
    const w = restarted(t, 5_000);
    const [anna, bert] = [w.route("anna"), w.route("bert")];
    w.lookups.push(job(anna));
    await turns();
    assert.deepEqual(w.seen.splice(0), ["asked anna", "started 5 s ago", "not yet anna"]);
    w.registered.add("bert");
    w.lookups.push(job(bert));
    w.lookups.push(job(anna));
    await turns();
    assert.deepEqual(w.seen.splice(0), ["asked bert", "bert 1 1"], "who waits to be asked for again holds up nobody");
    mock.timers.tick(1_000);
    await turns();
    assert.deepEqual(w.seen.splice(0), ["asked anna", "not yet anna"]);
    w.registered.add("anna");
    mock.timers.tick(999);
    await turns();
    assert.deepEqual(w.seen, []);
    mock.timers.tick(1);
    await turns();
    assert.deepEqual(w.seen, ["asked anna", "anna 2 1"]);
    assert.equal(w.lookups.idle, true);
  });

  for (const [what, ageMs, seen] of [
    ["is believed that nobody is registered once the grace is over", 30_001, []],
    ["is believed when it does not say when it was started, which is reported once", Infinity, ["ageless"]],
  ] as const) {
    test(what, async (t) => {
      const w = restarted(t, ageMs);
      for (let n = 0; n < 2; n++) {
        w.lookups.push(job(w.route(`u${n}`)));
        await turns();
      }
      assert.deepEqual(w.seen, ["asked u0", ...seen, "u0 1 0", "asked u1", "u1 1 0"]);
    });
  }
});
