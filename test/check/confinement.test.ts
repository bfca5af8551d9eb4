import assert from "node:assert/strict";
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test, type TestContext } from "node:test";
import { chrootFindings, masterFindings } from "../../src/check/confinement.ts";

describe("whether mail processes see the journal", () => {
  let folder = "";
  let journal = "";
  const children: ChildProcess[] = [];

  before(() => {
    folder = mkdtempSync(join(tmpdir(), "ocnotify-confinement-"));
    journal = join(folder, "journal");
    mkdirSync(journal);
  });
  after(() => {
    for (const child of children) child.kill("SIGKILL");
    rmSync(folder, { recursive: true });
  });

  /** The pid of a process that has mounts of its own, as systemd makes them for a service. */
  const confined = async (t: TestContext, mounts: string): Promise<number | undefined> => {
    try {
      execFileSync("unshare", ["-m", "true"], { stdio: "pipe" });
    } catch (error) {
      t.skip(`no mount namespaces here: ${String(error)}`);
      return undefined;
    }
    const script = `${mounts} && echo ready && exec sleep 60`;
    const child = spawn("unshare", ["-m", "sh", "-c", script, "sh", journal], { stdio: ["ignore", "pipe", "inherit"] });
    children.push(child);
    await new Promise((ready) => child.stdout.once("data", ready));
    return child.pid;
  };

  test("nothing is said of a process that sees it as it is", () => {
    assert.deepEqual(masterFindings(process.pid, journal), []);
  });

  test("nothing is said of a process that is gone", () => {
    assert.deepEqual(masterFindings(2 ** 30, journal), []);
  });

  test("a directory that is hidden from Dovecot is a fault that names systemd's settings", async (t) => {
    const pid = await confined(t, 'mount -t tmpfs none "$1"');
    if (pid === undefined) return;
    const [finding, ...others] = masterFindings(pid, journal);
    assert.deepEqual(others, []);
    assert.equal(finding?.state, "fault");
    assert.match(finding.message, new RegExp(`pid ${pid}\\) does not see ${journal}`));
    assert.match(finding.remedy ?? "", /PrivateTmp=, ProtectHome=.*container/);
  });

  test("a directory that is read-only for Dovecot alone is a fault that names ReadWritePaths", async (t) => {
    const pid = await confined(t, 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"');
    if (pid === undefined) return;
    const [finding] = masterFindings(pid, journal);
    assert.equal(finding?.state, "fault");
    assert.match(finding.message, /read-only/);
    assert.ok(finding.remedy?.includes(`ReadWritePaths=${journal}`));
  });

  test("a chroot in which it is missing is a fault when all go there, and a warning when some may", () => {
    const root = join(folder, "chroot");
    const all = chrootFindings(root, [], journal);
    assert.deepEqual(
      all.map(({ state }) => state),
      ["fault"],
    );
    assert.ok(all[0]?.remedy?.includes(`mount --bind ${journal} ${join(root, journal)}`));
    const some = chrootFindings("", [root, "/"], journal);
    assert.deepEqual(
      some.map(({ state }) => state),
      ["warning"],
    );
    assert.match(some[0]?.message ?? "", new RegExp(`chroot ${root}, nothing is recorded`));
    assert.match(chrootFindings("/home/%u", [], journal)[0]?.message ?? "", /mail_chroot = \/home\/%u/);
    assert.deepEqual(chrootFindings("/", ["/"], journal), []);
  });
});
