import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import fc from "fast-check";
import { cnOf, decodeResolverRecord, Resolver, resolverKey } from "../../../src/index.ts";
import { MemcachedServer } from "../../../src/protocols/memcached/server.ts";
import { run } from "../../helpers/dovecot.ts";
import { startMemcached, type TestMemcached } from "../../helpers/memcached.ts";
import { askMemcached } from "../../helpers/ocnotify.ts";

const REGISTRAR = join(import.meta.dirname, "../../helpers/registrar.mjs");

describe("the resolver", () => {
  let memcached: TestMemcached;
  let resolver: Resolver;
  before(async () => {
    memcached = await startMemcached();
    resolver = new Resolver(memcached.config);
  });
  beforeEach(async () => {
    await askMemcached(memcached.port, "flush_all", "OK");
  });
  after(async () => {
    resolver.close();
    await memcached.stop();
  });

  const stored = async (key: string): Promise<Buffer | undefined> => {
    const server = new MemcachedServer(memcached.address);
    const found = await server.gets(key);
    server.close();
    return found?.value;
  };

  /** So many processes on a few processors are slow, which is no fault of theirs. */
  const patient = (): string => `${memcached.config} --CONNECT-TIMEOUT=30000 --POLL-TIMEOUT=30000`;

  test("50 processes that register and unregister at once for one user leave exactly the right record", async () => {
    const processes = Array.from({ length: 50 }, (_, index) => {
      // Of each pair of addresses one is the beginning of the other, so that a match by prefix would show.
      const [kept, left] = [`+tcp://10.0.0.${index}:5000`, `-tcp://10.0.0.${index}:50001`];
      return run(process.execPath, [REGISTRAR, patient(), "JDoe", "5", kept, left]);
    });
    for (const { code, stderr } of await Promise.all(processes)) assert.equal(code, 0, stderr);
    const expected = Array.from({ length: 50 }, (_, index) => `tcp://10.0.0.${index}:5000`);
    const record = await stored("resolver:jdoe");
    assert.ok(record !== undefined);
    assert.deepEqual(decodeResolverRecord(record).toSorted(), expected.toSorted());
  });

  test("many processes that all leave in the end leave no record", async () => {
    const processes = Array.from({ length: 8 }, (_, index) =>
      run(process.execPath, [REGISTRAR, patient(), "jdoe", "20", `-tcp://10.0.0.${index}:1`]),
    );
    for (const { code, stderr } of await Promise.all(processes)) assert.equal(code, 0, stderr);
    assert.equal(await stored("resolver:jdoe"), undefined);
  });

  test("the first host makes the record, the last one leaving deletes it", async () => {
    await resolver.register("jdoe", "tcp://10.0.0.5:49152");
    assert.deepEqual(await askMemcached(memcached.port, "get resolver:jdoe"), [
      "VALUE resolver:jdoe 0 30",
      "\u0001\u0001\0\0\0\u0001\0\0\0tcp://10.0.0.5:49152\0",
    ]);
    await resolver.register("jdoe", "ipc:///run/b.sock");
    assert.equal(await resolver.unregister("jdoe", "tcp://10.0.0.5:49152"), true);
    assert.deepEqual(await resolver.hosts("jdoe"), ["ipc:///run/b.sock"]);
    assert.equal(await resolver.unregister("jdoe", "ipc:///run/b.sock"), true);
    assert.equal(await stored("resolver:jdoe"), undefined);
  });

  test("the record has no expiry", async () => {
    await resolver.register("jdoe", "tcp://10.0.0.5:49152");
    const [dump = ""] = await askMemcached(memcached.port, "me resolver:jdoe\r\nmn", "MN");
    assert.match(dump, /exp=-1 /);
  });

  test("registering twice is registering once, unregistering what is not there changes nothing", async () => {
    await resolver.register("jdoe", "tcp://10.0.0.5:49152");
    const before = await stored("resolver:jdoe");
    await resolver.register("JDOE", "tcp://10.0.0.5:49152");
    for (const near of [
      "tcp://10.0.0.5:4915",
      "tcp://10.0.0.5:491520",
      "TCP://10.0.0.5:49152",
      "tcp://10.0.0.5:49152 ",
    ]) {
      assert.equal(await resolver.unregister("jdoe", near), false);
    }
    assert.deepEqual(await stored("resolver:jdoe"), before);
  });

  test("the name's ASCII letters are lowered, and no others", () => {
    assert.equal(resolverKey("JDoe@Example.COM"), "resolver:jdoe@example.com");
    assert.equal(resolverKey("ÄÖÜ-É-İ"), "resolver:ÄÖÜ-É-İ");
    fc.assert(
      fc.property(fc.string({ unit: "binary", minLength: 1 }), (cn) => {
        const expected = Array.from(cn, (c) => (c >= "A" && c <= "Z" ? c.toLowerCase() : c)).join("");
        assert.equal(resolverKey(cn), `resolver:${expected}`);
      }),
    );
  });

  test("a user's name is cut at the first @ that is not at its beginning, as strtok does, or taken whole", () => {
    for (const [user, cn] of [
      ["@lead", "lead"],
      ["@@x", "x"],
      ["@a@b", "a"],
      ["a@", "a"],
      ["a@@b", "a"],
      ["@", ""],
      ["@@", ""],
      ["", ""],
    ] as const) {
      assert.equal(cnOf(user, "username"), cn, user);
      assert.equal(cnOf(user, "email"), user);
    }
    const part = fc.constantFrom("@", "@", "a", "b");
    fc.assert(
      fc.property(fc.array(part), (parts) => {
        const user = parts.join("");
        assert.equal(cnOf(user, "username"), /[^@]+/.exec(user)?.[0] ?? "");
      }),
    );
  });

  test("the empty name is refused by every call, and is no key", async () => {
    const expected = { code: "ERR_CN", canRetry: false };
    assert.throws(() => resolverKey(""), expected);
    await assert.rejects(resolver.hosts(""), expected);
    await assert.rejects(resolver.register("", "tcp://10.0.0.5:1"), expected);
    await assert.rejects(resolver.unregister("", "tcp://10.0.0.5:1"), expected);
    await assert.rejects(resolver.flush(""), expected);
  });

  test("hosts are in the dos charset, as another code page reads them", async () => {
    const other = new Resolver(memcached.config, { charset: "cp1252" });
    await resolver.register("jdoe", "ipc:///run/Ê");
    assert.deepEqual((await stored("resolver:jdoe"))?.subarray(-2), Buffer.from("d200", "hex"));
    assert.deepEqual(await resolver.hosts("jdoe"), ["ipc:///run/Ê"]);
    assert.deepEqual(await other.hosts("jdoe"), ["ipc:///run/Ò"]);
    assert.deepEqual(await other.unregistered(new Map([["jdoe", new Set(["ipc:///run/Ò"])]]), 0), new Map());
    await other.register("jdoe", "ipc:///run/€");
    assert.equal(await resolver.unregister("jdoe", "ipc:///run/Ê"), true);
    assert.deepEqual(await other.hosts("jdoe"), ["ipc:///run/€"]);
    await assert.rejects(resolver.register("jdoe", "ipc:///run/受信"), { code: "ERR_CHARSET" });
    other.close();
  });

  test("a user's name is cut at the first @, or taken whole", () => {
    assert.equal(cnOf("jdoe@example.com", "username"), "jdoe");
    assert.equal(cnOf("jdoe@example.com", "email"), "jdoe@example.com");
    assert.equal(cnOf("jdoe", "username"), "jdoe");
    assert.equal(cnOf("a@b@c", "username"), "a");
  });

  const refused: readonly (readonly [string, string, RegExp])[] = [
    ["a space", "j doe", /j doe.*a space/],
    ["a control character", "j\ndoe", /j\\ndoe.*a control character/],
    ["what would end the command", "j\r\nflush_all\r\n", /flush_all/],
    ["more than 250 bytes with its prefix", "x".repeat(242), /251 bytes/],
    ["more than 250 bytes in UTF-8", "ü".repeat(121), /251 bytes/],
  ];
  for (const [what, cn, message] of refused) {
    test(`a name with ${what} is refused by every call, with an error that names it`, async () => {
      await resolver.register("other", "tcp://10.0.0.5:1");
      const expected = { code: "ERR_MEMCACHED_KEY", canRetry: false, message };
      await assert.rejects(resolver.hosts(cn), expected);
      await assert.rejects(resolver.register(cn, "tcp://10.0.0.5:1"), expected);
      await assert.rejects(resolver.unregister(cn, "tcp://10.0.0.5:1"), expected);
      await assert.rejects(resolver.flush(cn), expected);
      assert.deepEqual(await resolver.hosts("other"), ["tcp://10.0.0.5:1"]);
    });
  }

  test("a name of 250 bytes with its prefix is not refused", async () => {
    await resolver.register("x".repeat(241), "tcp://10.0.0.5:1");
    assert.deepEqual(await resolver.hosts("X".repeat(241)), ["tcp://10.0.0.5:1"]);
  });

  test("a record that does not decode is left as it is, with an error that says how to clear it", async () => {
    const server = new MemcachedServer(memcached.address);
    await server.set("resolver:jdoe", Buffer.from("garbage"));
    server.close();
    const expected = {
      code: "ERR_RESOLVER_RECORD",
      message: /for jdoe .*67617262616765.*ocnotify flush --username jdoe/,
    };
    await assert.rejects(resolver.hosts("jdoe"), expected);
    await assert.rejects(resolver.register("jdoe", "tcp://10.0.0.5:1"), expected);
    await assert.rejects(resolver.unregister("jdoe", "tcp://10.0.0.5:1"), expected);
    assert.deepEqual(await stored("resolver:jdoe"), Buffer.from("garbage"));
    assert.equal(await resolver.flush("jdoe"), true);
    assert.equal(await resolver.flush("jdoe"), false);
  });

  test("says who is registered for a user no more, but not of a memcached that is new or gone, nor of garbage", async () => {
    const [first, second] = ["tcp://10.0.0.5:1", "tcp://10.0.0.6:1"];
    await resolver.register("jdoe", first);
    await resolver.register("anna", second);
    const server = new MemcachedServer(memcached.address);
    await server.set("resolver:garbage", Buffer.from("garbage"));
    server.close();
    const asked = new Map(["jdoe", "JDoe", "anna", "nobody", "garbage"].map((cn) => [cn, new Set([first, second])]));
    assert.deepEqual(
      await resolver.unregistered(asked, 0),
      new Map([
        ["jdoe", new Set([second])],
        ["JDoe", new Set([second])],
        ["anna", new Set([first])],
        ["nobody", new Set([first, second])],
      ]),
    );
    assert.deepEqual(await resolver.unregistered(asked, 3_600_000), new Map());
    const dead = new Resolver("--SERVER=127.0.0.1:1");
    assert.deepEqual(await dead.unregistered(asked, 0), new Map());
    assert.deepEqual(await dead.unregistered(asked, 1), new Map());
    dead.close();
  });

  test("nobody being registered is no failure; a memcached that is not there is one that may pass", async () => {
    assert.deepEqual(await resolver.hosts("nobody"), []);
    const dead = new Resolver("--SERVER=127.0.0.1:1");
    await assert.rejects(dead.hosts("nobody"), { code: "ERR_MEMCACHED_CONNECT", canRetry: true });
    dead.close();
  });
});
