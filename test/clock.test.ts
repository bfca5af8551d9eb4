import assert from "node:assert/strict";
import { appendFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { Resolver } from "../src/index.ts";
import { askStatus } from "../src/status.ts";
import { startMemcached, type TestMemcached } from "./helpers/memcached.ts";
import { startNanocatPull, type Peer } from "./helpers/nanocat.ts";
import { makeWorkspace, newMailBytes, startDaemon, type RunningDaemon } from "./helpers/ocnotify.ts";
import { freePort } from "./helpers/ports.ts";
import { waitFor } from "./helpers/wait.ts";
import { destinationStatus, type OpenChangeStatus } from "./helpers/status.ts";
import { bucketAt, segmentName } from "./helpers/segments.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const YEAR = 365 * 24 * HOUR;

/** A mail host whose clock is set while everything runs. */
interface Host {
  readonly memcached: TestMemcached;
  readonly resolver: Resolver;
  readonly stateDir: string;
  /** Sets the wall clock of the plugin and the daemon to this many milliseconds from the right time. */
  setClock(ms: number): void;
  /** Records a delivery to jdoe as the plugin does, at the time that its clock shows. */
  deliver(uid: number): void;
  start(destination?: Record<string, unknown>): Promise<RunningDaemon>;
  receiver(user: string, address?: string): Promise<Peer>;
  status(): Promise<OpenChangeStatus>;
  since(): Promise<number>;
}

async function host(t: TestContext): Promise<Host> {
  const memcached = await startMemcached();
  const resolver = new Resolver(memcached.config);
  const workspace = makeWorkspace();
  const clockFile = join(workspace.folder, "clock");
  const running: { stop(signal?: NodeJS.Signals): Promise<unknown> }[] = [];
  let ahead = 0;
  writeFileSync(clockFile, "0");
  t.after(async () => {
    for (const started of running) await started.stop("SIGKILL");
    resolver.close();
    await memcached.stop();
    workspace.remove();
  });
  const status: Host["status"] = async () => {
    return await destinationStatus(workspace.stateDir);
  };
  return {
    memcached,
    resolver,
    stateDir: workspace.stateDir,
    status,
    setClock(ms) {
      ahead = ms;
      writeFileSync(clockFile, String(ms));
    },
    deliver(uid) {
      const now = Date.now() + ahead;
      const name = segmentName(bucketAt(now));
      const record = { v: 1, ts: now * 1_000, event: "MessageNew", user: "jdoe", mailbox: "INBOX", sep: "/" };
      appendFileSync(join(workspace.journal, name), `${JSON.stringify({ ...record, uids: String(uid) })}\n`);
    },
    async start(destination = {}) {
      const config = workspace.configFile({
        destinations: {
          openchange: {
            resolver: memcached.config,
            restart_grace: "0s",
            retry_first: "50ms",
            retry_most: "100ms",
            ...destination,
          },
        },
      });
      const daemon = await startDaemon({
        journal: workspace.journal,
        stateDir: workspace.stateDir,
        config,
        preload: resolve(import.meta.dirname, "helpers/set-clock.mjs"),
        env: { CLOCK_FILE: clockFile },
      });
      running.push(daemon);
      return daemon;
    },
    async receiver(user, address) {
      const peer = await startNanocatPull(address);
      running.push(peer);
      await resolver.register(user, peer.address);
      return peer;
    },
    async since() {
      return Date.parse((await askStatus(workspace.stateDir)).since);
    },
  };
}

async function received(peer: Peer, ...uids: number[]): Promise<void> {
  await waitFor(`the mails ${uids.join(", ")}`, () => peer.messages.length >= uids.length, 10_000);
  assert.deepEqual(
    peer.messages,
    uids.map((uid) => newMailBytes(`${uid}.eml`)),
  );
}

describe("a clock that is set while the daemon runs", { concurrency: 4 }, () => {
  for (const [what, ms] of [
    ["a second back", -1_000],
    ["years back", -5 * YEAR],
    ["years ahead", 5 * YEAR],
  ] as const) {
    test(`${what}: who registers then is told of the very next delivery, once`, async (t) => {
      const h = await host(t);
      await h.start();
      h.deliver(1);
      await waitFor("the answer that nobody is registered", async () => (await h.status()).nobody === 1);
      h.setClock(ms);
      const peer = await h.receiver("jdoe");
      h.deliver(2);
      await received(peer, 2);
      h.setClock(0);
      h.deliver(3);
      await received(peer, 2, 3);
      const { lagSeconds, nobody } = await h.status();
      assert.ok(lagSeconds < 60, `${lagSeconds} s`);
      assert.equal(nobody, 1);
    });
  }

  for (const [what, ms] of [
    ["an hour back", -HOUR],
    ["years ahead", 5 * YEAR],
  ] as const) {
    test(`${what}: what waits for a host is neither dropped nor said to be old, and told when the host comes`, async (t) => {
      const h = await host(t);
      const address = `tcp://127.0.0.1:${await freePort()}`;
      await h.resolver.register("jdoe", address);
      await h.start();
      h.deliver(1);
      await waitFor("a refusal", async () => (await h.status()).hostFailures > 0);
      h.setClock(ms);
      h.deliver(2);
      await waitFor("it to be read", async () => (await h.status()).records === 2);
      h.setClock(0);
      h.deliver(3);
      h.setClock(ms);
      const { hostFailures } = await h.status();
      await waitFor("further refusals", async () => (await h.status()).hostFailures > hostFailures + 3);
      const { lagSeconds, dropped, waiting } = await h.status();
      assert.deepEqual({ dropped, waiting }, { dropped: {}, waiting: 3 });
      assert.ok(lagSeconds > 0 && lagSeconds < 60, `${lagSeconds} s`);
      const age = Date.now() + ms - (await h.since());
      assert.ok(age >= 0 && age < MINUTE, `the daemon runs for ${age} ms`);
      await received(await h.receiver("jdoe", address), 1, 2, 3);
    });
  }

  test("ahead for one delivery: that one expires like the others, and holds up none", async (t) => {
    const h = await host(t);
    await h.resolver.register("jdoe", `tcp://127.0.0.1:${await freePort()}`);
    await h.start({ time_to_live: "1s" });
    h.setClock(YEAR);
    h.deliver(1);
    h.setClock(0);
    h.deliver(2);
    h.deliver(3);
    await waitFor("all to expire", async () => (await h.status()).dropped.expired === 3, 10_000);
    assert.equal((await h.status()).lagRecords, 0);
  });

  test("ahead while the resolver is away: nothing expires early", async (t) => {
    const h = await host(t);
    await h.memcached.stop();
    await h.start();
    h.deliver(1);
    await waitFor("a failure", async () => (await h.status()).lookupFailures > 0);
    h.setClock(YEAR);
    h.deliver(2);
    const { lookupFailures } = await h.status();
    await waitFor("further failures", async () => (await h.status()).lookupFailures > lookupFailures + 1);
    const { dropped, lookingUp, lagSeconds } = await h.status();
    assert.deepEqual({ dropped, lookingUp }, { dropped: {}, lookingUp: 2 });
    assert.ok(lagSeconds < 60, `${lagSeconds} s`);
  });
});

describe("what was recorded while the clock was wrong, and the daemon away", { concurrency: 4 }, () => {
  for (const [what, ms] of [
    ["years ahead", 2 * YEAR],
    ["years back", -20 * YEAR],
  ] as const) {
    test(`is told after its start, once: ${what}`, async (t) => {
      const h = await host(t);
      const peer = await h.receiver("jdoe");
      h.setClock(ms);
      h.deliver(1);
      h.setClock(0);
      h.deliver(2);
      const first = await h.start();
      await waitFor("both", () => peer.messages.length === 2);
      const { lagSeconds } = await h.status();
      assert.ok(lagSeconds >= 0 && lagSeconds <= 31 * 24 * 3600, `${lagSeconds} s`);
      await waitFor("both to be confirmed", async () => (await h.status()).lagRecords === 0);
      await first.stop();
      await h.start();
      h.deliver(3);
      await waitFor("the third", () => peer.messages.length >= 3);
      assert.deepEqual(
        peer.messages.map(String).toSorted(),
        [1, 2, 3].map((uid) => String(newMailBytes(`${uid}.eml`))),
      );
    });
  }
});
