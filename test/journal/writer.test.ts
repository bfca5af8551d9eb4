import assert from "node:assert/strict";
import { chownSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { EventRecord } from "../../src/journal/stretch.ts";
import { line, NOT_ROOT, OWN_UID, segmentName, STRANGE_UID, TestJournal } from "../helpers/journal.ts";
import { TestNameService } from "../helpers/name-service.ts";
import { waitFor } from "../helpers/wait.ts";

const MOST = 1_024;
const USER = "mallory";

let journal: TestJournal;
let names: TestNameService;
beforeEach(() => {
  journal = new TestJournal();
  names = new TestNameService({ [USER]: STRANGE_UID });
});
afterEach(() => {
  journal.remove();
  names.remove();
});

/** A segment of a uid that speaks for one user only. */
function segmentOf(bucket: number, text: string): void {
  const file = journal.file(segmentName(bucket, STRANGE_UID));
  writeFileSync(file, text);
  chownSync(file, STRANGE_UID, STRANGE_UID);
}

const linesOf = (user: string, count: number): string =>
  Array.from({ length: count }, (_, n) => line({ user, uids: String(n + 1) })).join("");

const isHis = ({ stretch }: EventRecord): boolean => stretch.segment.uid === STRANGE_UID;

describe("a writer who is not trusted", { skip: NOT_ROOT }, () => {
  it("has 1,024 records read, and more when half of them are answered; all others are read meanwhile", async () => {
    segmentOf(1, linesOf(USER, 3_000));
    segmentOf(2, linesOf(USER, 500));
    const reader = await journal.read();
    await reader.tail.settled();
    const his = (): EventRecord[] => reader.records.filter(isHis);
    await waitFor("his first records", () => his().length === MOST);
    assert.equal(reader.tail.behind, false, "nothing to do until he has answers");

    journal.append(segmentName(1), linesOf("jdoe", 5_000));
    await waitFor("the records of another", () => reader.records.length === MOST + 5_000);
    assert.equal(his().length, MOST);

    const answer = (records: readonly EventRecord[]): void => {
      for (const { stretch, index } of records) reader.tail.answer(stretch, index);
    };
    answer(his().slice(0, MOST / 2 - 1));
    assert.equal(his().length, MOST);
    answer(his().slice(MOST / 2 - 1, MOST / 2));
    await waitFor("his next records", () => his().length === MOST + MOST / 2);
    let answered = MOST / 2;
    while (answered < 3_500) {
      await waitFor("more of his", () => his().length > answered);
      const now = his();
      answer(now.slice(answered));
      answered = now.length;
    }
    assert.deepEqual(
      his().map(({ event }) => Number((event as { uids?: string } | undefined)?.uids)),
      [...Array.from({ length: 3_000 }, (_, n) => n + 1), ...Array.from({ length: 500 }, (_, n) => n + 1)],
    );
    assert.equal(reader.tail.unread().unreadBytes, 0);
  });

  it("waits for each answer of a record that needs several", async () => {
    segmentOf(1, linesOf(USER, MOST - 1));
    const reader = await journal.read();
    await reader.tail.settled();
    await waitFor("his records", () => reader.records.length === MOST - 1);
    const [first] = reader.records as [EventRecord];
    first.stretch.split(first.index, 100);
    segmentOf(2, linesOf(USER, 1));
    journal.append(segmentName(1), linesOf("jdoe", 1));
    await waitFor("the record of another", () => reader.records.length === MOST);
    assert.equal(reader.records.at(-1)?.stretch.segment.uid, OWN_UID);
    for (const { stretch, index } of reader.records.slice(1, MOST - 1)) reader.tail.answer(stretch, index);
    await waitFor("his last record", () => reader.records.length === MOST + 1);
    assert.equal(first.stretch.writer.pending, 101);
    for (let answers = 0; answers < 200; answers++) reader.tail.answer(first.stretch, first.index);
    assert.equal(first.stretch.writer.pending, 1, "an answer too many is none");
  });

  it("is held no longer when it has become one who is", async () => {
    segmentOf(1, linesOf(USER, MOST + 10));
    const reader = await journal.read();
    await reader.tail.settled();
    await waitFor("his first records", () => reader.records.length === MOST);
    reader.directory.owners.speaksForAll = () => true;
    assert.equal(reader.records[0]?.stretch.writer.trusted, true);
    for (const { stretch, index } of reader.records.slice(0, MOST / 2)) reader.tail.answer(stretch, index);
    await waitFor("the others", () => reader.records.length === MOST + 10);
  });
});
