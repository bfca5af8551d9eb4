import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { Resolver } from "../../src/index.ts";
import { startMemcached } from "../helpers/memcached.ts";
import { startNanocatPull, type Peer } from "../helpers/nanocat.ts";
import {
  makeWorkspace,
  newMailBytes,
  ocnotify,
  startDaemon,
  type CliResult,
  type RunningDaemon,
} from "../helpers/ocnotify.ts";
import { pauseProcess } from "../helpers/pause.ts";
import { destinationStatus } from "../helpers/status.ts";
import { waitFor } from "../helpers/wait.ts";

const PATIENCE_MS = 20_000;

interface World {
  readonly stateDir: string;
  readonly peer: Peer;
  start(): Promise<RunningDaemon>;
  write(...records: Record<string, unknown>[]): void;
  run(...args: string[]): Promise<CliResult>;
}

async function world(t: TestContext): Promise<World> {
  const memcached = await startMemcached();
  const peer = await startNanocatPull();
  const resolver = new Resolver(memcached.config);
  await resolver.register("jdoe", peer.address);
  const workspace = makeWorkspace();
  const { journal, stateDir } = workspace;
  const running: RunningDaemon[] = [];
  const config = workspace.configFile({
    destinations: { openchange: { resolver: memcached.config, restart_grace: "0s", connect_timeout: "1s" } },
  });
  t.after(async () => {
    for (const daemon of running) await daemon.stop("SIGKILL");
    resolver.close();
    await peer.stop();
    await memcached.stop();
    workspace.remove();
  });
  return {
    stateDir,
    peer,
    async start() {
      const daemon = await startDaemon({ journal, stateDir, config });
      running.push(daemon);
      return daemon;
    },
    write: (...records) => workspace.write(...records),
    run: async (command, ...args) => await ocnotify([command ?? "", ...args, "--state-dir", stateDir]),
  };
}

async function received(peer: Peer, ...uids: number[]): Promise<void> {
  await waitFor(`${uids.length} notifications`, () => peer.messages.length >= uids.length, PATIENCE_MS);
  assert.deepEqual(
    peer.messages,
    uids.map((uid) => newMailBytes(`${uid}.eml`)),
  );
}

describe("ocnotify pause and resume", { concurrency: 4 }, () => {
  test("stop one destination, over a restart of the daemon, and let it go on; nothing comes twice, nothing is lost", async (t) => {
    const w = await world(t);
    const first = await w.start();
    w.write({ uids: "1" });
    await received(w.peer, 1);
    // At once: what was just sent is not yet confirmed, and must not be sent again for that.
    const paused = await w.run("pause", "openchange");
    assert.deepEqual([paused.code, paused.stderr], [0, ""]);
    assert.match(paused.stdout, /^openchange is paused since \d{4}-\d\d-\d\dT[\d:.]+Z by \S+\n$/);
    assert.deepEqual(await w.run("pause", "openchange"), paused, "it does nothing more when it is done again");
    w.write({ uids: "2" });
    const unread = async (): Promise<number> => (await destinationStatus(w.stateDir)).unreadBytes;
    await waitFor("it to be seen", async () => (await unread()) > 0, PATIENCE_MS);
    const one = await unread();
    assert.equal(await first.stop(), 0);
    const second = await w.start();
    const logged = second.log().find(({ msg }) => msg.startsWith("paused since"));
    assert.deepEqual([logged?.level, logged?.["destination"]], ["warn", "openchange"]);
    w.write({ uids: "3" });
    await waitFor("both to be seen", async () => (await unread()) > one, PATIENCE_MS);
    assert.equal(w.peer.messages.length, 1);

    const status = await w.run("status");
    assert.match(status.stdout, /^ {2}state +paused since \S+Z by \S+\. ocnotify resume openchange lets it go on$/m);
    const check = await w.run("check", "--no-dovecot", "--json");
    const finding = check.stdout
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Record<string, string>)
      .find(({ message }) => message?.startsWith("openchange is paused since") === true);
    assert.deepEqual([finding?.["state"], finding?.["remedy"]], ["warning", "ocnotify resume openchange"]);

    const resumed = await w.run("resume", "openchange");
    assert.equal(resumed.code, 0);
    assert.match(resumed.stdout, /^openchange is delivering since \S+Z\n$/);
    await received(w.peer, 1, 2, 3);
    await second.logged("the line", ({ msg, destination }) => msg === "resumed" && destination === "openchange");
    assert.equal((await destinationStatus(w.stateDir)).state.name, "delivering");
    assert.equal((await w.run("resume", "openchange")).code, 0);
  });

  test("leave nothing open of the destination, also with a host that reads nothing", async (t) => {
    const w = await world(t);
    const daemon = await w.start();
    const open = (): number => readdirSync(`/proc/${daemon.pid}/fd`).length;
    const before = open();
    w.write({ uids: "1" });
    await received(w.peer, 1);
    pauseProcess(w.peer.process.pid ?? 0);
    // More than the sockets' buffers take.
    w.write(...Array.from({ length: 6_000 }, (_, index) => ({ uids: `${index + 1}`, mailbox: "x".repeat(2_000) })));
    // What a host reads is answered after a second or so.
    await waitFor(
      "the host to be stuck",
      async () => (await destinationStatus(w.stateDir)).lagSeconds > 3,
      PATIENCE_MS,
    );
    assert.equal((await w.run("pause", "openchange")).code, 0);
    // The segment's file may stay open.
    await waitFor("the connections to be closed", () => open() <= before + 1, PATIENCE_MS);
    assert.equal((await w.run("resume", "openchange")).code, 0);
    process.kill(w.peer.process.pid ?? 0, "SIGCONT");
    const last = newMailBytes("6000.eml", "x".repeat(2_000));
    await waitFor("the last one", () => w.peer.messages.some((message) => message.equals(last)), PATIENCE_MS);
  });

  test("say which destinations there are, of one that is not", async (t) => {
    const w = await world(t);
    await w.start();
    for (const command of ["pause", "resume"]) {
      const { code, stdout, stderr } = await w.run(command, "crm/../\u001b");
      assert.deepEqual([code, stdout], [1, ""]);
      assert.equal(
        stderr,
        'ocnotify: there is no destination "crm/../\\u001b". Those that the daemon has: openchange\n',
      );
    }
  });

  test("say that no daemon runs", async (t) => {
    const w = await world(t);
    const { code, stderr } = await w.run("pause", "openchange");
    assert.equal(code, 1);
    assert.match(stderr, /^ocnotify: no daemon answers at \S+admin\.sock: [^\n]+\n$/);
  });

  test("are no use with a broken file of what is paused: the daemon does not start, and says which file", async (t) => {
    const w = await world(t);
    await (await w.start()).stop();
    writeFileSync(join(w.stateDir, "paused.json"), '{"version":1,"pau');
    const { code, stderr } = await w.run("run");
    assert.equal(code, 1);
    assert.match(stderr, /^ocnotify: \S+paused\.json, which says what is paused, [^\n]* Delete it [^\n]*\n$/);
  });
});
