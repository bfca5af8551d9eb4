import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chownSync, readdirSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { EventRecord } from "../../src/journal/stretch.ts";
import { Tail } from "../../src/journal/tail.ts";
import { line, NOT_ROOT, segmentName, TestJournal } from "../helpers/journal.ts";
import { waitFor } from "../helpers/wait.ts";

let journal: TestJournal;

function userInfoOf(uid: number): string {
  return execFileSync("getent", ["passwd", String(uid)], { encoding: "utf8" }).split(":", 1)[0] ?? "";
}

beforeEach(() => {
  journal = new TestJournal();
});
afterEach(() => journal.remove());

/** Seconds of processor time that `work` took, which other processes do not change much. */
async function secondsOf(work: () => Promise<void> | void): Promise<number> {
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

  it(
    "are 10,000 at once of a uid that is no mail user's: the others are counted, and read when these are gone",
    { skip: NOT_ROOT },
    async () => {
      const uid = 1;
      const user = userInfoOf(uid);
      const make = (bucket: number): void => {
        const file = journal.file(segmentName(bucket, uid));
        writeFileSync(file, line({ user }));
        chownSync(file, uid, uid);
      };
      for (let bucket = 1; bucket <= 10_050; bucket++) make(bucket);
      const reader = await journal.read();
      await reader.tail.settled();
      assert.equal(reader.directory.notRead["too-many"], 50);
      // No more than its share is read before these are answered.
      let answered = 0;
      const answerAll = (): number => {
        for (; answered < reader.records.length; answered++) {
          const { stretch, index } = reader.records[answered] as EventRecord;
          reader.tail.answer(stretch, index);
        }
        return answered;
      };
      await waitFor("all others", () => answerAll() === 10_000);
      const gone = [...reader.directory.segments.values()].filter((segment) => segment.uid === uid).slice(0, 60);
      for (const segment of gone) assert.ok(reader.directory.remove(segment));
      for (const [name] of reader.directory.filesNotRead()) reader.directory.changed(name);
      await waitFor("the rest", () => answerAll() === 10_050);
      assert.deepEqual(reader.directory.notRead, {});
    },
  );

  it("may come newest first: they are read oldest first all the same", async () => {
    const count = 10_000;
    const directory = await journal.open();
    const tail = new Tail(directory, undefined, () => {}, journal.log);
    const records: EventRecord[] = [];
    // What it costs to make the files is the file system's affair.
    let writing = 0;
    const took = await secondsOf(async () => {
      for (let bucket = count; bucket > 0; bucket -= 100) {
        writing += await secondsOf(() => {
          for (let each = bucket; each > bucket - 100; each--) {
            writeFileSync(journal.file(segmentName(each)), line({ ts: count + each }));
          }
        });
        await new Promise(setImmediate);
      }
      const bytes = count * line({ ts: count }).length;
      // To add up the bytes is work: only once all are there.
      await waitFor("all segments", () => directory.segments.size === count && tail.unread().unreadBytes === bytes);
      while (tail.behind) tail.read(records);
    });
    tail.close();
    assert.equal(records.length, count);
    assert.ok(records.every(({ event }, index) => event?.ts === count + index + 1));
    assert.ok(took - writing < 5, `${took - writing} s`);
  });
});
