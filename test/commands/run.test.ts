import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Resolver } from "../../src/index.ts";
import { startMemcached } from "../helpers/memcached.ts";
import { startNanocatPull } from "../helpers/nanocat.ts";
import { makeWorkspace, newMailBytes, startDaemon, type LogLine } from "../helpers/ocnotify.ts";
import { destinationIn, destinationStatus } from "../helpers/status.ts";
import { askStatus } from "../../src/status.ts";
import { waitFor } from "../helpers/wait.ts";

const PATIENCE_MS = 20_000;

test("SIGHUP: the configuration is read again, and only what is changed in it is made anew", async (t) => {
  const memcached = await startMemcached();
  const peer = await startNanocatPull();
  const resolver = new Resolver(memcached.config);
  await resolver.register("jdoe", peer.address);
  const workspace = makeWorkspace();
  const { journal, stateDir } = workspace;
  const openchange = { resolver: memcached.config, restart_grace: "0s" };
  const nobody = { ...openchange, users: ["nobody"] };
  const config = workspace.configFile({ destinations: { same: openchange, changed: nobody, removed: nobody } });
  const daemon = await startDaemon({ journal, stateDir, config });
  t.after(async () => {
    await daemon.stop("SIGKILL");
    resolver.close();
    await peer.stop();
    await memcached.stop();
    workspace.remove();
  });
  const reloaded = async (what: string, pattern: RegExp): Promise<LogLine> => {
    const before = daemon.log().length;
    process.kill(daemon.pid, "SIGHUP");
    const after = (): LogLine[] => daemon.log().slice(before);
    await waitFor(what, () => after().some(({ msg }) => pattern.test(msg)), PATIENCE_MS);
    return after().find(({ msg }) => pattern.test(msg)) as LogLine;
  };
  const received = async (...uids: number[]): Promise<void> => {
    await waitFor(`${uids.length} notifications`, () => peer.messages.length >= uids.length, PATIENCE_MS);
    const bytes = uids.map((uid) => newMailBytes(`${uid}.eml`).toString("latin1"));
    assert.deepEqual(
      peer.messages.map((message) => message.toString("latin1")),
      bytes,
    );
  };
  const done = async (name: string, count: number): Promise<void> => {
    await waitFor(name, async () => (await destinationStatus(stateDir, name)).done === count, PATIENCE_MS);
  };

  workspace.write({ uids: "1" });
  await received(1);
  for (const name of ["same", "changed", "removed"]) await done(name, 1);

  workspace.configFile({
    journal: { retention: "2h" },
    destinations: { added: openchange, same: openchange, changed: openchange },
  });
  await reloaded("the reload", /^the configuration is in effect$/);
  const warnings = daemon
    .log()
    .filter(({ level }) => level === "warn")
    .map(({ msg }) => msg);
  assert.deepEqual(
    warnings.filter((msg) => !msg.startsWith("max_connections")),
    ["journal.retention has changed, which has no effect before systemctl restart ocnotify"],
  );
  // The one that is added begins with the oldest record; the one that is changed had the first already.
  await received(1, 1);
  const status = await askStatus(stateDir);
  assert.deepEqual(Object.keys(status.destinations), ["added", "same", "changed"]);
  const same = destinationIn(status, "same");
  assert.deepEqual([same.sent, same.connected, same.hostFailures], [1, 1, 0], "its connection is the same");
  assert.ok(existsSync(join(stateDir, "removed.cursor")));
  workspace.write({ uids: "2" });
  await received(1, 1, 2, 2, 2);

  writeFileSync(config, "destinations: {same: {resolver: 5}, other: {}}\n");
  const { level, msg } = await reloaded("the fault", /nothing has changed/);
  assert.equal(level, "error");
  assert.match(msg, /destinations\.same\.resolver: expected a text, got 5.*ocnotify config check/);
  writeFileSync(config, "destinations: {same: {charset: klingon}}\n");
  assert.match(
    (await reloaded("the unusable value", /nothing has changed/)).msg,
    /destinations\.same\.charset: .*klingon/,
  );
  assert.deepEqual(Object.keys((await askStatus(stateDir)).destinations), ["added", "same", "changed"]);
  workspace.write({ uids: "3" });
  await received(1, 1, 2, 2, 2, 3, 3, 3);
  assert.equal(await daemon.stop(), 0);
});

test("SIGHUP, many at once and before it is ready, is obeyed and does not end the daemon", async (t) => {
  const workspace = makeWorkspace();
  const { journal, stateDir } = workspace;
  const preload = join(import.meta.dirname, "../helpers/hang-up.mjs");
  const config = workspace.configFile({ destinations: {} });
  const daemon = await startDaemon({ journal, stateDir, config, preload });
  t.after(async () => {
    await daemon.stop("SIGKILL");
    workspace.remove();
  });
  await daemon.logged("the early one", ({ msg }) => msg === "the configuration is in effect");
  workspace.configFile({ destinations: { last: {} } });
  for (let count = 0; count < 20; count++) process.kill(daemon.pid, "SIGHUP");
  await daemon.logged("what the last one found", ({ destination }) => destination === "last");
  assert.ok(daemon.log().filter(({ msg }) => msg === "the configuration is in effect").length < 10);
  assert.equal(await daemon.stop(), 0);
});
