import assert from "node:assert/strict";
import { chownSync, existsSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { EventRecord } from "../../src/journal/stretch.ts";
import { Retention } from "../../src/journal/retention.ts";
import { BUCKET_SECONDS } from "../../src/journal/segment.ts";
import { line, noSegment, NOT_ROOT, type Reader, segmentName, STRANGE_UID, TestJournal } from "../helpers/journal.ts";
import { waitFor } from "../helpers/wait.ts";

const HOUR = 3_600_000;
const YEAR = 365 * 24 * HOUR;
const NOW = Date.now();
const OLD = segmentName(bucketOf(NOW - 3 * HOUR));

let journal: TestJournal;

beforeEach(() => {
  journal = new TestJournal();
});
afterEach(() => journal.remove());

function bucketOf(ms: number): number {
  return Math.floor(ms / 1000 / BUCKET_SECONDS);
}

/** Writes a segment that was last written `ageMs` ago. */
function write(name: string, text: string, ageMs: number): void {
  writeFileSync(journal.file(name), text);
  touch(name, ageMs);
}

function touch(name: string, ageMs: number): void {
  utimesSync(journal.file(name), (NOW - ageMs) / 1000, (NOW - ageMs) / 1000);
}

function answerAll({ records, tail }: Reader): void {
  for (const { stretch, index } of records) tail.answer(stretch, index);
}

/** Deletes what is to be deleted `laterMs` from now, when the wall clock has been set by `setMs` besides. */
function sweep({ directory, tail }: Reader, laterMs = 0, setMs = 0): number {
  const retention = new Retention(directory, HOUR, (segment) => tail.isPast(segment), journal.log);
  return retention.sweep(performance.now() + laterMs, Date.now() + laterMs + setMs);
}

describe("retention", () => {
  it("deletes a segment when everybody is past it and it is old, by its name and by its last write", async () => {
    const young = segmentName(bucketOf(NOW));
    const lately = segmentName(bucketOf(NOW - 4 * HOUR));
    write(OLD, line({ user: "a" }), 3 * HOUR);
    write(young, line({ user: "b" }), 3 * HOUR);
    write(lately, line({ user: "c" }), HOUR / 2);
    write(segmentName(1), "", 3 * HOUR);
    const reader = await journal.read();
    answerAll(reader);
    assert.equal(sweep(reader), 2);
    assert.deepEqual(
      [OLD, segmentName(1), young, lately].map((name) => existsSync(journal.file(name))),
      [false, false, true, true],
    );
    assert.deepEqual([...reader.tail.cursor().keys()].toSorted(), [young, lately].toSorted());
    assert.equal(reader.directory.segments.size, 2);
  });

  it("never deletes what is not answered", async () => {
    write(OLD, line({ user: "a" }) + line({ user: "b" }), 3 * HOUR);
    const reader = await journal.read();
    const [a, b] = reader.records as [EventRecord, EventRecord];
    reader.tail.answer(b.stretch, b.index);
    assert.equal(sweep(reader), 0);
    reader.tail.answer(a.stretch, a.index);
    assert.equal(sweep(reader), 1);
  });

  it("never deletes what has not been read", async () => {
    write(OLD, line(), 3 * HOUR);
    const directory = await journal.open();
    assert.equal(new Retention(directory, HOUR, () => false, journal.log).sweep(performance.now(), NOW), 0);
    assert.ok(existsSync(journal.file(OLD)));
  });

  it("never deletes what is still being written, though its name be old", async () => {
    write(OLD, line({ user: "a" }), 3 * HOUR);
    const reader = await journal.read();
    answerAll(reader);
    journal.append(OLD, line({ user: "late" }));
    touch(OLD, 3 * HOUR);
    assert.equal(sweep(reader), 0, "written since it was looked at");
    await waitFor("the late record", () => reader.users.includes("late"));
    answerAll(reader);
    assert.equal(sweep(reader), 0, "its last write has just been seen, whatever the file's date is");
    assert.equal(sweep(reader, HOUR + 1_000), 1);
  });

  it("deletes an old segment whose end is torn", async () => {
    write(OLD, line({ user: "a" }) + line({ user: "torn" }).slice(0, 20), 3 * HOUR);
    const reader = await journal.read();
    assert.equal(sweep(reader), 0);
    answerAll(reader);
    assert.equal(sweep(reader), 1);
  });

  it("never deletes what it does not trust", { skip: NOT_ROOT }, async () => {
    const foreign = segmentName(bucketOf(NOW - 3 * HOUR), STRANGE_UID);
    write(foreign, line({ user: "victim" }), 3 * HOUR);
    chownSync(journal.file(foreign), STRANGE_UID, STRANGE_UID);
    const lying = segmentName(5, 7777);
    write(lying, line({ user: "victim" }), 3 * HOUR);
    symlinkSync("/etc/passwd", journal.file(segmentName(6)));
    writeFileSync(journal.file("README"), "not a segment");
    const reader = await journal.read();
    await waitFor("the segment to be left", () => reader.tail.unread().leftSegments === 1);
    assert.equal(sweep(reader), 0);
    for (const name of [foreign, lying, "README"]) assert.ok(existsSync(journal.file(name)), name);
  });

  it("leaves no trace of a deleted segment behind: the next of that name is read from its start", async () => {
    write(OLD, line({ user: "a" }), 3 * HOUR);
    const reader = await journal.read();
    answerAll(reader);
    const segment = reader.directory.segments.get(OLD);
    assert.ok(segment !== undefined && reader.tail.isPast(segment));
    assert.equal(sweep(reader), 1);
    assert.equal(reader.tail.isPast(segment), false, "the reader has forgotten it");
    write(OLD, line({ user: "b" }), 0);
    await waitFor("the new segment's record", () => reader.users.includes("b"));
  });

  it("keeps what is done with for its time, though the clock be set ahead", async () => {
    const reader = await journal.read();
    const name = segmentName(bucketOf(NOW));
    journal.append(name, line({ user: "a" }));
    await waitFor("the record", () => reader.records.length === 1);
    answerAll(reader);
    assert.equal(sweep(reader, 0, YEAR), 0);
    assert.equal(sweep(reader, HOUR / 2, YEAR), 0);
    assert.equal(sweep(reader, HOUR + 1_000, YEAR), 1);
  });

  it("deletes also what was written while the clock was years ahead, and years back", async () => {
    const ahead = segmentName(bucketOf(NOW + YEAR));
    const back = segmentName(bucketOf(NOW - YEAR));
    write(ahead, line({ user: "a" }), -YEAR);
    const reader = await journal.read();
    write(back, line({ user: "b" }), YEAR);
    await waitFor("both records", () => reader.records.length === 2);
    answerAll(reader);
    assert.equal(sweep(reader), 0, "nobody knows how old the one is, and the other has just come");
    assert.equal(sweep(reader, HOUR + 1_000), 2);
    assert.deepEqual([existsSync(journal.file(ahead)), existsSync(journal.file(back))], [false, false]);
  });

  it("deletes an empty segment of another time than now after a minute, though its bucket be far in the future", async () => {
    const far = segmentName(900_000_000_000);
    const soon = segmentName(bucketOf(NOW) + 1);
    write(far, "", 0);
    write(soon, "", 0);
    write(OLD, line(), 0);
    const reader = await journal.read();
    answerAll(reader);
    assert.deepEqual([...reader.tail.cursor().keys()], [OLD], "what is empty has no place");
    assert.equal(sweep(reader, 59_000), 0);
    assert.equal(sweep(reader, 62_000), 1);
    assert.deepEqual(
      [far, soon, OLD].map((name) => existsSync(journal.file(name))),
      [false, true, true],
    );
    write(soon, line({ user: "late" }), 0);
    await waitFor("what is written to an empty one", () => reader.users.includes("late"));
  });

  it("leaves the segment that is being written to now, though it be quiet", async () => {
    write(OLD, line({ user: "a" }), 3 * HOUR);
    const reader = await journal.read();
    answerAll(reader);
    assert.equal(sweep(reader, 0, -3 * HOUR), 0, "the clock was set back to its time");
    assert.equal(sweep(reader), 1);
  });

  it("left to itself keeps a segment for a day, and for an hour when there are 20,000", async () => {
    const directory = await journal.open();
    const now = performance.now();
    for (let bucket = 1; bucket <= 20_000; bucket++) {
      const name = segmentName(bucket);
      directory.segments.set(name, noSegment({ name, bucket, size: 1, writtenAt: now - 2 * HOUR }));
    }
    const sweepAll = (laterMs: number): number =>
      new Retention(directory, undefined, () => true, journal.log).sweep(now + laterMs, NOW);
    assert.equal(sweepAll(0), 2_000, "as many as go at once");
    assert.equal(sweepAll(21 * HOUR), 0);
    assert.equal(sweepAll(23 * HOUR), 2_000);
  });
});
