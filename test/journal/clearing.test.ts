import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chownSync, linkSync, lstatSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, it } from "node:test";
import { Clearing } from "../../src/journal/clearing.ts";
import type { JournalDirectory } from "../../src/journal/directory.ts";
import { line, NOT_ROOT, OWN_UID, segmentName, STRANGE_UID, TestJournal } from "../helpers/journal.ts";
import { waitFor } from "../helpers/wait.ts";

/** A user of every system, and the kernel's number for who has none here. */
const DAEMON = 1;
const NOBODY = 65_534;

let journal: TestJournal;

beforeEach(() => {
  journal = new TestJournal();
});
afterEach(() => journal.remove());

/** A file of this owner. */
function file(name: string, owner: number, text = line()): string {
  writeFileSync(journal.file(name), text);
  chownSync(journal.file(name), owner, owner);
  return name;
}

/** Sweeps until nothing more can be deleted, asking for the owners' names in between. @returns how many were deleted */
async function clear(directory: JournalDirectory, owners: readonly number[] = []): Promise<number> {
  const clearing = new Clearing(directory, journal.log);
  while (clearing.sweep());
  for (const owner of owners) await directory.owners.learn(owner);
  while (clearing.sweep());
  return clearing.cleared;
}

const left = (): string[] => readdirSync(journal.path).toSorted();

describe("what has the name of a segment and can be none", () => {
  it("is deleted when it is no file, whosever it is", async () => {
    symlinkSync("/etc/passwd", journal.file(segmentName(1)));
    mkdirSync(journal.file(segmentName(2)));
    execFileSync("mkfifo", [journal.file(segmentName(3))]);
    mkdirSync(journal.file(segmentName(4)));
    writeFileSync(`${journal.file(segmentName(4))}/inside`, "");
    const directory = await journal.open();
    assert.deepEqual(directory.notRead, { symlink: 1, "not-a-file": 3 });
    assert.equal(await clear(directory), 3);
    assert.deepEqual(left(), [segmentName(4)]);
    assert.ok(lstatSync("/etc/passwd").isFile());
    await waitFor("the rest", () => directory.notRead["not-a-file"] === 1);
    const told = journal.lines.filter(({ msg }) => /delete/.test(msg));
    assert.deepEqual(
      told.map(({ level }) => level),
      ["warn", "error"],
    );
    assert.match(told[1]?.msg ?? "", /not empty.*Remove it/);
  });

  it(
    "is deleted when it is another user's, with all of its links, if that uid writes here",
    { skip: NOT_ROOT },
    async () => {
      file(segmentName(1, STRANGE_UID), STRANGE_UID);
      const one = file(segmentName(2, STRANGE_UID), DAEMON);
      linkSync(journal.file(one), journal.file(segmentName(3, STRANGE_UID)));
      file(segmentName(4, STRANGE_UID), DAEMON, "");
      const directory = await journal.open();
      assert.equal(await clear(directory, [DAEMON]), 3);
      assert.deepEqual(left(), [segmentName(1, STRANGE_UID)]);
    },
  );

  it(
    "is not deleted with records in it where uids may be mapped: no segment of that uid has its number",
    { skip: NOT_ROOT },
    async () => {
      // A container's mail uid 61234, as the host sees it: shifted, by chance to a user of the host, or without a number.
      const shifted = file(segmentName(1, STRANGE_UID), STRANGE_UID + 100_000);
      const byChance = file(segmentName(2, STRANGE_UID), DAEMON);
      const none = file(segmentName(3, STRANGE_UID), NOBODY);
      // Another uid is not mapped, which says nothing of this one.
      const own = file(segmentName(3), OWN_UID);
      const directory = await journal.open();
      assert.equal(await clear(directory, [DAEMON, NOBODY]), 0);
      assert.deepEqual(left(), [own, shifted, byChance, none].toSorted());
    },
  );

  it(
    "is not deleted with records in it when its owner is nobody whom this system knows",
    { skip: NOT_ROOT },
    async () => {
      file(segmentName(1, STRANGE_UID), STRANGE_UID);
      file(segmentName(2, STRANGE_UID), STRANGE_UID + 100_000);
      file(segmentName(3, STRANGE_UID), NOBODY);
      file(segmentName(4, STRANGE_UID), NOBODY, "");
      const directory = await journal.open();
      assert.equal(await clear(directory, [STRANGE_UID + 100_000, NOBODY]), 1, "the empty one");
      assert.equal(left().length, 3);
    },
  );

  it("is not deleted when its owner is the uid in its name, whatever else is wrong", { skip: NOT_ROOT }, async () => {
    file(segmentName(1, DAEMON), DAEMON);
    linkSync(journal.file(segmentName(1, DAEMON)), journal.file(segmentName(2, DAEMON)));
    file(segmentName(3, DAEMON), DAEMON, "");
    const directory = await journal.open();
    assert.equal(directory.notRead["hard-links"], 2);
    assert.equal(await clear(directory, [DAEMON]), 0);
    assert.equal(left().length, 3);
  });

  it("is deleted though there be 52,560, and that is one line in the log", { skip: NOT_ROOT }, async () => {
    file(segmentName(1, STRANGE_UID), STRANGE_UID);
    const first = journal.file(file(segmentName(10, STRANGE_UID), DAEMON));
    for (let bucket = 11; bucket < 52_570; bucket++) linkSync(first, journal.file(segmentName(bucket, STRANGE_UID)));
    const directory = await journal.open();
    assert.equal(await clear(directory, [DAEMON]), 52_560);
    assert.equal(left().length, 1);
    assert.equal(journal.lines.filter(({ msg }) => /^(not reading|deleted) /.test(msg)).length, 2);
  });
});
