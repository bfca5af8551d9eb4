import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { LineFaults } from "../../src/journal/line-faults.ts";
import { Once } from "../../src/log.ts";
import { noSegment, TestJournal } from "../helpers/journal.ts";

let journal: TestJournal;
let counters: { malformed: number; unrecorded: number };
let faults: LineFaults;

beforeEach(() => {
  journal = new TestJournal();
  counters = { malformed: 0, unrecorded: 0 };
  faults = new LineFaults(counters, new Once(), journal.log);
});
afterEach(() => journal.remove());

const segmentOf = (uid: number): Parameters<LineFaults["add"]>[0] => ({ segment: noSegment({ uid }), malformed: 0 });
const GARBAGE = { reason: "garbage" };

describe("lines that are no records", () => {
  it("are all counted; five of a segment are logged, and the last of them says so", () => {
    const of = segmentOf(5);
    for (let line = 0; line < 9; line++) faults.add(of, line, GARBAGE);
    assert.deepEqual(counters, { malformed: 9, unrecorded: 0 });
    assert.deepEqual(
      journal.lines.map(({ level, offset }) => [level, offset]),
      [0, 1, 2, 3, 4].map((offset) => ["warn", offset]),
    );
    assert.match(journal.lines.at(-1)?.msg ?? "", /skipped: garbage\. Further ones in this segment are only counted$/);
  });

  it("are logged fifty times in an hour, however many segments a uid has", () => {
    for (let segment = 0; segment < 1_000; segment++) faults.add(segmentOf(5), 0, GARBAGE);
    assert.equal(counters.malformed, 1_000);
    assert.equal(journal.lines.length, 50);
    faults.add(segmentOf(6), 0, GARBAGE);
    assert.equal(journal.lines.length, 51, "another uid");
  });

  it("that stand for a change which was not recorded are counted by themselves, and an error once for a uid", () => {
    for (const uid of [5, 5, 6]) faults.add(segmentOf(uid), 0, { code: "ERR_RECORD_LOST", reason: "lost" });
    assert.deepEqual(counters, { malformed: 0, unrecorded: 3 });
    assert.deepEqual(
      journal.lines.map(({ level }) => level),
      ["error", "error"],
    );
  });

  it("that are records and cannot be believed are an error, once for each reason", () => {
    for (const reason of ["no user", "no user", "no uids"]) faults.add(segmentOf(5), 0, { code: "ERR_RECORD", reason });
    assert.equal(counters.malformed, 3);
    assert.deepEqual(
      journal.lines.map(({ level }) => level),
      ["error", "error"],
    );
  });
});
