import assert from "node:assert/strict";
import { chownSync, existsSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { EventRecord } from "../../src/journal/stretch.ts";
import { Retention } from "../../src/journal/retention.ts";
import { BUCKET_SECONDS } from "../../src/journal/segment.ts";
import { line, NOT_ROOT, type Reader, segmentName, STRANGE_UID, TestJournal } from "../helpers/journal.ts";
import { waitFor } from "../helpers/wait.ts";

const HOUR = 3_600_000;
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

function retentionOf(reader: Reader): Retention {
  return new Retention(reader.directory, HOUR, (segment) => reader.tail.isPast(segment), journal.log);
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
    for (const record of reader.records) reader.tail.answer(record.stretch, record.index);
    assert.equal(retentionOf(reader).sweep(NOW), 2);
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
    const retention = retentionOf(reader);
    reader.tail.answer(b.stretch, b.index);
    assert.equal(retention.sweep(NOW), 0);
    reader.tail.answer(a.stretch, a.index);
    assert.equal(retention.sweep(NOW), 1);
  });

  it("never deletes what has not been read", async () => {
    write(OLD, line(), 3 * HOUR);
    const directory = await journal.open();
    assert.equal(new Retention(directory, HOUR, () => false, journal.log).sweep(NOW), 0);
    assert.ok(existsSync(journal.file(OLD)));
  });

  it("never deletes what is still being written, though its name be old", async () => {
    write(OLD, line({ user: "a" }), 3 * HOUR);
    const reader = await journal.read();
    for (const record of reader.records) reader.tail.answer(record.stretch, record.index);
    journal.append(OLD, line({ user: "late" }));
    touch(OLD, 3 * HOUR);
    assert.equal(retentionOf(reader).sweep(NOW), 0, "written since it was looked at");
    await waitFor("the late record", () => reader.users.includes("late"));
    for (const record of reader.records) reader.tail.answer(record.stretch, record.index);
    assert.equal(retentionOf(reader).sweep(NOW), 1);
  });

  it("deletes an old segment whose end is torn", async () => {
    write(OLD, line({ user: "a" }) + line({ user: "torn" }).slice(0, 20), 3 * HOUR);
    const reader = await journal.read();
    assert.equal(retentionOf(reader).sweep(NOW), 0);
    for (const record of reader.records) reader.tail.answer(record.stretch, record.index);
    assert.equal(retentionOf(reader).sweep(NOW), 1);
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
    await waitFor("the system to be asked", () => reader.tail.counters.untrusted === 1);
    assert.equal(retentionOf(reader).sweep(NOW), 0);
    for (const name of [foreign, lying, "README"]) assert.ok(existsSync(journal.file(name)), name);
  });

  it("leaves no trace of a deleted segment behind: the next of that name is read from its start", async () => {
    write(OLD, line({ user: "a" }), 3 * HOUR);
    const reader = await journal.read();
    for (const record of reader.records) reader.tail.answer(record.stretch, record.index);
    const segment = reader.directory.segments.get(OLD);
    assert.ok(segment !== undefined && reader.tail.isPast(segment));
    assert.equal(retentionOf(reader).sweep(NOW), 1);
    assert.equal(reader.tail.isPast(segment), false, "the reader has forgotten it");
    write(OLD, line({ user: "b" }), 0);
    await waitFor("the new segment's record", () => reader.users.includes("b"));
  });
});
