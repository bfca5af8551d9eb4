import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { OcnotifyError } from "../../src/errors.ts";
import { JournalDirectory } from "../../src/journal/directory.ts";
import { Owners } from "../../src/journal/owners.ts";
import type { Segment } from "../../src/journal/segment.ts";
import { line, segmentName, TestJournal } from "../helpers/journal.ts";
import { waitFor } from "../helpers/wait.ts";

const SEGMENT = segmentName(100);

let journal: TestJournal;

beforeEach(() => {
  journal = new TestJournal();
});
afterEach(() => journal.remove());

async function openError(path: string): Promise<OcnotifyError> {
  const directory = new JournalDirectory(path, new Owners([]), journal.log);
  try {
    await directory.open();
  } catch (error) {
    assert.ok(error instanceof OcnotifyError);
    return error;
  }
  directory.close();
  return assert.fail("opened");
}

/** What the kernel counts of this process's time on a processor, in milliseconds. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** How many timers keep the process alive. */
function timers(): number {
  return process.getActiveResourcesInfo().filter((resource) => resource === "Timeout").length;
}

describe("the journal's directory", () => {
  it("tells at once of a segment that is new, has grown and has gone", async () => {
    const directory = await journal.open();
    const seen: [string, number, boolean][] = [];
    directory.onChange((changed) => {
      for (const { name, size, gone } of changed) seen.push([name, size, gone]);
    });
    const size = line().length;
    const started = performance.now();
    journal.append(SEGMENT, line());
    await waitFor("the segment", () => seen.some(([, bytes]) => bytes === size));
    journal.append(SEGMENT, line());
    await waitFor("its growth", () => seen.some(([, bytes]) => bytes === 2 * size));
    rmSync(journal.file(SEGMENT));
    await waitFor("its end", () => seen.some(([, , gone]) => gone));
    assert.ok(performance.now() - started < 1_000, "by the kernel's word, not by a listing once a minute");
    assert.equal(directory.segments.size, 0);
  });

  it("looks together at changes that follow one another, and misses none", async () => {
    const directory = await journal.open();
    const looks: number[] = [];
    let size = 0;
    directory.onChange(([changed]) => {
      looks.push(performance.now());
      size = changed?.size ?? 0;
    });
    for (let count = 0; count < 200; count++) {
      journal.append(SEGMENT, line());
      await new Promise((done) => setTimeout(done, 1));
    }
    await waitFor("the last change", () => size === 200 * line().length);
    const pauses = looks.slice(1).map((time, index) => time - (looks[index] as number));
    // A timer may come a fraction of a millisecond early.
    assert.ok(Math.min(...pauses) > 8, `${Math.min(...pauses)} ms`);
  });

  it("costs nothing while nothing happens", async () => {
    await journal.read();
    const before = cpuMs();
    await new Promise((done) => setTimeout(done, 500));
    assert.ok(cpuMs() - before < 100, `${cpuMs() - before} ms of processor time in 500 ms`);
  });

  it("must exist: the error says how to create it", async () => {
    const error = await openError(join(journal.folder, "none"));
    assert.equal(error.code, "ERR_JOURNAL_DIRECTORY");
    assert.match(error.message, /none does not exist\. Create it: install -d -m 3733 .*none/);
  });

  it("must be a directory", async () => {
    writeFileSync(join(journal.folder, "file"), "");
    const error = await openError(join(journal.folder, "file"));
    assert.equal(error.code, "ERR_JOURNAL_DIRECTORY");
    assert.match(error.message, /Name a directory/);
  });

  it("leaves nothing open when it cannot be opened, nor when it is closed", async () => {
    const script = `
      import { JournalDirectory } from "./src/journal/directory.ts";
      import { Owners } from "./src/journal/owners.ts";
      import { Tail } from "./src/journal/tail.ts";
      const log = { warn() {}, error() {}, info() {}, debug() {} };
      const bad = new JournalDirectory("/nonexistent", new Owners([]), log);
      await bad.open().catch(() => undefined);
      const directory = new JournalDirectory(${JSON.stringify(journal.path)}, new Owners([]), log);
      await directory.open();
      new Tail(directory, undefined, () => {}, log).read([]);
      directory.close();`;
    journal.append(SEGMENT, line());
    const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script], {
      cwd: resolve(import.meta.dirname, "../.."),
      stdio: "inherit",
      timeout: 20_000,
    });
    const [code] = (await once(child, "exit")) as [number | null];
    assert.equal(code, 0, "the process ends by itself");
  });

  it("may go without ending the daemon, which waits for its return", async () => {
    const directory = await journal.open();
    const before = timers();
    rmSync(journal.path, { recursive: true });
    while (!journal.lines.some(({ level }) => level === "error")) await new Promise(setImmediate);
    assert.equal(timers(), before + 1);
    directory.close();
    assert.equal(timers(), before);
  });

  it("may go and come back while we run", async (t) => {
    t.mock.timers.enable({ apis: ["setInterval"] });
    journal.append(SEGMENT, line({ user: "a" }));
    const reader = await journal.read();
    rmSync(journal.path, { recursive: true });
    await waitFor("the loss to be told", () => journal.lines.some(({ level }) => level === "error"));
    t.mock.timers.tick(5_000);
    t.mock.timers.tick(5_000);
    const told = journal.lines.filter(({ level }) => level === "error");
    assert.equal(told.length, 1);
    assert.match(told[0]?.msg ?? "", /does not exist\. Create it.*Looking for it every 5 s/);

    mkdirSync(journal.path);
    journal.append(SEGMENT, line({ user: "b" }));
    t.mock.timers.tick(5_000);
    await waitFor("the record in the new directory", () => reader.users.includes("b"));
    journal.append(SEGMENT, line({ user: "c" }));
    await waitFor("the directory to be watched again", () => reader.users.includes("c"));
    assert.deepEqual(reader.users, ["a", "b", "c"]);
  });

  it("may be replaced by another of the same name at once", async () => {
    const reader = await journal.read();
    renameSync(journal.path, `${journal.path}.old`);
    mkdirSync(journal.path);
    journal.append(SEGMENT, line({ user: "a" }));
    await waitFor("the record in the new directory", () => reader.users.includes("a"));
    journal.append(SEGMENT, line({ user: "b" }));
    await waitFor("the new directory to be watched", () => reader.users.includes("b"));
  });

  it("is listed anew once a minute, should the kernel have lost a change, or a read have failed", async (t) => {
    t.mock.timers.enable({ apis: ["setInterval"] });
    journal.append(SEGMENT, line({ user: "a" }));
    const directory = await journal.open();
    const segment = directory.segments.get(SEGMENT);
    assert.ok(segment !== undefined);
    const told: Segment[] = [];
    directory.onChange((changed) => told.push(...changed));
    directory.retryLater(segment);
    t.mock.timers.tick(60_000);
    await waitFor("the segment to be offered again", () => told.length === 1);
    t.mock.timers.tick(60_000);
    assert.deepEqual(told, [segment]);
  });

  it("reads the bytes that are asked for, and none beyond the end", async () => {
    journal.append(SEGMENT, "0123456789");
    const directory = await journal.open();
    const segment = directory.segments.get(SEGMENT);
    assert.ok(segment !== undefined);
    const target = Buffer.alloc(20, ".");
    assert.equal(directory.read(segment, 3, target, 4), 4);
    assert.equal(target.toString("latin1", 0, 5), "3456.");
    assert.equal(directory.read(segment, 8, target), 2);
    assert.equal(directory.read(segment, 10, target), 0);
    directory.close();
    assert.equal(directory.read(segment, 0, target), 0);
  });

  it("keeps a segment that was written to since it was looked at", async () => {
    journal.append(SEGMENT, line());
    const directory = await journal.open();
    const segment = directory.segments.get(SEGMENT);
    assert.ok(segment !== undefined);
    journal.append(SEGMENT, line());
    assert.equal(directory.remove(segment), false);
    await waitFor("the growth to be seen", () => segment.size === 2 * line().length);
    assert.equal(directory.remove(segment), true);
    assert.equal(directory.segments.size, 0);
    assert.equal(directory.remove(segment), true, "gone is gone");
  });

  it(
    "says once what keeps old segments from being deleted",
    { skip: process.getuid?.() === 0 && "root may delete" },
    async () => {
      journal.append(segmentName(1), line());
      journal.append(segmentName(2), line());
      const directory = await journal.open();
      chmodSync(journal.path, 0o500);
      try {
        for (const segment of directory.segments.values()) assert.equal(directory.remove(segment), false);
      } finally {
        chmodSync(journal.path, 0o700);
      }
      assert.equal(journal.lines.filter(({ msg }) => msg.startsWith("cannot delete old segments")).length, 1);
    },
  );

  it("may be reached through a symbolic link's target or a relative name", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ocnotify-relative-"));
    const directory = new JournalDirectory(
      join(folder, "..", folder.split("/").at(-1) ?? ""),
      new Owners([]),
      journal.log,
    );
    await directory.open();
    directory.close();
    rmSync(folder, { recursive: true });
  });
});
