import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { after, before, describe, test } from "node:test";
import type { Finding } from "../../../src/check/finding.ts";
import { checkMemcached, checkUser } from "../../../src/destinations/openchange/check-receivers.ts";
import { encodeResolverRecord } from "../../../src/index.ts";
import { MemcachedServer } from "../../../src/protocols/memcached/server.ts";
import { startMemcached, type TestMemcached } from "../../helpers/memcached.ts";
import { startNanocatPull } from "../../helpers/nanocat.ts";
import { freePort } from "../../helpers/ports.ts";

const only = ([finding, ...others]: Finding[]): Finding => {
  assert.ok(finding !== undefined && finding.state === "fault");
  assert.deepEqual(others, []);
  return finding;
};

describe("what check advises", () => {
  let memcached: TestMemcached;
  let store: MemcachedServer;
  let web: Server;
  let webPort: number;
  before(async () => {
    memcached = await startMemcached();
    store = new MemcachedServer(memcached.address);
    web = createServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n").on("error", () => {}));
    web.listen(0, "127.0.0.1");
    await once(web, "listening");
    webPort = (web.address() as { port: number }).port;
  });
  after(async () => {
    store.close();
    web.close();
    await memcached.stop();
  });

  const user = async (name: string, resolver = memcached.config): Promise<Finding> =>
    only(await checkUser(name, [resolver], { cn: "email", charset: "cp850" }));
  const host = async (address: string): Promise<Finding> => {
    await store.set("resolver:jdoe", encodeResolverRecord([address]));
    return await user("jdoe");
  };

  test("about a memcached fits why it gives no answer", async () => {
    const dead = `--SERVER=127.0.0.1:${await freePort()}`;
    const asked = [
      { resolver: dead, advice: /^start it, or correct the resolver/ },
      { resolver: `--SERVER=127.0.0.1:${webPort}`, advice: /is no memcached: correct the resolver/ },
      { resolver: "--SERVR=x", advice: /^correct the string$/ },
    ];
    for (const { resolver, advice } of asked) {
      for (const found of [only(await checkMemcached([resolver])), await user("jdoe", resolver)]) {
        assert.match(found.remedy ?? "", advice);
        assert.doesNotMatch(found.remedy ?? "", /flush/, "nothing is wrong with the record");
      }
    }
    memcached.pause();
    const hangs = only(await checkMemcached([`${memcached.config} --POLL-TIMEOUT=100`]));
    memcached.resume();
    assert.match(hangs.remedy ?? "", /start it again if it hangs, or open its port/);
  });

  test("about a user fits what is wrong", async () => {
    await store.set("resolver:broken", Buffer.from("garbage"));
    assert.match(
      (await user("broken")).remedy ?? "",
      /if nothing else uses that key: ocnotify flush --username broken/,
    );
    assert.match((await user("j doe")).remedy ?? "", /name the user as Dovecot does/);
  });

  test("about a host fits why it takes nothing", async () => {
    const refused = await host(`tcp://127.0.0.1:${await freePort()}`);
    assert.match(refused.remedy ?? "", /^start the server\. .* after remove_refused_after/);
    assert.doesNotMatch(refused.remedy ?? "", /flush/, "others of the user would be forgotten, too");
    assert.match((await host(`tcp://127.0.0.1:${webPort}`)).remedy ?? "", /another program listens there/);
    assert.match((await host("tcp://*:1")).remedy ?? "", /register an address that mail hosts can connect to/);
    const sub = await startNanocatPull(undefined, "pub");
    try {
      assert.match((await host(sub.address)).remedy ?? "", /another program listens there/);
    } finally {
      await sub.stop();
    }
  });
});
