import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs, { appendFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it, type TestContext } from "node:test";
import { JournalDirectory } from "../../src/journal/directory.ts";
import { Owners } from "../../src/journal/owners.ts";
import { line, Reader, segmentName, TestJournal, type LogLine } from "../helpers/journal.ts";
import { waitFor } from "../helpers/wait.ts";

const SEGMENT = segmentName(100);
/** Twice the time between two listings, and something for a busy machine. */
const SOON_MS = 5_000;

let journal: TestJournal;

beforeEach(() => {
  journal = new TestJournal();
});
afterEach(() => journal.remove());

function replace(t: TestContext, name: "watch" | "openSync", by: (...args: never[]) => unknown): void {
  const mock = t.mock.method(fs, name, by as never);
  syncBuiltinESMExports();
  t.after(() => {
    mock.mock.restore();
    syncBuiltinESMExports();
  });
}

/** inotify that tells of what `tells` allows. */
function useInotify(t: TestContext, tells: (name: string) => boolean): void {
  const { watch } = fs;
  replace(t, "watch", (path: string, listener: (event: string, name: string) => void) =>
    watch(path, (event, name) => {
      if (tells(name ?? "")) listener(event, name ?? "");
    }),
  );
}

function refuseWatching(t: TestContext, code: string): { ends(): void } {
  const { watch } = fs;
  let refused = true;
  replace(t, "watch", (path: string, listener: never) => {
    if (refused) throw Object.assign(new Error(`${code}: no`), { code });
    return watch(path, listener);
  });
  return { ends: () => (refused = false) };
}

/** Counts from now on how often a directory is listed. */
function countListings(t: TestContext): () => number {
  const { opendir } = fs.promises;
  const mock = t.mock.method(fs.promises, "opendir", opendir);
  syncBuiltinESMExports();
  t.after(() => {
    mock.mock.restore();
    syncBuiltinESMExports();
  });
  return () => mock.mock.callCount();
}

async function appears(reader: Reader, user: string): Promise<void> {
  await waitFor(`the record of ${user}`, () => reader.users.includes(user), SOON_MS);
}

function warnings(): LogLine[] {
  return journal.lines.filter(({ level }) => level === "warn" || level === "error");
}

/** A folder that is an overlay, as containers have one, and the folder below it; undefined where none can be mounted. */
function mountOverlay(): { merged: string; upper: string; unmount(): void } | undefined {
  const folder = mkdtempSync(join(tmpdir(), "ocnotify-overlay-"));
  const [merged, upper] = [join(folder, "merged"), join(folder, "upper")];
  for (const name of ["merged", "upper", "lower", "work"]) mkdirSync(join(folder, name));
  const remove = (): void => rmSync(folder, { recursive: true });
  const options = `lowerdir=${join(folder, "lower")},upperdir=${upper},workdir=${join(folder, "work")}`;
  try {
    execFileSync("mount", ["-t", "overlay", "overlay", "-o", options, merged], { stdio: "ignore" });
  } catch {
    remove();
    return undefined;
  }
  const unmount = (): void => {
    execFileSync("umount", [merged]);
    remove();
  };
  return { merged, upper, unmount };
}

describe("where inotify tells nothing", () => {
  it("that is found with a file of our own, said once, and the directory listed every second", async (t) => {
    useInotify(t, () => false);
    const reader = await journal.read();
    reader.directory.probe();
    assert.deepEqual(readdirSync(journal.path), [], "the file is gone again");
    await waitFor("the warning", () => warnings().length > 0, SOON_MS);
    assert.match(warnings()[0]?.msg ?? "", /^inotify does not tell of changes .* every second.*not NFS, virtiofs/);
    assert.equal(reader.directory.inotify, "silent");
    for (const user of ["a", "b"]) {
      journal.append(SEGMENT, line({ user }));
      await appears(reader, user);
    }
    assert.equal(warnings().length, 1);
  });

  it("that is found with the first change, where a file of our own cannot be made or is told of", async (t) => {
    const { openSync } = fs;
    replace(t, "openSync", (path: string, flags: never, mode: never) => {
      if (path.includes(".probe-")) throw Object.assign(new Error("EROFS: read-only file system"), { code: "EROFS" });
      return openSync(path, flags, mode);
    });
    useInotify(t, (name) => name.startsWith(".probe-"));
    const reader = await journal.read();
    reader.directory.probe();
    assert.equal(reader.directory.inotify, "unproven");
    journal.append(SEGMENT, line({ user: "a" }));
    await appears(reader, "a");
    await waitFor("the warning", () => warnings().length > 0, SOON_MS);
    assert.equal(reader.directory.inotify, "silent");
  });

  it("that is found on an overlay, where it tells only of what is written through it", async (t) => {
    const overlay = mountOverlay();
    if (overlay === undefined) return t.skip("no overlay can be mounted here");
    const directory = new JournalDirectory(overlay.merged, new Owners([]), journal.log);
    try {
      await directory.open();
      directory.probe();
      const reader = new Reader(directory, undefined, journal.log);
      appendFileSync(join(overlay.upper, SEGMENT), line({ user: "a" }));
      await appears(reader, "a");
      await waitFor("the warning", () => warnings().length > 0, SOON_MS);
      appendFileSync(join(overlay.upper, SEGMENT), line({ user: "b" }));
      await appears(reader, "b");
    } finally {
      directory.close();
      overlay.unmount();
    }
  });

  it("since it has stopped to: that is found with the next listing, once a minute", async (t) => {
    t.mock.timers.enable({ apis: ["setInterval"] });
    let tells = true;
    useInotify(t, () => tells);
    const reader = await journal.read();
    journal.append(SEGMENT, line({ user: "a" }));
    await appears(reader, "a");
    assert.equal(reader.directory.inotify, "works");
    tells = false;
    journal.append(SEGMENT, line({ user: "b" }));
    t.mock.timers.tick(60_000);
    await appears(reader, "b");
    await waitFor("the warning", () => warnings().length > 0, SOON_MS);
    journal.append(SEGMENT, line({ user: "c" }));
    await appears(reader, "c");
  });

  it("since it cannot be used: that is an error, and it is used when it can be", async (t) => {
    t.mock.timers.enable({ apis: ["setInterval"] });
    const refusal = refuseWatching(t, "ENOSPC");
    const reader = await journal.read();
    reader.directory.probe();
    journal.append(SEGMENT, line({ user: "a" }));
    await appears(reader, "a");
    t.mock.timers.tick(60_000);
    assert.equal(warnings().length, 1);
    refusal.ends();
    t.mock.timers.tick(60_000);
    journal.append(SEGMENT, line({ user: "b" }));
    await appears(reader, "b");
    await waitFor("inotify to be used", () => reader.directory.inotify === "works", SOON_MS);
  });

  for (const [code, remedy] of [
    ["ENOSPC", /: ENOSPC: .*\. Raise the sysctl fs\.inotify\.max_user_watches/],
    ["EMFILE", /: EMFILE: .*\. Raise the sysctl fs\.inotify\.max_user_instances or the limit of open files/],
    ["ENOSYS", /: ENOSYS: .*\. This kernel or sandbox has no inotify/],
  ] as const) {
    it(`since it cannot be used: the error says what to do (${code})`, async (t) => {
      refuseWatching(t, code);
      const { inotify } = await journal.open();
      assert.equal(inotify, "silent");
      assert.match(warnings()[0]?.msg ?? "", remedy);
      assert.equal(warnings()[0]?.level, "error");
    });
  }
});

describe("inotify that works", () => {
  it("is known by the first change, and an idle directory is listed no more", async (t) => {
    const reader = await journal.read();
    reader.directory.probe();
    assert.equal(reader.directory.inotify, "unproven");
    journal.append(SEGMENT, line({ user: "a" }));
    await appears(reader, "a");
    assert.equal(reader.directory.inotify, "works");
    const listings = countListings(t);
    await new Promise((done) => setTimeout(done, 1_500));
    assert.ok(listings() <= 1, `${listings()} listings`);
    assert.equal(reader.directory.inotify, "works");
    assert.deepEqual(warnings(), []);
  });

  it("may lose changes when its queue is full: they are found at once", async (t) => {
    const queue = Number(readFileSync("/proc/sys/fs/inotify/max_queued_events", "utf8"));
    if (queue > 100_000) return t.skip("to fill this kernel's queue takes too long");
    const reader = await journal.read();
    journal.append(SEGMENT, line({ user: "a" }));
    await appears(reader, "a");
    // This process takes nothing out of the queue while the other one runs.
    const script = `
      const { writeFileSync, appendFileSync } = require("node:fs");
      for (let n = 0; n < ${queue / 2 + 100}; n++) for (const x of ["x", "y"]) writeFileSync(process.argv[1] + "/" + x, "");
      for (const n of [101, 102]) appendFileSync(process.argv[1] + "/" + n + ".${process.getuid?.() ?? 0}.ndjson", process.argv[2]);`;
    execFileSync(process.execPath, ["-e", script, journal.path, line({ user: "lost" })]);
    await waitFor("what was lost", () => reader.users.filter((user) => user === "lost").length === 2, SOON_MS);
    assert.equal(reader.directory.inotify, "works");
    assert.deepEqual(warnings(), []);
  });

  it("is used for the directory that is there, though it have the inode of the one that was watched", async () => {
    const reader = await journal.read();
    for (let turn = 0; turn < 3; turn++) {
      rmSync(journal.path, { recursive: true });
      mkdirSync(journal.path);
      journal.append(SEGMENT, line({ user: `u${turn}` }));
      await appears(reader, `u${turn}`);
      journal.append(SEGMENT, line({ user: `v${turn}` }));
      await appears(reader, `v${turn}`);
    }
  });

  it("is not doubted for files of somebody else, at more than a listing a second", async (t) => {
    const reader = await journal.read();
    journal.append(SEGMENT, line({ user: "a" }));
    await appears(reader, "a");
    const listings = countListings(t);
    const began = performance.now();
    for (let turn = 0; turn < 50; turn++) {
      for (const name of ["journal", ".probe-000000000000", "x"]) {
        appendFileSync(journal.file(name), "");
        rmSync(journal.file(name));
      }
      await new Promise(setImmediate);
    }
    journal.append(SEGMENT, line({ user: "b" }));
    await appears(reader, "b");
    const seconds = (performance.now() - began) / 1_000;
    assert.ok(listings() <= 1 + seconds, `${listings()} listings in ${seconds} s`);
    assert.deepEqual(warnings(), []);
  });
});
