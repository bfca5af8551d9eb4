import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { LookupEvents } from "../../../src/destinations/openchange/lookups.ts";
import { Routes } from "../../../src/destinations/openchange/routes.ts";
import { Zone } from "../../../src/destinations/openchange/zone.ts";
import type { MailboxEvent } from "../../../src/events/event.ts";
import type { Writer } from "../../../src/journal/writer.ts";
import { NameLookups } from "../../../src/name-lookups.ts";
import { OWN_UID, STRANGE_UID, writerOf } from "../../helpers/journal.ts";

const CONFIGURED = "--SERVER=mc.example.com";
const LISTED = "--SERVER=mc2.example.com";
const trusted = writerOf(OWN_UID);
const stranger = (index: number): Writer => writerOf(STRANGE_UID + index);

/** The string of a memcached; nobody connects to it before something is looked up. */
const server = (index: number): string => `--SERVER=127.0.0.1:${2000 + index}`;

const newRoutes = (): Routes =>
  new Routes(
    {
      resolver: CONFIGURED,
      resolvers: [LISTED],
      cn: "username",
      charset: "cp850",
      restartGraceMs: 0,
      names: new NameLookups(),
    },
    {} as LookupEvents,
    () => "",
  );

let routes: Routes;
beforeEach(() => {
  routes = newRoutes();
});
afterEach(() => routes.close());

/** The namespace and server that a record of this writer is looked up at. */
function serverOf(resolver: string | undefined, writer: Writer, now = 0): string {
  const event = { user: "jdoe", ...(resolver !== undefined && { resolver }) } as MailboxEvent;
  return routes.of(event, writer, now).lookups.server.name;
}

describe("resolver strings of records", () => {
  it("are free when the configuration has them", () => {
    for (let index = 0; index < 100; index++) {
      assert.equal(serverOf(undefined, stranger(index)), "mc.example.com:11211");
      assert.equal(serverOf(CONFIGURED, stranger(index)), "mc.example.com:11211");
      assert.equal(serverOf(LISTED, stranger(index)), "mc2.example.com:11211");
    }
  });

  it("are free when one who is trusted names them, before or after others did", () => {
    for (let index = 0; index < 8; index++) serverOf(server(index), stranger(index));
    for (let index = 0; index < 9; index++) serverOf(server(index), trusted);
    assert.equal(serverOf(server(8), stranger(100)), "127.0.0.1:2008");
    for (let index = 10; index < 18; index++) serverOf(server(index), stranger(index));
  });

  it("share 8 places otherwise, whoever names them", () => {
    for (let index = 0; index < 8; index++) serverOf(server(index), stranger(index));
    for (let index = 0; index < 100; index++) assert.equal(serverOf(server(3), stranger(50 + index)), "127.0.0.1:2003");
    assert.throws(() => serverOf(server(8), stranger(8)), {
      code: "ERR_RESOLVERS",
      message: /more than 8 resolver strings.*name the string in resolvers in ocnotify\.yaml/,
    });
    serverOf(server(8), trusted);
  });

  it("are two of one writer at most, so that nobody takes all places", () => {
    const writer = stranger(0);
    serverOf(server(0), writer);
    serverOf(server(1), writer);
    for (let index = 2; index < 70; index++) {
      assert.throws(() => serverOf(server(index), writer), { code: "ERR_RESOLVERS" });
    }
    assert.equal(serverOf(server(2), stranger(1)), "127.0.0.1:2002");
    assert.equal(serverOf(server(0), writer), "127.0.0.1:2000");
    assert.throws(() => serverOf(server(2), writer), { code: "ERR_RESOLVERS" }, "one of another's is a third");
  });

  it("make room when they were not named for a minute", () => {
    for (let index = 0; index < 8; index++) serverOf(server(index), stranger(index), 0);
    serverOf(server(0), stranger(0), 50_000);
    assert.throws(() => serverOf(server(8), stranger(8), 59_000), { code: "ERR_RESOLVERS" });
    assert.equal(serverOf(server(8), stranger(8), 61_000), "127.0.0.1:2008");
    assert.equal(serverOf(server(0), stranger(1), 61_000), "127.0.0.1:2000", "the one that was named is still there");
  });

  it("are closed when nobody names them for ten minutes, those of the configuration never", (t) => {
    routes.close();
    t.mock.timers.enable({ apis: ["setInterval"] });
    let now = 0;
    t.mock.method(performance, "now", () => now);
    const closed: string[] = [];
    t.mock.method(Zone.prototype, "close", function (this: Zone) {
      closed.push(this.resolver.pool.servers[0]?.name ?? "");
    });
    routes = newRoutes();
    serverOf(undefined, trusted);
    serverOf(server(1), trusted);
    serverOf(server(2), stranger(0));
    now = 9 * 60_000;
    serverOf(server(2), stranger(0), now);
    t.mock.timers.tick(60_000);
    assert.deepEqual(closed, []);
    now = 11 * 60_000;
    t.mock.timers.tick(60_000);
    assert.deepEqual(closed, ["127.0.0.1:2001"]);
    now = 20 * 60_000;
    t.mock.timers.tick(60_000);
    assert.deepEqual(closed, ["127.0.0.1:2001", "127.0.0.1:2002"]);
  });

  it("take no place when they are faulty", () => {
    for (let index = 0; index < 100; index++) {
      const faulty = { code: "ERR_MEMCACHED_CONFIG" };
      assert.throws(() => serverOf(`--SERVR=${index}`, trusted), faulty);
      assert.throws(() => serverOf(`--SERVR=${index}`, stranger(index)), faulty);
    }
    for (let index = 0; index < 8; index++) serverOf(server(index), stranger(index));
    for (let index = 0; index < 64; index++) serverOf(server(100 + index), trusted);
    assert.throws(() => serverOf(server(200), trusted), { code: "ERR_RESOLVERS", message: /more than 64/ });
    assert.equal(serverOf(server(200), trusted, 61_000), "127.0.0.1:2200");
  });
});
