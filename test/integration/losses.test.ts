import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { appendFileSync, chmodSync, chownSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import type { Finding } from "../../src/check/finding.ts";
import { startMemcached } from "../helpers/memcached.ts";
import { makeWorkspace, ocnotify, startDaemon, type RunningDaemon, type Workspace } from "../helpers/ocnotify.ts";
import { waitFor } from "../helpers/wait.ts";
import { destinationStatus, type OpenChangeStatus } from "../helpers/status.ts";
import { bucketAt, segmentName } from "../helpers/segments.ts";

const NOT_ROOT = process.getuid?.() !== 0 && "only root can give a file to another user";
/** Uids that this system does not know. */
const MAIL_UID = 61_234;
const OTHER_UID = 61_235;
const BUCKET = bucketAt();

interface World {
  readonly workspace: Workspace;
  /** A configuration file for a resolver that is there. */
  config(journal: Record<string, unknown>): string;
  start(config: string, wrapper?: readonly string[]): Promise<RunningDaemon>;
  /** Writes a segment as this uid, with the uid in its name that is given, or the same. */
  segment(uid: number, text: string, named?: number): string;
  status(): Promise<OpenChangeStatus>;
  /** What `ocnotify status` prints. */
  printed(): Promise<string>;
  check(config: string): Promise<{ code: number; findings: Finding[] }>;
}

async function world(t: TestContext): Promise<World> {
  const memcached = await startMemcached();
  const workspace = makeWorkspace();
  const daemons: RunningDaemon[] = [];
  t.after(async () => {
    for (const daemon of daemons) await daemon.stop("SIGKILL");
    await memcached.stop();
    workspace.remove();
  });
  const { journal: directory, stateDir } = workspace;
  // As a real one is, so that check finds nothing else.
  chmodSync(workspace.folder, 0o755);
  chmodSync(directory, 0o3733);
  return {
    workspace,
    config: (journal) =>
      workspace.configFile({
        journal: { directory, ...journal },
        state_directory: stateDir,
        destinations: { openchange: { resolver: memcached.config, restart_grace: "0s" } },
      }),
    async start(config, wrapper) {
      const daemon = await startDaemon({ journal: directory, stateDir, config, wrapper });
      daemons.push(daemon);
      return daemon;
    },
    segment(uid, text, named = uid) {
      const path = join(directory, segmentName(BUCKET, named));
      appendFileSync(path, text);
      chownSync(path, uid, uid);
      return path;
    },
    async status() {
      return await destinationStatus(stateDir);
    },
    async printed() {
      const { code, stdout } = await ocnotify(["status", "--state-dir", stateDir]);
      assert.equal(code, 0);
      return stdout;
    },
    async check(config) {
      const { code, stdout, stderr } = await ocnotify(["check", "--json", "--no-dovecot", "--config", config]);
      assert.equal(stderr, "");
      const lines = stdout.split("\n").filter((line) => line !== "");
      return { code, findings: lines.map((line) => JSON.parse(line) as Finding) };
    },
  };
}

function record(user: string, more: Record<string, unknown> = {}): string {
  const fields = { v: 1, ts: Date.now() * 1_000, event: "MessageNew", user, mailbox: "INBOX", sep: "/", uids: "1" };
  return `${JSON.stringify({ ...fields, ...more })}\n`;
}

const REMEDIED = [
  ["notRead.foreign-owner", "not read", "fault", /their owner is not the uid in their name: 1$/, /map the mail users/],
  ["notRead.symlink", "not read", "fault", /symbolic links, which are not read: 1$/, /Remove it/],
  ["leftSegments", "not read", "fault", /their writer may not speak for the user .*: 1$/, /add 61234 to .*mail_users/],
  ["malformed", "lost", "warning", /no records, skipped: 2$/, /journalctl -u ocnotify/],
] as const;

describe("what is not read and what is lost", { concurrency: 2, skip: NOT_ROOT }, () => {
  test("stands in the status, in check and in the log, each with how much of it and with what to do", async (t) => {
    const w = await world(t);
    const config = w.config({ mail_users: [] });
    w.segment(OTHER_UID, record("container"), 5000);
    symlinkSync("/etc/passwd", join(w.workspace.journal, segmentName(BUCKET, 5001)));
    w.segment(MAIL_UID, record("left") + record("left too"));
    w.workspace.writeRaw("garbage\n");
    w.workspace.writeRaw(`${"x".repeat(70_000)}\n`);
    w.workspace.write({ user: "good" });
    const daemon = await w.start(config);
    await waitFor("all that can be read", async () => {
      const { nobody, leftSegments } = await w.status();
      return nobody === 1 && leftSegments === 1;
    });
    assert.equal((await w.status()).leftBytes, (record("left") + record("left too")).length);

    const printed = (await w.printed()).split("\n");
    const { code, findings } = await w.check(config);
    assert.equal(code, 1, "check fails");
    for (const [counter, word, state, message, remedy] of REMEDIED) {
      const at = printed.findIndex((line) => message.test(line));
      assert.match(printed[at] ?? counter, new RegExp(`^  ${word} `));
      assert.match(printed[at + 1] ?? counter, new RegExp(`^ {13}→ .*${remedy.source}`, "i"));
      const finding = findings.find((found) => message.test(found.message));
      assert.equal(finding?.state, state, counter);
      assert.match(finding?.remedy ?? "", new RegExp(remedy, "i"));
    }
    for (const [counter, , , message, remedy] of REMEDIED) {
      const logged = await daemon.logged(counter, (line) => line["counter"] === counter);
      assert.equal(logged.level, "error");
      assert.match(logged.msg.split(". To do: ")[0] ?? "", message);
      assert.match(logged.msg, new RegExp(remedy, "i"));
    }
    assert.equal(daemon.log().filter(({ counter }) => counter !== undefined).length, REMEDIED.length, "each once");
  });

  test("is nothing when all is read: check says ok, the status has no such line, and the log none", async (t) => {
    const w = await world(t);
    const config = w.config({ mail_users: [MAIL_UID] });
    w.segment(MAIL_UID, record("jdoe"));
    await w.start(config);
    await waitFor("the record", async () => (await w.status()).nobody === 1);
    assert.doesNotMatch(await w.printed(), /→/);
    const { code, findings } = await w.check(config);
    assert.equal(code, 0);
    assert.deepEqual(
      findings.filter(({ state }) => state !== "ok"),
      [],
    );
  });

  test("is advised to restart when the configuration names the writer by now", async (t) => {
    const w = await world(t);
    w.segment(MAIL_UID, record("left"));
    await w.start(w.config({ mail_users: [] }));
    await waitFor("it to be left", async () => (await w.status()).leftSegments === 1);
    const { findings } = await w.check(w.config({ mail_users: [MAIL_UID] }));
    const finding = findings.find(({ message }) => message.includes("may not speak"));
    assert.match(finding?.remedy ?? "", /^systemctl restart ocnotify: journal\.mail_users has been changed/);
  });
});

const NO_MOUNTS =
  NOT_ROOT ||
  (spawnSync("unshare", ["--mount", "mount", "--bind", "/etc/passwd", "/etc/passwd"]).status !== 0 && "no mounts");

describe("the system's users", { skip: NO_MOUNTS }, () => {
  test("may come while the daemon runs: what was left is told, without a restart, and nothing is lost", async (t) => {
    const w = await world(t);
    // Only the daemon sees this one in place of the system's.
    const passwd = join(w.workspace.folder, "passwd");
    writeFileSync(passwd, `${readFileSync("/etc/passwd", "utf8")}jdoe:x:${OTHER_UID}:${OTHER_UID}::/:/bin/false\n`);
    const wrapper = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/passwd && exec "$@"', passwd];
    const config = w.config({ mail_users: ["postmaster"], user_names: { "*": "*@example.com" } });
    const daemon = await w.start(config, wrapper);
    w.segment(OTHER_UID, record("jdoe") + record("jdoe@example.com") + record("jdoe@example.org"));
    w.segment(MAIL_UID, record("anna") + record("berta"));
    await waitFor("both to be left", async () => (await w.status()).leftSegments === 2);
    await waitFor("the system's user to be believed under both names", async () => (await w.status()).nobody === 2);
    const line = await daemon.logged("the error", ({ uid }) => uid === MAIL_UID);
    assert.match(line.msg, /journal\.mail_users names postmaster, which this system does not know/);

    appendFileSync(passwd, `postmaster:x:${MAIL_UID}:${MAIL_UID}::/:/bin/false\n`);
    w.segment(MAIL_UID, record("carla"));
    await waitFor("all of the mail user's", async () => (await w.status()).nobody === 5);
    const { leftSegments, untrusted, lostBytes } = await w.status();
    assert.deepEqual({ leftSegments, untrusted, lostBytes }, { leftSegments: 1, untrusted: 0, lostBytes: 0 });
  });
});
