import assert from "node:assert/strict";
import fs, { appendFileSync, chownSync, existsSync, writeFileSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { JournalDirectory } from "../../src/journal/directory.ts";
import { BUCKET_SECONDS, type Segment } from "../../src/journal/segment.ts";
import { SizeLimit } from "../../src/journal/size-limit.ts";
import type { EventRecord } from "../../src/journal/stretch.ts";
import { Tail } from "../../src/journal/tail.ts";
import { line, NOT_ROOT, OWN_UID, segmentName, STRANGE_UID, TestJournal } from "../helpers/journal.ts";
import { waitFor } from "../helpers/wait.ts";

const NOW = Date.now();
const CURRENT = Math.floor(NOW / 1000 / BUCKET_SECONDS);
const KIB = 1024;
const MALLORY = STRANGE_UID;
const ANNA = STRANGE_UID + 1;

let journal: TestJournal;

beforeEach(() => {
  journal = new TestJournal();
});
afterEach(() => journal.remove());

/** Writes a segment of this uid and size, that was begun this many buckets ago. @returns its name */
function write(ago: number, kib: number, uid = OWN_UID): string {
  const name = segmentName(CURRENT - ago, uid);
  const record = line({ user: `u${uid}`, pad: "" });
  const padded = record.replace('"pad":""', `"pad":"${"x".repeat(KIB - record.length)}"`);
  writeFileSync(journal.file(name), padded.repeat(kib));
  if (uid !== OWN_UID) chownSync(journal.file(name), uid, uid);
  return name;
}

const isThere = (name: string): boolean => existsSync(journal.file(name));

function limitOf(directory: JournalDirectory, kib: number, isPast: (segment: Segment) => boolean): SizeLimit {
  return new SizeLimit(directory, kib * KIB, isPast, journal.log);
}

const nobody = (): boolean => false;

async function reader(): Promise<{ directory: JournalDirectory; tail: Tail; missed: () => number }> {
  const directory = await journal.open();
  let missed = 0;
  const tail = new Tail(
    directory,
    undefined,
    () => {},
    journal.log,
    undefined,
    () => missed++,
  );
  return { directory, tail, missed: () => missed };
}

describe("the limit of the journal's size", () => {
  it("deletes nothing while the journal is below it", async () => {
    const names = [write(9, 10), write(0, 10)];
    const directory = await journal.open();
    assert.equal(limitOf(directory, 20, nobody).sweep(NOW), 0);
    assert.ok(names.every(isThere));
    assert.deepEqual(journal.lines, []);
  });

  it("deletes what everybody has read before what somebody has not, the oldest first", async () => {
    const unread = write(9, 10);
    const read = [write(8, 10), write(7, 10), write(6, 10)] as const;
    const directory = await journal.open();
    const limit = limitOf(directory, 25, ({ name }) => name !== unread);
    assert.equal(limit.sweep(NOW), 2);
    assert.deepEqual([unread, ...read].map(isThere), [true, false, false, true]);
    assert.deepEqual(journal.lines, [], "nothing is lost");
  });

  it("deletes the oldest that is not read, and says once whose it is", async () => {
    const names = [write(9, 10), write(8, 10), write(7, 10)] as const;
    const directory = await journal.open();
    assert.equal(limitOf(directory, 20, nobody).sweep(NOW), 1);
    assert.deepEqual(names.map(isThere), [false, true, true]);
    const [error] = journal.lines;
    assert.deepEqual([error?.level, error?.["uid"], error?.["segment"]], ["error", OWN_UID, names[0]]);
    assert.match(error?.msg ?? "", /journal\.max_size \(20480 bytes\).*before every destination has read them/);
  });

  it("never deletes the segments of the current bucket and those next to it", async () => {
    const names = [write(1, 10), write(0, 10), write(-1, 10)];
    const directory = await journal.open();
    assert.equal(limitOf(directory, 5, nobody).sweep(NOW), 0);
    assert.ok(names.every(isThere));
  });

  it("never deletes what was written to since it was looked at", async () => {
    const name = write(9, 10);
    const directory = await journal.open();
    appendFileSync(journal.file(name), line());
    assert.equal(limitOf(directory, 5, nobody).sweep(NOW), 0);
    assert.ok(isThere(name));
  });

  it("looks by itself when the journal has grown", async () => {
    const directory = await journal.open();
    const limit = limitOf(directory, 25, nobody);
    limit.start();
    try {
      const names = [write(9, 10), write(8, 10), write(7, 10)] as const;
      await waitFor("the oldest to go", () => !isThere(names[0]));
      assert.ok(isThere(names[1]) && isThere(names[2]));
    } finally {
      limit.stop();
    }
  });

  it("says how much there is, how much of it is needed, and by how much that is over half", async () => {
    const read = write(9, 10);
    write(8, 10);
    const directory = await journal.open();
    const limit = (kib: number): SizeLimit => limitOf(directory, kib, ({ name }) => name === read);
    const status = { bytes: 20 * KIB, heldBytes: 10 * KIB };
    assert.deepEqual(limit(20).status(), { ...status, maxBytes: 20 * KIB, overHalfBytes: 0 });
    assert.deepEqual(limit(10).status(), { ...status, maxBytes: 10 * KIB, overHalfBytes: 5 * KIB });
  });
});

describe("with a full journal, of several uids", { skip: NOT_ROOT }, () => {
  it("who writes most loses its oldest, and nobody else anything", async () => {
    const anna = [write(9, 5, ANNA), write(8, 5, ANNA)];
    const mallory = [write(7, 40, MALLORY), write(6, 40, MALLORY), write(5, 40, MALLORY)] as const;
    const directory = await journal.open();
    limitOf(directory, 100, nobody).sweep(NOW);
    assert.deepEqual(mallory.map(isThere), [false, true, true]);
    assert.ok(anna.every(isThere));
  });

  it("what one writes into the current bucket, which stays, costs others nothing of their share", async () => {
    const anna = [write(9, 20, ANNA), write(8, 20, ANNA)];
    const own = [write(9, 40), write(8, 40)];
    const mallory = [write(7, 10, MALLORY), write(0, 500, MALLORY)] as const;
    const directory = await journal.open();
    limitOf(directory, 200, nobody).sweep(NOW);
    assert.deepEqual(mallory.map(isThere), [false, true]);
    assert.ok([...anna, ...own].every(isThere));
  });

  it("those who speak for everybody keep seven eighths, though very many others write", async () => {
    const own = [write(9, 80), write(8, 80)];
    const others = Array.from({ length: 20 }, (_, index) => write(7, 10, MALLORY + index));
    const directory = await journal.open();
    limitOf(directory, 200, nobody).sweep(NOW);
    assert.ok(own.every(isThere));
    assert.equal(others.filter(isThere).length, 4, "what is left of 200 KiB");
  });

  it("and the others keep an eighth, though those who speak for everybody write without end", async () => {
    const own = [write(9, 150), write(8, 150)] as const;
    const others = [write(7, 10, MALLORY), write(6, 10, ANNA)];
    const directory = await journal.open();
    limitOf(directory, 200, nobody).sweep(NOW);
    assert.deepEqual(own.map(isThere), [false, true]);
    assert.ok(others.every(isThere));
  });

  it("with users of the system alone, they have all of it", async () => {
    const names = [write(9, 50, ANNA), write(8, 50, ANNA), write(7, 50, MALLORY), write(6, 50, MALLORY)];
    const directory = await journal.open();
    assert.equal(limitOf(directory, 200, nobody).sweep(NOW), 0);
    assert.ok(names.every(isThere));
  });

  it("one segment of each of very many goes only as far as need be", async () => {
    const names = Array.from({ length: 30 }, (_, index) => write(7, 10, MALLORY + index));
    const directory = await journal.open();
    assert.equal(limitOf(directory, 200, nobody).sweep(NOW), 10);
    assert.equal(names.filter(isThere).length, 20);
  });
});

describe("a reader of which the journal deletes what it has not read", () => {
  it("counts the bytes that it had not read, and blames nobody else", async () => {
    write(9, 10);
    write(8, 10);
    const { directory, tail, missed } = await reader();
    limitOf(directory, 10, (segment) => tail.isPast(segment)).sweep(NOW);
    assert.deepEqual([tail.counters.fullBytes, tail.counters.lostBytes, missed()], [10 * KIB, 0, 1]);
    assert.ok(journal.lines.every(({ msg }) => !msg.includes("somebody else")));
    tail.close();
  });

  it("counts what it had put away, and neither what is in memory nor what is answered", async () => {
    write(9, 10);
    write(8, 1);
    const { directory, tail } = await reader();
    const records: EventRecord[] = [];
    tail.read(records);
    assert.equal(records.length, 10);
    for (const { stretch, index } of records.slice(0, 4)) stretch.unload(index);
    const [first, , third] = records as [EventRecord, EventRecord, EventRecord];
    tail.answer(first.stretch, first.index);
    tail.answer(third.stretch, third.index);
    limitOf(directory, 5, (segment) => tail.isPast(segment)).sweep(NOW);
    assert.equal(tail.counters.fullBytes, 2 * KIB);
    assert.equal(tail.unanswered, 8, "what is in memory goes on");
    tail.close();
  });

  it("counts also what is put away after its file has gone", async () => {
    write(9, 10);
    const { directory, tail, missed } = await reader();
    const records: EventRecord[] = [];
    tail.read(records);
    limitOf(directory, 5, (segment) => tail.isPast(segment)).sweep(NOW);
    assert.equal(tail.counters.fullBytes, 0);
    const [record] = records as [EventRecord];
    record.stretch.unload(record.index);
    tail.parked(record);
    assert.deepEqual([tail.counters.fullBytes, missed()], [KIB, 1]);
    tail.close();
  });

  it("loses it also where it could not read it", async (t) => {
    const name = write(9, 10);
    const directory = await journal.open();
    t.mock.method(fs, "openSync", () => {
      throw Object.assign(new Error("no"), { code: "EACCES" });
    });
    syncBuiltinESMExports();
    limitOf(directory, 5, nobody).sweep(NOW);
    t.mock.restoreAll();
    syncBuiltinESMExports();
    assert.equal(isThere(name), false);
  });
});
