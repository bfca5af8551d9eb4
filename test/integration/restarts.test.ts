import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { Resolver } from "../../src/destinations/openchange/resolver.ts";
import { createListener } from "../../src/listener.ts";
import { startMemcached, type TestMemcached } from "../helpers/memcached.ts";
import { startNanocatPull, type Peer } from "../helpers/nanocat.ts";
import {
  makeWorkspace,
  memcachedStat,
  newMailBytes,
  ocnotify,
  startDaemon,
  type RunningDaemon,
  type Workspace,
} from "../helpers/ocnotify.ts";
import { freePort } from "../helpers/ports.ts";
import { waitFor } from "../helpers/wait.ts";
import { destinationStatus, type OpenChangeStatus } from "../helpers/status.ts";

const PATIENCE_MS = 30_000;

/** Everything that one test needs; gone when it ends. */
interface World {
  readonly memcached: TestMemcached;
  readonly resolver: Resolver;
  readonly workspace: Workspace;
  start(destination?: Record<string, unknown>): Promise<RunningDaemon>;
  /** A PULL socket of libnanomsg, registered for the users. */
  receiver(users: readonly string[], address?: string): Promise<Peer>;
  status(): Promise<OpenChangeStatus>;
  until(what: string, condition: (status: OpenChangeStatus) => boolean): Promise<void>;
}

async function world(t: TestContext): Promise<World> {
  const memcached = await startMemcached();
  const resolver = new Resolver(memcached.config);
  const workspace = makeWorkspace();
  const running: { stop(signal?: NodeJS.Signals): Promise<unknown> }[] = [];
  t.after(async () => {
    for (const started of running) await started.stop("SIGKILL");
    resolver.close();
    await memcached.stop();
    workspace.remove();
  });
  const status: World["status"] = async () => {
    return await destinationStatus(workspace.stateDir);
  };
  return {
    memcached,
    resolver,
    workspace,
    status,
    async start(destination = {}) {
      const openchange = { resolver: memcached.config, retry_first: "50ms", retry_most: "200ms", ...destination };
      const config = workspace.configFile({ destinations: { openchange } });
      const daemon = await startDaemon({ journal: workspace.journal, stateDir: workspace.stateDir, config });
      running.push(daemon);
      return daemon;
    },
    async receiver(users, address) {
      const peer = await startNanocatPull(address);
      running.push(peer);
      for (const user of users) await resolver.register(user, peer.address);
      return peer;
    },
    async until(what, condition) {
      await waitFor(what, async () => condition(await status()), PATIENCE_MS);
    },
  };
}

async function received(peer: Peer, count: number): Promise<readonly Buffer[]> {
  await waitFor(`${count} notifications`, () => peer.messages.length >= count, PATIENCE_MS);
  return peer.messages;
}

const mails = (from: number, to: number): Buffer[] =>
  Array.from({ length: to - from + 1 }, (_, n) => newMailBytes(`${from + n}.eml`));

/** Tells a daemon's warnings by their first words. */
const warnings = (daemon: RunningDaemon, about: RegExp): string[] =>
  daemon.log().flatMap(({ level, msg }) => (level === "warn" && about.test(msg) ? [msg] : []));

describe("a daemon that is killed", () => {
  test("sends again what was in flight, and nothing of what was taken before, though a host is stuck", async (t) => {
    const w = await world(t);
    const stuck = `tcp://127.0.0.1:${await freePort()}`;
    await w.resolver.register("anna", stuck);
    const live = await w.receiver(["jdoe"]);
    const daemon = await w.start();
    // Of one moment with the others, so that it is read together with them.
    w.workspace.write(
      { uids: "1" },
      { user: "anna", uids: "1" },
      ...Array.from({ length: 199 }, (_, n) => ({ uids: String(n + 2) })),
    );
    await w.until("all but one to be taken", ({ sent, lagRecords }) => sent === 200 && lagRecords === 1);
    const [segment = ""] = readdirSync(w.workspace.journal);
    const { size } = statSync(join(w.workspace.journal, segment));
    await waitFor("that to be saved", () => savedTo(w.workspace, segment) === size, PATIENCE_MS);
    w.workspace.write(...Array.from({ length: 5 }, (_, n) => ({ uids: String(n + 201) })));
    await received(live, 205);
    await daemon.stop("SIGKILL");

    await w.start();
    w.workspace.write({ uids: "206" });
    await waitFor("the last", () => live.messages.at(-1)?.equals(newMailBytes("206.eml")), PATIENCE_MS);
    const again = live.messages.slice(205, -1);
    const inFlight = mails(201, 205);
    assert.ok(again.length <= 5, `${again.length} again`);
    for (const message of again)
      assert.ok(
        inFlight.some((mail) => mail.equals(message)),
        message.toString("latin1"),
      );
    assert.deepEqual(live.messages.slice(0, 205), mails(1, 205));
    // What waited is not lost.
    const back = await w.receiver([], stuck);
    assert.deepEqual(await received(back, 1), mails(1, 1));
  });
});

/** To which offset the cursor says that all but what it leaves out is answered. */
function savedTo(workspace: Workspace, segment: string): number | undefined {
  try {
    const text = readFileSync(join(workspace.stateDir, "openchange.cursor"), "utf8");
    const { segments } = JSON.parse(text) as { segments: Record<string, { answered?: [number, number][] }> };
    return segments[segment]?.answered?.at(-1)?.[1];
  } catch {
    return undefined;
  }
}

describe("a memcached that was restarted, and is empty", { concurrency: 4 }, () => {
  test("costs nobody a notification who registers again late, in order, and holds up nobody else", async (t) => {
    const w = await world(t);
    const late = await w.receiver(["late"]);
    const quick = await w.receiver(["quick"]);
    const daemon = await w.start();
    w.workspace.write({ user: "late", uids: "1" }, { user: "quick", uids: "1" });
    await Promise.all([received(late, 1), received(quick, 1)]);
    await w.memcached.restart();
    for (const uids of ["2", "3", "4"]) w.workspace.write({ user: "late", uids });
    await w.until("the first look-up again", ({ lookupsAgain }) => lookupsAgain >= 1);
    await w.resolver.register("quick", quick.address);
    w.workspace.write({ user: "quick", uids: "2" });
    await received(quick, 2);
    w.workspace.write({ user: "late", uids: "5" });
    await w.until("some more", ({ lookupsAgain }) => lookupsAgain >= 3);
    const { nobody, lookingUp, dropped } = await w.status();
    assert.deepEqual({ nobody, lookingUp, dropped }, { nobody: 0, lookingUp: 4, dropped: {} });
    const text = (await ocnotify(["status", "--state-dir", w.workspace.stateDir])).stdout;
    assert.match(text, /^ {2}again +\d+ look-ups in a memcached that was restarted$/m);
    await w.resolver.register("late", late.address);
    assert.deepEqual(await received(late, 5), mails(1, 5));
    await w.until("the end", ({ lagRecords }) => lagRecords === 0);
    assert.deepEqual(late.messages, mails(1, 5));
    const told = warnings(daemon, /memcached was started/);
    assert.equal(told.length, 1);
    assert.match(told[0] ?? "", /looked up again for \d+ s\. A server of OpenChange registers again only when/);
  });

  test("has nobody registered for good after the grace, and is asked what it costs once", async (t) => {
    const w = await world(t);
    const daemon = await w.start({ restart_grace: "7s" });
    for (const uids of ["1", "2"]) {
      await w.memcached.restart();
      const { lookupsAgain } = await w.status();
      w.workspace.write({ uids }, { user: "anna", uids });
      await w.until("look-ups again", (status) => status.lookupsAgain > lookupsAgain);
      assert.equal((await w.status()).nobody, 0);
    }
    await w.until("the grace to end", ({ nobody }) => nobody === 4);
    const { dropped, lagRecords } = await w.status();
    assert.deepEqual({ dropped, lagRecords }, { dropped: {}, lagRecords: 0 });
    assert.equal(warnings(daemon, /memcached was started/).length, 2, "once for each start");

    const gets = await memcachedStat(w.memcached.port, "cmd_get");
    w.workspace.write({ uids: "3" });
    await w.until("the answer", ({ nobody }) => nobody === 5);
    assert.equal((await memcachedStat(w.memcached.port, "cmd_get")) - gets, 1);
  });

  test("costs nothing where the receiver was away meanwhile", async (t) => {
    const w = await world(t);
    const before = await w.receiver(["jdoe"]);
    await w.start();
    w.workspace.write({ uids: "1" });
    await received(before, 1);
    await w.until("that to be certain", ({ sent }) => sent === 1);
    await before.stop();
    w.workspace.write({ uids: "2" });
    await w.until("a refusal", ({ hostFailures }) => hostFailures > 0);
    await w.memcached.restart();
    w.workspace.write({ uids: "3" });
    await w.until("a look-up again", ({ lookupsAgain }) => lookupsAgain > 0);
    const after = await w.receiver(["jdoe"], before.address);
    await received(after, 2);
    assert.deepEqual(
      after.messages.toSorted((a, b) => a.compare(b)),
      mails(2, 3),
    );
    assert.deepEqual((await w.status()).dropped, {});
  });

  test("costs a listener of ours nothing, which registers again by itself", async (t) => {
    const w = await world(t);
    const listener = await createListener({ users: ["jdoe"], resolver: w.memcached.config, checkIntervalMs: 2_000 });
    t.after(() => listener.close());
    const emls: string[] = [];
    void (async () => {
      for await (const { eml } of listener) emls.push(eml);
    })();
    await w.start();
    w.workspace.write({ uids: "1" });
    await waitFor("the first", () => emls.length === 1, PATIENCE_MS);
    await w.memcached.restart();
    for (let uid = 2; uid <= 40; uid++) w.workspace.write({ uids: String(uid) });
    await waitFor("all", () => emls.length >= 40, PATIENCE_MS);
    assert.deepEqual(
      emls,
      Array.from({ length: 40 }, (_, n) => `${n + 1}.eml`),
    );
  });

  test("keeps what waits for it out of memory, and no longer than its time to live", async (t) => {
    const w = await world(t);
    const peer = await w.receiver(["jdoe"]);
    const daemon = await w.start({ time_to_live: "5s" });
    // More than may be in memory at once, and then one who is registered.
    const waiting = 20_000;
    w.workspace.write(...Array.from({ length: waiting }, (_, n) => ({ user: `u${n % 3_000}` })), { uids: "7" });
    assert.deepEqual(await received(peer, 1), mails(7, 7));
    assert.ok((await w.status()).lookingUp > 8_192, "they wait while the other is told");
    await w.until("their end", ({ dropped }) => dropped.expired === waiting);
    assert.equal((await w.status()).lagRecords, 0);
    const errors = daemon.log().filter(({ level }) => level === "error");
    assert.ok(errors.length < 5, `${errors.length} lines`);
    assert.match(errors[0]?.msg ?? "", /nobody has registered since memcached was restarted/);
    // Who waited in vain is looked up for what comes next.
    await w.resolver.register("u2999", peer.address);
    w.workspace.write({ user: "u2999", uids: "8" });
    assert.deepEqual(await received(peer, 2), mails(7, 8));
  });
});

describe("a resolver that knows no stats, and ends the connection", () => {
  test("is believed that nobody is registered, with one warning", async (t) => {
    const w = await world(t);
    const proxy = createServer((socket) => {
      socket.on("error", () => socket.destroy());
      socket.on("data", (data) => {
        if (data.toString().startsWith("get ")) socket.write("END\r\n");
        else socket.destroy();
      });
    }).listen(0, "127.0.0.1");
    await once(proxy, "listening");
    t.after(() => proxy.close());
    const { port } = proxy.address() as { port: number };
    const daemon = await w.start({ resolver: `--SERVER=127.0.0.1:${port} --RETRY-TIMEOUT=1` });
    for (let n = 1; n <= 3; n++) {
      w.workspace.write({ uids: String(n) });
      await w.until("the answer", ({ nobody }) => nobody === n);
    }
    assert.equal(warnings(daemon, /does not say when it was started/).length, 1);
  });
});
