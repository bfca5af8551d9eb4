import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { appendFileSync, existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Resolver } from "../src/index.ts";
import { BUCKET_SECONDS } from "../src/journal/segment.ts";
import { askStatus } from "../src/status.ts";
import { line, segmentName } from "./helpers/journal.ts";
import { startMemcached } from "./helpers/memcached.ts";
import { startNanocatPull } from "./helpers/nanocat.ts";
import { makeWorkspace, newMailBytes, ocnotify, startDaemon } from "./helpers/ocnotify.ts";
import { pauseProcess } from "./helpers/pause.ts";
import { destinationStatus } from "./helpers/status.ts";
import { waitFor } from "./helpers/wait.ts";

const MIB = 1024 * 1024;
const PATIENCE_MS = 20_000;
const MAX_MIB = 4;
/** What is written: more than the file system has room for. */
const SEGMENTS = 40;
const RECORDS = 500;
const RECORD_BYTES = 1_000;

test("on a small file system, while a memcached is stopped, the journal stays below max_size; what it deletes is counted, and all else is notified", async (t) => {
  const workspace = makeWorkspace();
  /** What is undone at the end, the last first. */
  const undo: (() => unknown)[] = [() => workspace.remove()];
  t.after(async () => {
    for (const step of undo.toReversed()) await step();
  });
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=8m,mode=3733", "tmpfs", workspace.journal], { stdio: "pipe" });
  } catch (error) {
    return t.skip(`no mount here: ${String(error)}`);
  }
  undo.push(() => execFileSync("umount", [workspace.journal]));
  const memcached = await startMemcached();
  undo.push(() => memcached.stop());
  const peer = await startNanocatPull();
  undo.push(() => peer.stop());
  const resolver = new Resolver(memcached.config);
  await resolver.register("jdoe", peer.address);
  resolver.close();
  const config = workspace.configFile({
    journal: { max_size: `${MAX_MIB}MiB` },
    destinations: { openchange: { resolver: memcached.config, restart_grace: "0s", time_to_live: "1h" } },
  });
  const daemon = await startDaemon({ journal: workspace.journal, stateDir: workspace.stateDir, config });
  undo.push(() => daemon.stop("SIGKILL"));
  pauseProcess(memcached.pid);
  undo.push(() => process.kill(memcached.pid, "SIGCONT"));

  const bucket = Math.floor(Date.now() / 1_000 / BUCKET_SECONDS);
  const names = Array.from({ length: SEGMENTS }, (_, index) => segmentName(bucket - SEGMENTS - 5 + index));
  const size = (): number =>
    readdirSync(workspace.journal).reduce((sum, name) => {
      return sum + (statSync(join(workspace.journal, name), { throwIfNoEntry: false })?.size ?? 0);
    }, 0);
  let alarmed = false;
  for (const [index, name] of names.entries()) {
    const records = Array.from({ length: RECORDS }, (_unused, record) => {
      const text = line({ ts: Date.now() * 1_000, uids: String(index * RECORDS + record + 1), pad: "" });
      return text.replace('"pad":""', `"pad":"${"x".repeat(RECORD_BYTES - text.length)}"`);
    });
    appendFileSync(join(workspace.journal, name), records.join(""));
    await waitFor("the journal to be within its limit", () => size() <= MAX_MIB * MIB, PATIENCE_MS);
    if (!alarmed && size() > (MAX_MIB / 2) * MIB) {
      const { journal } = await askStatus(workspace.stateDir);
      alarmed = journal.overHalfBytes > 0 && journal.maxBytes === MAX_MIB * MIB;
      assert.equal((await destinationStatus(workspace.stateDir)).fullBytes, 0, "the alarm comes before the loss");
    }
  }
  assert.ok(alarmed, "an alarm at half");
  const kept = names.filter((name) => existsSync(join(workspace.journal, name)));
  assert.deepEqual(kept, names.slice(-kept.length), "the newest");
  assert.ok(kept.length >= 7 && kept.length < SEGMENTS);

  await daemon.logged("the alarm", ({ level, counter }) => level === "warn" && counter === "overHalfBytes");
  await daemon.logged("the loss", ({ level, counter }) => level === "error" && counter === "fullBytes");
  const printed = (await ocnotify(["status", "--state-dir", workspace.stateDir])).stdout;
  assert.match(
    printed,
    /^ {2}soon lost {2}bytes that a destination has yet to read, .*over half of journal\.max_size/m,
  );
  assert.match(printed, /^ {2}lost {7}bytes of segments that were deleted because the journal had reached/m);
  const found = (await ocnotify(["check", "--config", config, "--state-dir", workspace.stateDir])).stdout;
  assert.match(found, /^warning journal .*over half of journal\.max_size/m);

  process.kill(memcached.pid, "SIGCONT");
  await waitFor(
    "everything to be done with",
    async () => (await destinationStatus(workspace.stateDir)).lagRecords === 0,
    PATIENCE_MS,
  );
  const status = await destinationStatus(workspace.stateDir);
  const notified = new Set(peer.messages.map((message) => message.toString("latin1")));
  assert.equal(peer.messages.length, notified.size, "each once");
  const missing = names.flatMap((name, index) =>
    Array.from({ length: RECORDS }, (_, record) => index * RECORDS + record + 1)
      .filter((uid) => !notified.has(newMailBytes(`${uid}.eml`).toString("latin1")))
      .map(() => name),
  );
  assert.ok(missing.length > 0 && missing.every((name) => !kept.includes(name)), "all that was kept is notified");
  assert.equal(status.fullBytes, missing.length * RECORD_BYTES, "what is not notified is counted");
  assert.equal(status.lostBytes, 0);
  assert.equal((await askStatus(workspace.stateDir)).journal.overHalfBytes, 0);
});
