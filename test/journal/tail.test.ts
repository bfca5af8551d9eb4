import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  closeSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { afterEach, beforeEach, describe, it, type TestContext } from "node:test";
import fc from "fast-check";
import type { MailboxEvent } from "../../src/events/event.ts";
import type { EventRecord } from "../../src/journal/stretch.ts";
import { Tail } from "../../src/journal/tail.ts";
import { takeDescriptors } from "../helpers/descriptors.ts";
import { line, NOT_ROOT, OWN_UID, segmentName, STRANGE_UID, TestJournal } from "../helpers/journal.ts";
import { TestNameService } from "../helpers/name-service.ts";
import { waitFor } from "../helpers/wait.ts";

const SEGMENT = segmentName(100);
/** Another uid that has no name in the system. */
const OTHER_UID = STRANGE_UID + 1;

let journal: TestJournal;

beforeEach(() => {
  journal = new TestJournal();
});
afterEach(() => journal.remove());

/** A record of exactly `bytes` bytes, its newline not counted. */
function lineOf(bytes: number, user: string): string {
  const bare = line({ user, subject: "" });
  return line({ user, subject: "s".repeat(bytes - Buffer.byteLength(bare) + 1) });
}

/** Gives a segment to another user, as one that this user wrote. */
function segmentOf(uid: number, bucket: number, text: string): string {
  const name = segmentName(bucket, uid);
  writeFileSync(journal.file(name), text);
  chownSync(journal.file(name), uid, uid);
  return name;
}

/** Records of so many users, more than a second apart. */
function linesOf(name: string, count: number): string {
  return Array.from({ length: count }, (_, n) => line({ user: `${name}${n}`, ts: n * 2e6 })).join("");
}

function uidOf(user: string): number {
  return Number(execFileSync("id", ["-u", user], { encoding: "utf8" }));
}

function answerAll(records: readonly EventRecord[], tail: Tail): void {
  for (const { stretch, index } of records) tail.answer(stretch, index);
}

describe("reading the journal", () => {
  it("yields what is there, and then what comes", async () => {
    journal.append(SEGMENT, line({ user: "a" }) + line({ user: "b" }));
    const reader = await journal.read();
    assert.deepEqual(reader.users, ["a", "b"]);
    journal.append(SEGMENT, line({ user: "c" }));
    await waitFor("the third record", () => reader.records.length === 3);
    const [, second] = reader.records;
    assert.equal(second?.offset, line({ user: "a" }).length);
    assert.equal(second?.stretch.segment.name, SEGMENT);
    assert.equal(second?.event?.ts, 1);
  });

  it("follows a writer from bucket to bucket, the oldest first", async () => {
    for (const bucket of [1000, 99, 98, 101]) journal.append(segmentName(bucket), line({ user: `u${bucket}` }));
    const reader = await journal.read();
    assert.deepEqual(reader.users, ["u98", "u99", "u101", "u1000"]);
    journal.append(segmentName(1001), line({ user: "u1001" }));
    await waitFor("the new segment", () => reader.users.includes("u1001"));
  });

  it("reads segments with names of their own, and in one bucket before the usual one, which was not free before", async () => {
    journal.append(segmentName(7), line({ user: "c" }));
    journal.append(segmentName(7).replace("ndjson", "00112233445566ff.ndjson"), line({ user: "b" }));
    journal.append(segmentName(6), line({ user: "a" }));
    const reader = await journal.read();
    assert.deepEqual(reader.users, ["a", "b", "c"]);
    journal.append(segmentName(7).replace("ndjson", "ff00112233445566.ndjson"), line({ user: "d" }));
    await waitFor("what comes", () => reader.users.length === 4);
  });

  it("reads what a clock that stepped back appends to an old bucket", async () => {
    journal.append(segmentName(100), line({ user: "old" }));
    journal.append(segmentName(200), line({ user: "new" }));
    const reader = await journal.read();
    journal.append(segmentName(100), line({ user: "back" }));
    journal.append(segmentName(50), line({ user: "far back" }));
    await waitFor("all records", () => reader.records.length === 4);
    assert.deepEqual(reader.users.slice(0, 2), ["old", "new"]);
    assert.deepEqual(reader.users.slice(2).toSorted(), ["back", "far back"]);
  });

  it("goes on after a restart with what was not answered", async () => {
    journal.append(SEGMENT, ["a", "b", "c", "d"].map((user) => line({ user })).join(""));
    const before = await journal.read();
    const [a, b, c, d] = before.records as [EventRecord, EventRecord, EventRecord, EventRecord];
    answerAll([a, c], before.tail);
    assert.equal(before.tail.unanswered, 2);
    const cursor = before.tail.cursor();
    journal.close();
    journal.append(SEGMENT, line({ user: "e" }));

    const again = await journal.read(cursor);
    assert.deepEqual(again.users, ["b", "d", "e"]);
    assert.deepEqual(
      again.records.map(({ stretch, offset }) => [stretch.segment.name, offset]).slice(0, 2),
      [b, d].map(({ stretch, offset }) => [stretch.segment.name, offset]),
      "a record has the same id after a restart",
    );
  });

  it("counts an answer once", async () => {
    journal.append(SEGMENT, line({ user: "a" }) + line({ user: "b" }));
    const { records, tail } = await journal.read();
    const [a] = records as [EventRecord];
    answerAll([a, a, a], tail);
    assert.equal(tail.unanswered, 1);
  });

  it("reads a put-away event again from the journal", async () => {
    journal.append(SEGMENT, line({ user: "a" }) + lineOf(65_536, "b") + line({ user: "c" }));
    const { records, tail } = await journal.read();
    for (const record of records) {
      const { event } = record;
      record.event = undefined;
      assert.deepEqual(tail.load(record), event);
    }
  });

  it("yields the same records whatever pieces the bytes were appended in", async () => {
    const text = Buffer.from(
      line({ user: "jörg", mailbox: "Entwürfe/数据🎉" }) +
        "garbage\n\n" +
        line({ user: "b" }).slice(0, 30) +
        line({ user: "c", subject: "…" }) +
        `${line({ user: "d" }).trimEnd()}\r\n` +
        line({ user: "e" }),
    );
    const reader = await journal.read();
    let bucket = 1000;
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: text.length }), { maxLength: 6 }), async (cuts) => {
        const name = segmentName(++bucket);
        const places = [0, ...cuts.toSorted((a, b) => a - b), text.length];
        const already = reader.records.length;
        for (const [index, from] of places.slice(0, -1).entries()) {
          journal.append(name, text.subarray(from, places[index + 1]));
          const size = places[index + 1] as number;
          await waitFor("the piece to be seen", () => (reader.directory.segments.get(name)?.size ?? 0) >= size);
        }
        await waitFor("every record", () => reader.records.length === already + 4);
        assert.deepEqual(reader.users.slice(already), ["jörg", "c", "d", "e"]);
      }),
      { numRuns: 60 },
    );
    assert.equal(reader.tail.unread().unreadBytes, 0);
  });

  it("finds records wherever the ends of its chunks fall", async () => {
    const chunk = 256 * 1024;
    for (const [index, shift] of [-2, -1, 0, 1, 2].entries()) {
      const first = lineOf(chunk / 4 - 1, "a");
      const filled = first.length * 3;
      const last = lineOf(chunk - filled - 1 + shift, "edge").slice(0, 70_000);
      journal.append(segmentName(index), first.repeat(3) + (shift > 0 ? line({ user: "x" }) : last) + lineOf(900, "z"));
    }
    const reader = await journal.read();
    assert.equal(reader.users.filter((user) => user === "z").length, 5);
    assert.equal(reader.tail.counters.malformed, 0);
  });

  it("takes a record of 64 KiB, and none that is longer", async () => {
    journal.append(SEGMENT, lineOf(65_536, "a") + line({ user: "b" }) + lineOf(65_537, "c") + line({ user: "d" }));
    const reader = await journal.read();
    assert.deepEqual(reader.users, ["a", "b", "d"]);
    assert.equal(reader.tail.counters.malformed, 1);
    assert.match(journal.lines.at(-1)?.msg ?? "", /a line of more than 65536 bytes/);
  });

  it("counts what could not be recorded, says so once, and goes on", async () => {
    const lost = '{"v":1,"ts":1,"event":"RecordLost","user":"jdoe","lost":"MessageNew"}\n';
    journal.append(SEGMENT, line({ user: "a" }) + lost + lost + line({ user: "b" }));
    const reader = await journal.read();
    assert.deepEqual(reader.users, ["a", "b"]);
    const { unrecorded, malformed } = reader.tail.counters;
    assert.deepEqual({ unrecorded, malformed }, { unrecorded: 2, malformed: 0 });
    assert.deepEqual(
      journal.lines.map(({ level }) => level),
      ["error"],
    );
    assert.match(journal.lines[0]?.msg ?? "", /"MessageNew" of user "jdoe" could not be recorded.*Shorten/);
  });

  it("reads every record of a burst once and in order while it is being written", async () => {
    const count = 20_000;
    const writer = `
      const { openSync, writeSync } = require("node:fs");
      for (let n = 0; n < ${count}; n++) {
        const bucket = 100 + Math.floor(n / 5000);
        const file = openSync(process.argv[1] + "/" + bucket + ".${OWN_UID}.ndjson", "a");
        writeSync(file, JSON.stringify({ v: 1, ts: n, event: "MessageNew", user: "u", mailbox: "INBOX", sep: "/" }) + "\\n");
        require("node:fs").closeSync(file);
      }`;
    const reader = await journal.read();
    const child = spawn(process.execPath, ["-e", writer, journal.path], { stdio: "inherit" });
    await once(child, "exit");
    await waitFor("the last record", () => reader.records.length >= count);
    assert.deepEqual(
      reader.records.map(({ event }) => event?.ts),
      Array.from({ length: count }, (_, n) => n),
    );
    assert.equal(reader.tail.counters.malformed, 0);
  });

  it("stops when it is closed", async () => {
    const reader = await journal.read();
    reader.tail.close();
    journal.append(SEGMENT, line());
    await waitFor("the segment to be seen", () => reader.directory.segments.size === 1);
    assert.equal(reader.tail.behind, false);
  });
});

describe("what is no record in the journal", () => {
  it("costs itself only, and is told with file and offset", async () => {
    journal.append(
      SEGMENT,
      `${line({ user: "a" })}garbage\n${line({ user: "b" })}{"v":2}\n\n{"v":1}\n${line({ user: "c" })}`,
    );
    const reader = await journal.read();
    assert.deepEqual(reader.users, ["a", "b", "c"]);
    assert.equal(reader.tail.counters.malformed, 3);
    const garbage = journal.lines.find(({ msg }) => msg.startsWith("not a record"));
    assert.equal(garbage?.level, "warn");
    assert.equal(garbage?.["segment"], SEGMENT);
    assert.equal(garbage?.["offset"], line({ user: "a" }).length);
  });

  it("but tells of a change is one error that names user and folder, however often it comes", async () => {
    const change = line({ user: "a\u0001b", mailbox: "Work" });
    journal.append(SEGMENT, change.repeat(20) + line({ user: "c", mailbox: "Work", uids: "0" }));
    const reader = await journal.read();
    assert.equal(reader.tail.counters.malformed, 21);
    assert.deepEqual(
      journal.lines.map(({ level, msg }) => [level, msg]),
      [
        ["error", 'not a record, skipped: field "user": has a control character (user "a\\u0001b", mailbox "Work")'],
        [
          "error",
          'not a record, skipped: field "uids": not a UID from 1 to 4294967295: "0" (user "c", mailbox "Work")',
        ],
      ],
    );
  });

  it("is logged five times a segment and counted always", async () => {
    journal.append(SEGMENT, "x\n".repeat(1000));
    const reader = await journal.read();
    assert.equal(reader.tail.counters.malformed, 1000);
    assert.equal(journal.lines.length, 5);
  });

  it("logs some of the malformed lines of a uid that makes many segments, and counts all", async () => {
    for (let bucket = 100; bucket < 300; bucket++) journal.append(segmentName(bucket), "garbage\n");
    const reader = await journal.read();
    assert.equal(reader.tail.counters.malformed, 200);
    assert.equal(journal.lines.filter(({ msg }) => /not a record, skipped/.test(msg)).length, 50);
  });

  it("does not take the record that follows on the same line with it", async () => {
    const torn = line({ user: "torn" }).slice(0, -20);
    journal.append(SEGMENT, line({ user: "a" }) + torn);
    const reader = await journal.read();
    journal.append(SEGMENT, line({ user: "b" }) + line({ user: "c" }));
    await waitFor("the records after the torn one", () => reader.records.length === 3);
    assert.deepEqual(reader.users, ["a", "b", "c"]);
    assert.equal(reader.records[1]?.offset, line({ user: "a" }).length + torn.length);
    const [, b] = reader.records;
    assert.ok(b !== undefined);
    b.event = undefined;
    assert.equal((reader.tail.load(b) as MailboxEvent).user, "b");
  });

  it("cannot smuggle a record in within a string", async () => {
    journal.append(SEGMENT, line({ user: "a", event: "Unknown", subject: line({ user: "root" }).trim() }));
    const reader = await journal.read();
    assert.deepEqual(reader.users, []);
    assert.equal(reader.tail.counters.malformed, 1);
  });

  it("may be 100 MB without a newline: memory stays as it is, and the record that ends it is found", async () => {
    const block = Buffer.alloc(4 * 1024 * 1024, "x");
    const file = openSync(journal.file(SEGMENT), "w");
    for (let n = 0; n < 25; n++) writeSync(file, block);
    closeSync(file);
    journal.append(SEGMENT, line({ user: "a" }) + line({ user: "b" }));
    const before = process.memoryUsage().rss;
    const reader = await journal.read();
    assert.deepEqual(reader.users, ["a", "b"]);
    assert.equal(reader.tail.counters.malformed, 1);
    const grown = process.memoryUsage().rss - before;
    assert.ok(grown < 32 * 1024 * 1024, `grew by ${grown} bytes`);
  });

  it("may be split by a restart within a long line", async () => {
    journal.append(SEGMENT, `${line({ user: "a" })}${"x".repeat(700_000)}`);
    const before = await journal.read();
    answerAll(before.records, before.tail);
    const cursor = before.tail.cursor();
    journal.close();
    const again = await journal.read(cursor);
    journal.append(SEGMENT, line({ user: "b" }) + line({ user: "c" }));
    await waitFor("the records after the long line", () => again.records.length === 2);
    assert.deepEqual(again.users, ["b", "c"]);
  });
});

describe("a segment that is not what it was", () => {
  it("is read from its new end when it has shrunk", async () => {
    journal.append(SEGMENT, line({ user: "a" }).repeat(10));
    const reader = await journal.read();
    truncateSync(journal.file(SEGMENT), 100);
    await waitFor("the warning", () => journal.lines.some(({ msg }) => msg.includes("has shrunk")));
    journal.append(SEGMENT, `\n${line({ user: "b" })}`);
    await waitFor("the record after", () => reader.users.includes("b"));
    assert.equal(reader.records.length, 11);
  });

  it("is given again from the first unanswered on, though that comes after others that were behind it", async () => {
    journal.append(SEGMENT, linesOf("old", 100));
    const before = await journal.read();
    answerAll(before.records.slice(0, 90), before.tail);
    truncateSync(journal.file(SEGMENT), 0);
    await waitFor("the warning", () => journal.lines.some(({ msg }) => msg.includes("has shrunk")));
    journal.append(SEGMENT, linesOf("new", 120));
    await waitFor("the new records", () => before.records.length === 220);
    const cursor = before.tail.cursor();
    journal.close();
    const again = await journal.read(cursor);
    assert.deepEqual(
      again.users,
      Array.from({ length: 120 }, (_, n) => `new${n}`),
    );
  });

  it("is read when it has shrunk and grown again to the size at which its last line had no end", async () => {
    const text = line({ user: "b" });
    journal.append(SEGMENT, "x".repeat(text.length));
    const reader = await journal.read();
    truncateSync(journal.file(SEGMENT), 0);
    await waitFor("the warning", () => reader.directory.segments.get(SEGMENT)?.size === 0);
    journal.append(SEGMENT, text);
    await waitFor("the record after", () => reader.users.includes("b"));
  });

  it("does not keep the reader from others for longer than a thousand lines of garbage take", async () => {
    journal.append(segmentName(1), "x\n".repeat(10_000) + line({ user: "after" }));
    const { tail } = await journal.read();
    assert.deepEqual([tail.counters.malformed, tail.counters.records], [10_000, 1]);
    const owners = await journal.open();
    const again = new Tail(owners, undefined, () => undefined, journal.log);
    const turns: number[] = [];
    const records: EventRecord[] = [];
    while (again.behind) {
      const before = again.counters.malformed;
      again.read(records);
      turns.push(again.counters.malformed - before);
    }
    assert.deepEqual([Math.max(...turns), turns.length, records.length], [1_000, 11, 1]);
    again.close();
  });

  it("cannot make the reader count what nobody will answer", async () => {
    const reader = await journal.read();
    for (let turn = 1; turn <= 3; turn++) {
      journal.append(SEGMENT, line({ user: "a" }));
      await waitFor("the record", () => reader.records.length === turn);
      truncateSync(journal.file(SEGMENT), 0);
      await waitFor("the loss", () => reader.directory.segments.get(SEGMENT)?.size === 0);
    }
    answerAll(reader.records, reader.tail);
    assert.equal(reader.tail.unanswered, 0);
  });

  it("is another one when it was deleted and created again under the same name", async () => {
    journal.append(SEGMENT, line({ user: "a" }) + line({ user: "b" }));
    const reader = await journal.read();
    const cursor = reader.tail.cursor();
    // A file is kept open so that the new one cannot have its inode.
    const open = openSync(journal.file(SEGMENT), "r");
    unlinkSync(journal.file(SEGMENT));
    journal.append(SEGMENT, line({ user: "c" }));
    await waitFor("the new file's record", () => reader.users.includes("c"));
    assert.deepEqual(reader.users, ["a", "b", "c"]);
    answerAll(reader.records, reader.tail);
    assert.equal(reader.tail.unanswered, 0);
    journal.close();
    const again = await journal.read(cursor);
    assert.deepEqual(again.users, ["c"], "the cursor was for the old file");
    closeSync(open);
  });

  it("is not gone while no descriptor is free: it is read when one is, and that is told once with what to do", async () => {
    journal.append(SEGMENT, line({ user: "a" }));
    const reader = await journal.read();
    const [record] = reader.records as [EventRecord];
    record.event = undefined;
    // So many others are opened that its file is not open any more.
    for (let bucket = 200; bucket < 300; bucket++) journal.append(segmentName(bucket), line({ user: "b" }));
    await waitFor("the others", () => reader.records.length === 101);
    const written = openSync(journal.file(segmentName(400)), "a");
    const giveBack = await takeDescriptors();
    try {
      assert.equal(reader.tail.load(record), "later");
      writeSync(written, line({ user: "c" }));
      await waitFor("the new segment", () => reader.tail.unread().unreadableSegments === 1);
    } finally {
      closeSync(written);
      await giveBack();
    }
    await waitFor("it to be tried again", () => typeof reader.tail.load(record) !== "string");
    assert.equal((reader.tail.load(record) as MailboxEvent).user, "a");
    await waitFor("the new segment's record", () => reader.users.includes("c"), 5_000);
    const told = journal.lines.filter(({ level }) => level === "error");
    assert.equal(told.length, 1);
    assert.match(told[0]?.msg ?? "", /cannot read the segment: EMFILE.*LimitNOFILE/);
  });

  it("is given up when it is gone: what was read goes on, what was put away is lost", async () => {
    journal.append(SEGMENT, line({ user: "a" }) + line({ user: "b" }));
    const reader = await journal.read();
    const [a, b] = reader.records as [EventRecord, EventRecord];
    b.event = undefined;
    unlinkSync(journal.file(SEGMENT));
    await waitFor("the loss to be seen", () => reader.directory.segments.size === 0);
    assert.equal((reader.tail.load(a) as MailboxEvent).user, "a");
    assert.equal(reader.tail.load(b), "gone");
    answerAll([a, b], reader.tail);
    assert.equal(reader.tail.unanswered, 0);
    assert.equal(reader.tail.cursor().size, 0);
  });

  it("is read from its start when the cursor names a place beyond its end", async () => {
    journal.append(SEGMENT, line({ user: "a" }));
    const before = await journal.read();
    const identity = before.directory.segments.get(SEGMENT)?.identity ?? "";
    journal.close();
    const again = await journal.read(new Map([[SEGMENT, { identity, offset: 1_000_000 }]]));
    assert.deepEqual(again.users, ["a"]);
  });
});

describe("a file that no writer of the journal made", () => {
  it("is left alone, counted, and told once for each reason", async () => {
    journal.append(segmentName(1), line({ user: "good" }));
    writeFileSync(`${journal.folder}/elsewhere`, line({ user: "evil" }));
    symlinkSync(`${journal.folder}/elsewhere`, journal.file(segmentName(2)));
    symlinkSync(`${journal.folder}/elsewhere`, journal.file(segmentName(3)));
    execFileSync("mkfifo", [journal.file(segmentName(4))]);
    mkdirSync(journal.file(segmentName(5)));
    linkSync(`${journal.folder}/elsewhere`, journal.file(segmentName(6)));
    writeFileSync(journal.file(segmentName(7, STRANGE_UID)), line({ user: "evil" }));
    truncateSync((journal.append(segmentName(8), line()), journal.file(segmentName(8))), 10 * 1024 ** 3);
    journal.append(segmentName(8), `\n${line({ user: "evil" })}`);
    for (const name of ["x", ".hidden", "1.ndjson", `01.${OWN_UID}.ndjson`, `1.${OWN_UID}.ndjson.new`, "1.-1.ndjson"]) {
      writeFileSync(journal.file(name), line({ user: "evil" }));
    }
    const reader = await journal.read();
    assert.deepEqual(reader.users, ["good"]);
    assert.deepEqual(reader.directory.notRead, {
      symlink: 2,
      "not-a-file": 2,
      "hard-links": 1,
      "foreign-owner": 1,
      hole: 1,
    });
    assert.equal(journal.lines.filter(({ msg }) => msg.startsWith("not reading this file")).length, 5);
    journal.append(segmentName(1), line({ user: "still" }));
    await waitFor("reading to go on", () => reader.users.includes("still"));
    rmSync(journal.file(segmentName(2)));
    rmSync(journal.file(segmentName(8)));
    await waitFor("the end of both to be seen", () => reader.directory.notRead.hole === undefined);
    assert.equal(reader.directory.notRead.symlink, 1, "what is removed is not counted any more");
  });

  it("is read once it is what it must be", async () => {
    journal.append(segmentName(1), line({ user: "a" }));
    linkSync(journal.file(segmentName(1)), `${journal.folder}/second`);
    const reader = await journal.read();
    assert.deepEqual(reader.users, []);
    unlinkSync(`${journal.folder}/second`);
    journal.append(segmentName(1), line({ user: "b" }));
    await waitFor("the segment to be read", () => reader.users.includes("a"));
  });

  it("is not read when it takes a segment's place between the look and the read", async () => {
    journal.append(segmentName(1), line({ user: "a" }));
    const directory = await journal.open();
    const segment = directory.segments.get(segmentName(1));
    assert.ok(segment !== undefined);
    writeFileSync(`${journal.folder}/elsewhere`, line({ user: "evil" }));
    const target = Buffer.alloc(100);
    renameSync(`${journal.folder}/elsewhere`, journal.file(segmentName(1)));
    assert.equal(directory.read(segment, 0, target), 0);
    rmSync(journal.file(segmentName(1)));
    symlinkSync("/etc/passwd", journal.file(segmentName(1)));
    assert.equal(directory.read(segment, 0, target), 0);
    rmSync(journal.file(segmentName(1)));
    execFileSync("mkfifo", [journal.file(segmentName(1))]);
    assert.equal(directory.read(segment, 0, target), 0);
  });
});

describe("whom a segment speaks for", { skip: NOT_ROOT }, () => {
  it("is everybody when its owner is root or a configured mail user", async () => {
    segmentOf(0, 1, line({ user: "a" }));
    segmentOf(STRANGE_UID, 2, line({ user: "b" }));
    const reader = await journal.read(undefined, [STRANGE_UID]);
    assert.deepEqual(reader.users.toSorted(), ["a", "b"]);
  });

  it("is himself when its owner is another user of the system", async () => {
    segmentOf(uidOf("daemon"), 1, line({ user: "daemon" }) + line({ user: "Daemon" }));
    const reader = await journal.read();
    await waitFor("the system to be asked", () => reader.records.length === 2);
    assert.equal(reader.tail.counters.untrusted, 0);
  });

  it("is nobody else: the segment is left as it is, told once, and read when the configuration allows it", async () => {
    const uid = uidOf("daemon");
    const text = line({ user: "daemon" }) + line({ user: "victim" }) + line({ user: "daemon" });
    const name = segmentOf(uid, 1, text);
    segmentOf(uid, 2, line({ user: "victim" }));
    const reader = await journal.read();
    await waitFor("both to be left", () => reader.tail.unread().leftSegments === 2);
    assert.deepEqual(reader.users, ["daemon"]);
    await reader.tail.settled();
    const { leftBytes, unreadBytes, left } = reader.tail.unread();
    assert.equal(leftBytes, text.length - line({ user: "daemon" }).length + line({ user: "victim" }).length);
    assert.equal(unreadBytes, 0, "they do not wait to be read");
    assert.deepEqual(
      left.map((writer) => [writer.uid, writer.user]),
      [[uid, "victim"]],
    );
    journal.append(name, line({ user: "daemon" }));
    const told = journal.lines.filter(({ level }) => level === "error");
    assert.equal(told.length, 1);
    assert.match(told[0]?.msg ?? "", /uid \d+ wrote of user victim.*add daemon to journal\.mail_users/);
    answerAll(reader.records, reader.tail);
    const cursor = reader.tail.cursor();
    const [segment] = reader.directory.segments.values();
    assert.ok(segment !== undefined && !reader.tail.isPast(segment));
    journal.close();

    const allowed = await journal.read(cursor, [uid]);
    assert.deepEqual(allowed.users.toSorted(), ["daemon", "daemon", "victim", "victim"]);
  });

  it("is not the one whose mailbox he changed: that record is passed over, his own are read", async () => {
    const uid = uidOf("daemon");
    segmentOf(uid, 1, line({ user: "boss", by: "daemon" }).repeat(2) + line({ user: "daemon" }));
    const reader = await journal.read();
    await waitFor("his own record", () => reader.records.length === 1);
    assert.deepEqual(reader.users, ["daemon"]);
    assert.equal(reader.tail.counters.untrusted, 2);
    assert.equal(journal.lines.filter(({ msg }) => msg.includes("not believed")).length, 1);
  });

  it("is nobody when the system does not know its owner", async () => {
    segmentOf(STRANGE_UID, 1, line({ user: String(STRANGE_UID) }) + line({ user: "undefined" }));
    const reader = await journal.read();
    await waitFor("the segment to be left", () => reader.tail.unread().leftSegments === 1);
    assert.deepEqual(reader.users, []);
  });

  it("cannot be changed by rewriting a record that was put away", async () => {
    const uid = uidOf("daemon");
    const own = line({ user: "daemon" });
    const name = segmentOf(uid, 1, own);
    const reader = await journal.read();
    await waitFor("the record", () => reader.records.length === 1);
    const [record] = reader.records as [EventRecord];
    record.event = undefined;
    const file = openSync(journal.file(name), "r+");
    writeSync(file, own.replace("daemon", "victim"));
    closeSync(file);
    assert.equal(reader.tail.load(record), "gone");
  });

  it("is asked of the system once for all segments of one uid, and they are read in order", async () => {
    const uid = uidOf("daemon");
    for (let bucket = 1; bucket <= 300; bucket++) segmentOf(uid, bucket, line({ user: "daemon", ts: bucket }));
    const reader = await journal.read();
    await waitFor("all records", () => reader.records.length === 300);
    assert.deepEqual(
      reader.records.map(({ event }) => event?.ts),
      Array.from({ length: 300 }, (_, n) => n + 1),
    );
  });
});

describe("the owner of a segment", { skip: NOT_ROOT }, () => {
  let names: TestNameService;
  beforeEach((t) => {
    names = new TestNameService({ jdoe: STRANGE_UID, "EXAMPLE+jdoe": OTHER_UID });
    (t as TestContext).mock.timers.enable({ apis: ["setInterval"] });
  });
  afterEach(() => names.remove());

  it("may become a mail user while we run: what was left is read without another mail, and nothing is lost", async (t) => {
    for (const bucket of [1, 2, 3]) segmentOf(STRANGE_UID, bucket, line({ user: `user${bucket}` }).repeat(100));
    names.set({});
    const reader = await journal.read(undefined, ["vmail"]);
    await waitFor("all to be left", () => reader.tail.unread().leftSegments === 3);
    await reader.tail.settled();
    const [told, ...others] = journal.lines.filter(({ level }) => level === "error");
    assert.match(told?.msg ?? "", /journal\.mail_users names vmail, which this system does not know/);
    assert.deepEqual(others, []);
    names.set({ vmail: STRANGE_UID });
    await waitFor("the minute's look", () => {
      t.mock.timers.tick(60_000);
      return reader.records.length === 300;
    });
    assert.equal(reader.tail.unread().leftSegments, 0);
    assert.deepEqual(reader.tail.counters, { ...reader.tail.counters, untrusted: 0, malformed: 0, lostBytes: 0 });
  });

  it("may be made after the daemon's start: its first mail is read", async () => {
    names.set({});
    const reader = await journal.read(undefined, ["vmail"]);
    names.set({ vmail: STRANGE_UID });
    segmentOf(STRANGE_UID, 1, line({ user: "anna" }) + line({ user: "berta" }));
    await waitFor("both records", () => reader.records.length === 2);
    assert.deepEqual(
      journal.lines.filter(({ level }) => level === "error"),
      [],
    );
  });

  it("may have another name in Dovecot: by what the system says, or the configuration", async () => {
    segmentOf(STRANGE_UID, 1, line({ user: "jdoe@example.com" }) + line({ user: "jdoe" }));
    segmentOf(OTHER_UID, 2, line({ user: "EXAMPLE\\jdoe" }).repeat(3) + line({ user: "jdoe@ad.example.com" }));
    names.set({ jdoe: STRANGE_UID, "EXAMPLE+jdoe": OTHER_UID, "EXAMPLE\\jdoe": OTHER_UID });
    const reader = await journal.read(undefined, [], { "*": "*@example.com", "EXAMPLE+*": "*@ad.example.com" });
    await waitFor("all records", () => reader.records.length === 6);
    assert.equal(reader.tail.unread().leftSegments, 0);
  });

  it("is not another user of the same name in another domain, nor one of the system's", async () => {
    segmentOf(STRANGE_UID, 1, line({ user: "jdoe@example.org" }));
    segmentOf(STRANGE_UID, 2, line({ user: "EXAMPLE+jdoe" }));
    segmentOf(OTHER_UID, 3, line({ user: "jdoe" }));
    segmentOf(OTHER_UID, 4, line({ user: "jdoe@example.com" }));
    const reader = await journal.read(undefined, [], { "*": "*@example.com" });
    await waitFor("all to be left", () => reader.tail.unread().leftSegments === 4);
    await reader.tail.settled();
    assert.deepEqual(reader.users, []);
    assert.equal(reader.tail.unread().leftSegments, 4);
  });

  it("may change a shared mailbox under another of its names: that record is passed over, its own are read", async () => {
    names.set({ jdoe: STRANGE_UID, "EXAMPLE\\jdoe": STRANGE_UID });
    segmentOf(STRANGE_UID, 1, line({ user: "boss", by: "EXAMPLE\\jdoe" }) + line({ user: "EXAMPLE\\jdoe" }));
    const reader = await journal.read();
    await waitFor("its own record", () => reader.records.length === 1);
    assert.equal(reader.tail.counters.untrusted, 1);
  });

  it("waits while the name service does not answer, which is counted and logged with what to do", async (t) => {
    segmentOf(STRANGE_UID, 1, line({ user: "jdoe" }));
    names.answers(false);
    const reader = await journal.read();
    await waitFor("it to wait", () => reader.tail.unread().unknownSegments === 1);
    assert.equal(reader.tail.unread().unreadBytes, line({ user: "jdoe" }).length, "that is behind");
    await reader.tail.settled();
    const told = journal.lines.find(({ level }) => level === "error");
    assert.match(told?.msg ?? "", new RegExp(`getent gives no answer.*getent passwd ${STRANGE_UID}`));
    names.answers(true);
    t.mock.timers.tick(60_000);
    await waitFor("the record", () => reader.records.length === 1);
    assert.equal(reader.tail.unread().unknownSegments, 0);
  });
});

describe("what is lost of the journal", () => {
  it("is counted when a segment is deleted before it was read", { skip: NOT_ROOT }, async () => {
    const name = segmentOf(STRANGE_UID, 1, line({ user: "victim" }));
    const reader = await journal.read();
    await waitFor("the segment to be left", () => reader.tail.unread().leftSegments === 1);
    await reader.tail.settled();
    rmSync(journal.file(name));
    await waitFor("the loss", () => reader.tail.counters.lostBytes === line({ user: "victim" }).length);
    assert.ok(journal.lines.some(({ level, msg }) => level === "error" && /deleted before it was read/.test(msg)));
    assert.equal(reader.tail.unread().leftSegments, 0);
  });

  it("is counted when a segment goes whose last line nobody completed", async () => {
    journal.append(SEGMENT, line({ user: "a" }) + line({ user: "torn" }).slice(0, 20));
    const reader = await journal.read();
    assert.equal(reader.tail.counters.malformed, 0, "it may yet be completed");
    rmSync(journal.file(SEGMENT));
    await waitFor("the loss", () => reader.tail.counters.malformed === 1);
    assert.equal(reader.tail.counters.lostBytes, 0);
  });

  it("is none when a segment goes that was read", async () => {
    journal.append(SEGMENT, line({ user: "a" }));
    const reader = await journal.read();
    answerAll(reader.records, reader.tail);
    rmSync(journal.file(SEGMENT));
    await waitFor("the end to be seen", () => reader.directory.segments.size === 0);
    assert.equal(reader.tail.counters.lostBytes + reader.tail.counters.malformed, 0);
  });

  it("is what a segment had that was cut off", async () => {
    journal.append(SEGMENT, line({ user: "a" }));
    const reader = await journal.read();
    truncateSync(journal.file(SEGMENT), 0);
    await waitFor("it to be counted", () => reader.tail.counters.shrunk === 1);
  });

  it("is not what cannot be read for a while, which is behind", { skip: NOT_ROOT }, async (t) => {
    t.mock.timers.enable({ apis: ["setInterval"] });
    journal.append(SEGMENT, line({ user: "a" }));
    chmodSync(journal.file(SEGMENT), 0o600);
    chmodSync(journal.folder, 0o755);
    process.seteuid?.(STRANGE_UID);
    t.after(() => process.seteuid?.(0));
    const reader = await journal.read();
    assert.deepEqual(reader.users, []);
    const { unreadBytes, unreadableSegments } = reader.tail.unread();
    assert.deepEqual(
      { unreadBytes, unreadableSegments },
      { unreadBytes: line({ user: "a" }).length, unreadableSegments: 1 },
    );
    process.seteuid?.(0);
    t.mock.timers.tick(60_000);
    await waitFor("the record", () => reader.records.length === 1);
    assert.equal(reader.tail.unread().unreadableSegments, 0);
  });
});

function openFiles(): number {
  return readdirSync("/proc/self/fd").length;
}

describe("open files", () => {
  it("go when their segments go", async () => {
    const reader = await journal.read();
    const before = openFiles();
    for (let bucket = 0; bucket < 50; bucket++) journal.append(segmentName(bucket), line());
    await waitFor("all to be read", () => reader.records.length === 50);
    assert.ok(openFiles() > before);
    for (let bucket = 0; bucket < 50; bucket++) unlinkSync(journal.file(segmentName(bucket)));
    await waitFor("all to be gone", () => reader.directory.segments.size === 0);
    assert.equal(openFiles(), before);
  });

  it("are bounded", async () => {
    const reader = await journal.read();
    for (let bucket = 0; bucket < 500; bucket++) journal.append(segmentName(bucket), line());
    await waitFor("all to be read", () => reader.records.length === 500);
    assert.ok(openFiles() < 150);
    assert.equal(readFileSync(journal.file(segmentName(1)), "utf8"), line());
    appendFileSync(journal.file(segmentName(0)), line());
    await waitFor("the first to be read again", () => reader.records.length === 501);
  });
});
