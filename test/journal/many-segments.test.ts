import assert from "node:assert/strict";
import { chownSync, readdirSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { EventRecord } from "../../src/journal/stretch.ts";
import { Tail } from "../../src/journal/tail.ts";
import { line, NOT_ROOT, segmentName, TestJournal } from "../helpers/journal.ts";
import { waitFor } from "../helpers/wait.ts";

let journal: TestJournal;

beforeEach(() => {
  journal = new TestJournal();
});
afterEach(() => journal.remove());

/** Seconds of processor time that `work` took, which other processes do not change much. */
async function secondsOf(work: () => Promise<void>): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

describe("a great many segments", () => {
  it("are opened and read in seconds: 100,000 of one writer", async () => {
    const count = 100_000;
    const text = line();
    for (let bucket = 0; bucket < count; bucket++) writeFileSync(journal.file(segmentName(bucket)), text);
    const took = await secondsOf(async () => {
      const reader = await journal.read();
      assert.equal(reader.records.length, count);
    });
    assert.ok(took < 15, `${took} s`);
    const openFiles = readdirSync("/proc/self/fd").length;
    assert.ok(openFiles < 200, `${openFiles} files open`);
  });

  it("do not slow one another down: 20,000 writers", { skip: NOT_ROOT }, async () => {
    const count = 20_000;
    const uids = Array.from({ length: count }, (_, n) => 100_000 + n);
    for (const uid of uids) {
      const file = journal.file(segmentName(1, uid));
      writeFileSync(file, line());
      chownSync(file, uid, uid);
    }
    const took = await secondsOf(async () => {
      const reader = await journal.read(undefined, uids);
      assert.equal(reader.records.length, count);
    });
    assert.ok(took < 5, `${took} s`);
  });

  it("may come newest first: they are read oldest first all the same", async () => {
    const count = 10_000;
    const directory = await journal.open();
    const tail = new Tail(directory, undefined, () => {}, journal.log);
    const records: EventRecord[] = [];
    const took = await secondsOf(async () => {
      for (let bucket = count; bucket > 0; bucket--) {
        writeFileSync(journal.file(segmentName(bucket)), line({ ts: count + bucket }));
        if (bucket % 100 === 0) await new Promise(setImmediate);
      }
      await waitFor("all segments", () => tail.unread().unreadBytes === count * line({ ts: count }).length);
      while (tail.behind) tail.read(records);
    });
    tail.close();
    assert.equal(records.length, count);
    assert.ok(records.every(({ event }, index) => event?.ts === count + index + 1));
    assert.ok(took < 5, `${took} s`);
  });
});
