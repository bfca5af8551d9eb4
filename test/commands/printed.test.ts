import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo, type Server } from "node:net";
import { after, before, describe, it } from "node:test";
import { encodeResolverRecord } from "../../src/index.ts";
import { charset } from "../../src/destinations/openchange/codec/charset.ts";
import { MemcachedServer } from "../../src/protocols/memcached/server.ts";
import { startMemcached, type TestMemcached } from "../helpers/memcached.ts";
import { ocnotify } from "../helpers/ocnotify.ts";

const EVIL = "tcp://127.0.0.1:1\x1b]0;x\x07\x1b[31m\r\nfaked line\u009b31m";

describe("what a command prints of a server's words", () => {
  let memcached: TestMemcached;
  let store: MemcachedServer;
  let hostile: Server;
  let broken: string;
  before(async () => {
    memcached = await startMemcached();
    store = new MemcachedServer(memcached.address);
    await store.set("resolver:jdoe", encodeResolverRecord([EVIL.replace("\u009b", "")]));
    await store.set("resolver:anna", encodeResolverRecord([EVIL], charset("utf8")));
    hostile = createServer((socket) => {
      socket.on("error", () => {});
      socket.on("data", () => socket.write("SERVER_ERROR \x1b]0;x\x07\x1b[2J\u009b31m\u202e\r\n"));
    });
    hostile.listen(0, "127.0.0.1");
    await once(hostile, "listening");
    broken = `--SERVER=127.0.0.1:${(hostile.address() as AddressInfo).port}`;
  });
  after(async () => {
    store.close();
    hostile.close();
    await memcached.stop();
  });

  const cases: Readonly<Record<string, (resolver: string) => string[]>> = {
    list: (resolver) => ["list", "-U", "jdoe", "-H", resolver],
    "list in UTF-8": (resolver) => ["list", "-U", "anna", "-H", resolver, "--charset", "utf8"],
    "the original's list": (resolver) => ["-U", "jdoe", "--list", "-H", resolver],
    "the original's -n": (resolver) => ["-U", "jdoe", "-n", "1.eml", "-b", "x", "--dstfolder", "y", "-H", resolver],
    send: (resolver) => ["send", "-U", "jdoe", "-H", resolver],
    flush: (resolver) => ["flush", "-U", "jdoe", "-H", resolver],
    check: (resolver) => ["check", "--no-dovecot", "-U", "jdoe", "-H", resolver],
    "check as JSON": (resolver) => ["check", "--no-dovecot", "--json", "-U", "jdoe", "-H", resolver],
    listen: () => ["listen", "-U", "jdoe", "-H", broken],
  };
  for (const [name, args] of Object.entries(cases)) {
    for (const of of ["a host", "an error"] as const) {
      it(`does nothing to a terminal: ${name}, ${of}`, async () => {
        if (name === "listen" && of === "a host") return;
        const { stdout, stderr } = await ocnotify(args(of === "a host" ? memcached.config : broken));
        const printed = (stdout + stderr).replaceAll("\n", "").replaceAll("\t* ", "");
        assert.notEqual(printed, "");
        assert.doesNotMatch(printed, /[\p{Cc}\p{Bidi_Control}]/u);
        assert.doesNotMatch(stdout + stderr, /^faked line/m);
      });
    }
  }
});
