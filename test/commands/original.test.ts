import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { Resolver } from "../../src/destinations/openchange/resolver.ts";
import { startMemcached, type TestMemcached } from "../helpers/memcached.ts";
import { startNanocatPull, type Peer } from "../helpers/nanocat.ts";
import { askMemcached, newMailBytes, ocnotify, type CliResult } from "../helpers/ocnotify.ts";
import { freePort } from "../helpers/ports.ts";
import { waitFor } from "../helpers/wait.ts";

async function received(peer: Peer, ...expected: Buffer[]): Promise<void> {
  await waitFor("the notification", () => peer.messages.length >= expected.length);
  assert.deepEqual(peer.messages, expected);
}

const ok = (stdout: string): CliResult => ({ code: 0, stdout, stderr: "" });

describe("a command line of the original tool", () => {
  let memcached: TestMemcached;
  let resolver: Resolver;
  const peers: Peer[] = [];
  before(async () => {
    memcached = await startMemcached();
    resolver = new Resolver(memcached.config);
  });
  afterEach(async () => {
    await askMemcached(memcached.port, "flush_all", "OK");
    for (const peer of peers.splice(0)) await peer.stop();
  });
  after(async () => {
    resolver.close();
    await memcached.stop();
  });

  /** Receivers of libnanomsg that are registered for jdoe. */
  const receivers = async (count: number): Promise<Peer[]> => {
    while (peers.length < count) peers.push(await startNanocatPull());
    for (const { address } of peers) await resolver.register("jdoe", address);
    return peers;
  };
  test("--list prints the servers as it did", async () => {
    await resolver.register("jdoe", "tcp://127.0.0.1:5000");
    await resolver.register("jdoe", "ipc:///run/b.sock");
    const printed = "2 servers found for 'jdoe'\n\t* tcp://127.0.0.1:5000\n\t* ipc:///run/b.sock\n";
    for (const args of [
      ["-U", "jdoe", "-H", memcached.config, "--list"],
      ["--list", `--server=${memcached.config}`, "--username=jdoe"],
    ]) {
      assert.deepEqual(await ocnotify(args), { code: 0, stdout: printed, stderr: "" });
    }
  });

  test("-n sends a new mail to every server and says nothing", async () => {
    const [one, two] = await receivers(2);
    assert.ok(one !== undefined && two !== undefined);
    const result = await ocnotify(["-U", "jdoe", "-H", memcached.config, "-n", "7.eml"]);
    assert.deepEqual(result, { code: 0, stdout: "", stderr: "" });
    await received(one, newMailBytes("7.eml"));
    await received(two, newMailBytes("7.eml"));
  });

  test("-b, --dstfolder and --sep say which backend, folder and separator", async () => {
    const [peer] = await receivers(1);
    assert.ok(peer !== undefined);
    const what = ["-n", "7.eml", "-b", "mymailstore", "--dstfolder", "INBOX.Work", "--sep", "."];
    assert.equal((await ocnotify(["-U", "jdoe", "-H", memcached.config, ...what])).code, 0);
    await received(peer, newMailBytes("7.eml", "INBOX.Work", "mymailstore", "."));
  });

  test("-v tells of each server that was sent to", async () => {
    const [peer] = await receivers(1);
    assert.ok(peer !== undefined);
    const result = await ocnotify(["-v", "-v", "-U", "jdoe", "-H", memcached.config, "--newmail", "7.eml"]);
    assert.deepEqual(result, { code: 0, stdout: `message sent to ${peer.address}\n`, stderr: "" });
  });

  test("--flush deletes the user's record", async () => {
    await resolver.register("jdoe", "tcp://127.0.0.1:5000");
    const result = await ocnotify(["-U", "jdoe", "-H", memcached.config, "--flush"]);
    assert.deepEqual(result, { code: 0, stdout: "", stderr: "" });
    assert.deepEqual(await askMemcached(memcached.port, "get resolver:jdoe"), []);
  });

  test("--flush with -n deletes the record also when a server cannot be told", async () => {
    const dead = `tcp://127.0.0.1:${await freePort()}`;
    await resolver.register("jdoe", dead);
    const { code, stdout, stderr } = await ocnotify(["-U", "jdoe", "-H", memcached.config, "-n", "7.eml", "--flush"]);
    assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
    assert.match(stderr, /^ocnotify: sent to 0 of 1 hosts: [^\n]+\n$/);
    assert.ok(stderr.includes(dead), stderr);
    assert.deepEqual(await askMemcached(memcached.port, "get resolver:jdoe"), []);
  });

  for (const what of [["--list"], ["--flush"], ["-n", "7.eml"]]) {
    test(`${what.join(" ")} fails for a user for whom nobody is registered`, async () => {
      const { code, stdout, stderr } = await ocnotify(["-U", "jdoe", "-H", memcached.config, ...what]);
      assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
      assert.match(stderr, /^ocnotify: nobody is registered for jdoe\n$/);
    });
  }

  test("and the same as commands: list, send, flush", async () => {
    const [peer] = await receivers(1);
    assert.ok(peer !== undefined);
    const who = ["--username", "JDoe", "--server", memcached.config];
    assert.deepEqual(await ocnotify(["list", ...who]), ok(`${peer.address}\n`));
    const sent = await ocnotify(["send", ...who, "--newmail", "42.eml", "--dstfolder", "Work"]);
    assert.deepEqual(sent, ok(`sent to ${peer.address}\n`));
    await received(peer, newMailBytes("42.eml", "Work"));
    assert.deepEqual(await ocnotify(["flush", ...who]), ok("flushed\n"));
    assert.deepEqual(await ocnotify(["flush", ...who]), ok("there was no record\n"));
    assert.deepEqual(await ocnotify(["list", ...who]), ok(""));
  });

  test("send tells those whom it can and names those whom it cannot", async () => {
    const [peer] = await receivers(1);
    assert.ok(peer !== undefined);
    const dead = `tcp://127.0.0.1:${await freePort()}`;
    await resolver.register("jdoe", dead);
    const { code, stderr } = await ocnotify(["send", "--username", "jdoe", "--server", memcached.config]);
    assert.equal(code, 1);
    assert.equal(stderr, `ocnotify: sent to 1 of 2 hosts: ${dead}: nobody listens there (ECONNREFUSED)\n`);
    await received(peer, newMailBytes("1.eml"));
  });

  test("send refuses a folder that the charset lacks, before it asks anybody", async () => {
    const { code, stderr } = await ocnotify([
      "send",
      "-U",
      "jdoe",
      "-H",
      "--SERVER=127.0.0.1:1",
      "--dstfolder",
      "受信",
    ]);
    assert.equal(code, 1);
    assert.match(stderr, /^ocnotify: folder "受信" cannot be written in cp850[^\n]*\n$/);
  });
});

describe("ocnotify which", () => {
  test("prints the memcached of each key, one a line, in the order of the keys, and asks nobody", async () => {
    const server = "--SERVER=mc1 --SERVER=mc2:11212 --SERVER=mc3";
    const { code, stdout } = await ocnotify(["which", "--server", server, "resolver:a", "resolver:b", "resolver:a"]);
    const lines = stdout.trimEnd().split("\n");
    assert.equal(code, 0);
    assert.equal(lines.length, 3);
    assert.equal(lines[0], lines[2]);
    for (const line of lines) assert.match(line, /^(mc1:11211|mc2:11212|mc3:11211)$/);
  });

  test("refuses a key that memcached cannot hold", async () => {
    const { code, stdout, stderr } = await ocnotify(["which", "good", "not good"]);
    assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
    assert.match(stderr, /^ocnotify: [^\n]*"not good"[^\n]* a space at character 3\n$/);
  });
});
