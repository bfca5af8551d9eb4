import assert from "node:assert/strict";
import fs, { rmSync, statSync, utimesSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { afterEach, beforeEach, describe, it, type TestContext } from "node:test";
import { line, segmentName, TestJournal, type Reader } from "../helpers/journal.ts";
import { waitFor } from "../helpers/wait.ts";

const SEGMENT = segmentName(100);
/** Files that the directory keeps open, and one more. */
const MANY = 65;

let journal: TestJournal;

beforeEach(() => {
  journal = new TestJournal();
});
afterEach(() => {
  journal.remove();
});

/** What a kernel or file system without a time of birth has in its place. */
const births = {
  "no time of birth": () => 0n,
  "the time of the last change for the time of birth": (stats: fs.BigIntStats) => stats.ctimeNs,
} as const;

/**
 * A file system with such births for as long as the test lasts; every file has the same inode, which is what a file gets
 * that is made after another was deleted.
 */
function useFileSystem(t: TestContext, birthOf: (stats: fs.BigIntStats) => bigint, inode?: bigint): void {
  for (const name of ["lstatSync", "fstatSync"] as const) {
    const stat = fs[name] as (file: unknown, options: { bigint: true }) => fs.BigIntStats;
    t.mock.method(fs, name, (file: unknown, options: { bigint: true }) => {
      const stats = stat(file, options);
      stats.birthtimeNs = birthOf(stats);
      if (inode !== undefined) stats.ino = inode;
      return stats;
    });
  }
  syncBuiltinESMExports();
  t.after(() => {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  });
}

/** Reads so many other segments that the one of the test is not kept open. */
async function closeSegment(reader: Reader): Promise<void> {
  const before = reader.records.length;
  for (let bucket = 1_000; bucket < 1_000 + MANY; bucket++)
    journal.append(segmentName(bucket), line({ user: "other" }));
  await waitFor("the other segments", () => reader.records.length === before + MANY);
}

function usersOf(reader: Reader): string[] {
  return reader.users.filter((user) => user !== "other");
}

for (const [what, birthOf] of Object.entries(births)) {
  describe(`a file system with ${what}`, () => {
    it("has each record told once, while its segment grows and after a restart", async (t) => {
      useFileSystem(t, birthOf);
      journal.append(SEGMENT, line({ user: "a" }));
      const reader = await journal.read();
      journal.append(SEGMENT, line({ user: "b" }));
      await waitFor("the second record", () => reader.records.length >= 2);
      await closeSegment(reader);
      journal.append(SEGMENT, line({ user: "c" }));
      await waitFor("the third record", () => reader.users.includes("c"));
      assert.deepEqual(usersOf(reader), ["a", "b", "c"]);
      for (const { stretch, index } of reader.records) reader.tail.answer(stretch, index);
      const cursor = reader.tail.cursor();
      journal.close();
      journal.append(SEGMENT, line({ user: "d" }));
      assert.deepEqual((await journal.read(cursor)).users, ["d"]);
    });

    const replacements = {
      longer: line({ user: "new", uids: "12345" }) + line({ user: "next" }),
      shorter: line({ user: "n" }),
      "equally long": line({ user: "new" }),
    };
    for (const [size, text] of Object.entries(replacements)) {
      const users = text.split("\n").flatMap((record) => /"user":"(\w+)"/.exec(record)?.[1] ?? []);

      it(`has a segment that is replaced by a ${size} one with its inode read from the start`, async (t) => {
        useFileSystem(t, birthOf, 7n);
        journal.append(SEGMENT, line({ user: "old" }));
        const reader = await journal.read();
        await closeSegment(reader);
        rmSync(journal.file(SEGMENT));
        journal.append(SEGMENT, text);
        // The clock of file systems is a coarse one.
        utimesSync(journal.file(SEGMENT), 1, 1);
        await waitFor("the new records", () => usersOf(reader).length > users.length);
        assert.deepEqual(usersOf(reader), ["old", ...users]);
      });

      it(`has one that was replaced by a ${size} one while the daemon was away read from the start`, async (t) => {
        useFileSystem(t, birthOf, 7n);
        journal.append(SEGMENT, line({ user: "old" }));
        const reader = await journal.read();
        for (const { stretch, index } of reader.records) reader.tail.answer(stretch, index);
        const cursor = reader.tail.cursor();
        journal.close();
        rmSync(journal.file(SEGMENT));
        journal.append(SEGMENT, text);
        assert.deepEqual((await journal.read(cursor)).users, users);
      });
    }
  });
}

describe("the identity of a segment", () => {
  it("in a cursor that a daemon before this one saved is its inode and birth: nothing is told again", async () => {
    journal.append(SEGMENT, line({ user: "a" }));
    const offset = line({ user: "a" }).length;
    journal.append(SEGMENT, line({ user: "b" }));
    const { ino, birthtimeNs } = statSync(journal.file(SEGMENT), { bigint: true });
    const reader = await journal.read(new Map([[SEGMENT, { identity: `${ino}:${birthtimeNs}`, offset }]]));
    assert.deepEqual(reader.users, ["b"]);
    const cursor = reader.tail.cursor();
    journal.close();
    assert.deepEqual((await journal.read(cursor)).users, ["b"]);
    journal.close();
    const other = new Map([[SEGMENT, { identity: `${ino + 1n}:${birthtimeNs}`, offset }]]);
    assert.deepEqual((await journal.read(other)).users, ["a", "b"]);
  });

  it("holds while its first record is being written", async () => {
    const text = line({ user: "a" });
    const reader = await journal.read();
    journal.append(SEGMENT, "");
    await waitFor("the empty segment", () => reader.directory.segments.has(SEGMENT));
    for (const [from, to] of [
      [0, 20],
      [20, 70],
      [70, text.length],
    ] as const) {
      journal.append(SEGMENT, text.slice(from, to));
      await waitFor("its growth", () => reader.directory.segments.get(SEGMENT)?.size === to);
      await closeSegment(reader);
    }
    journal.append(SEGMENT, line({ user: "b" }));
    await waitFor("the second record", () => reader.users.includes("b"));
    assert.deepEqual(usersOf(reader), ["a", "b"]);
    for (const { stretch, index } of reader.records) reader.tail.answer(stretch, index);
    const cursor = reader.tail.cursor();
    journal.close();
    assert.deepEqual((await journal.read(cursor)).users, []);
  });
});
