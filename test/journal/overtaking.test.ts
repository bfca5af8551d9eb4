import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, beforeEach, describe, it } from "node:test";
import fc from "fast-check";
import { parseRecord, type MailboxEvent } from "../../src/events/event.ts";
import type { EventRecord } from "../../src/journal/stretch.ts";
import type { Cursor } from "../../src/journal/cursor.ts";
import type { JournalDirectory } from "../../src/journal/directory.ts";
import { Overtaking } from "../../src/journal/overtaking.ts";
import { Progress } from "../../src/journal/progress.ts";
import { Tail } from "../../src/journal/tail.ts";
import { line, segmentName, TestJournal, writerOf } from "../helpers/journal.ts";
import { waitFor } from "../helpers/wait.ts";

const SEGMENT = segmentName(100);
/** Ten megabytes of records. */
const BACKLOG = 100_000;
const USERS = 50;

let journal: TestJournal;
let directory: JournalDirectory;

beforeEach(async () => {
  journal = new TestJournal();
  const lines: string[] = [];
  for (let index = 0; index < BACKLOG; index++) lines.push(backlogLine(index));
  journal.append(SEGMENT, lines.join(""));
  directory = await journal.open();
});
afterEach(() => journal.remove());

/** As long as a record is in practice; one user has a name that JSON escapes. */
function backlogLine(index: number): string {
  const user = index % USERS === 7 ? 'o"brien' : `user${index % USERS}`;
  return line({ user, uids: String(index + 1), messageId: "<0123456789@mail.example.com>" });
}

function follow(cursor?: Cursor): Tail {
  return new Tail(directory, cursor, () => {}, journal.log);
}

/** Reads until `enough`, or until nothing is left. */
async function read(tail: Tail, enough: (records: readonly EventRecord[]) => boolean): Promise<EventRecord[]> {
  const records: EventRecord[] = [];
  while (tail.behind && !enough(records)) {
    tail.read(records);
    // The kernel's word of what was written comes between turns.
    await turn();
  }
  return records;
}

const of = (records: readonly EventRecord[], user: string): string[] =>
  records.flatMap(({ event }) => (event?.user === user && "uids" in event ? [event.uids ?? ""] : []));

const isThere = (user: string) => (records: readonly EventRecord[]) =>
  records.some(({ event }) => event?.user === user);

/** Tells the records of a test apart. */
function nameOf(event: MailboxEvent | undefined): string {
  return event !== undefined && "uids" in event ? `${event.user} ${event.uids}` : "";
}

/** What has searched a backlog that is `text`. */
function searched(text: string | Buffer): Overtaking {
  const bytes = Buffer.from(text);
  const [segment] = directory.segments.values();
  assert.ok(segment !== undefined);
  const overtaking = new Overtaking([new Progress({ ...segment, size: bytes.length }, writerOf(0), 0)]);
  const buffer = Buffer.alloc(512);
  while (overtaking.searching) {
    overtaking.search(buffer, (_, offset, length) => bytes.copy(buffer, 0, offset, offset + length));
  }
  return overtaking;
}

describe("a record that comes when the clock has been set back", () => {
  it("goes before a long backlog too, in a segment of its own and in one that is there", async () => {
    journal.append(segmentName(70), line({ user: "user1", uids: "1" }));
    await waitFor("the older segment", () => directory.segments.size === 2);
    const tail = follow();
    const records: EventRecord[] = [];
    tail.read(records);
    for (const [bucket, user] of [
      [50, "anna"],
      [70, "berta"],
      [101, "carla"],
      [50, "dora"],
    ] as const) {
      journal.append(segmentName(bucket), line({ user, uids: String(bucket) }));
      await waitFor(`${user}'s record`, () => {
        tail.readNew(records);
        return isThere(user)(records);
      });
    }
    assert.ok(records.length < BACKLOG / 2, "the backlog waits");
    records.push(...(await read(tail, () => false)));
    assert.deepEqual(of(records, "user1").length, BACKLOG / USERS + 1);
    assert.deepEqual([of(records, "anna"), of(records, "berta")], [["50"], ["70"]]);
    tail.close();
  });
});

describe("the search of a backlog for its users", () => {
  it("misses nobody, whatever lies between the records", () => {
    const user = fc.string({
      minLength: 1,
      maxLength: 20,
      unit: fc.constantFrom("a", "b", "{", "}", '"', "\\", ",", ":", "ü", "@"),
    });
    const record = fc.record({
      user,
      mailbox: fc.constantFrom("INBOX", "{a}", '"user":"', "a\\"),
      event: fc.constantFrom("MessageNew", "MessageAppend", "FlagsSet"),
      torn: fc.nat({ max: 80 }),
    });
    fc.assert(
      fc.property(fc.array(record, { maxLength: 60 }), (records) => {
        let text = "";
        for (const { torn, ...fields } of records) {
          const whole = line(fields);
          // What was torn has no newline, so the next record follows it on its line.
          if (torn < 40) text += whole.slice(0, torn);
          text += whole;
        }
        const overtaking = searched(text);
        for (const { user: name } of records) assert.equal(overtaking.mayOvertake(name), false, name);
      }),
      { numRuns: 2_000 },
    );
  });

  it("knows a name with bytes that are not UTF-8 as the reader reads it", () => {
    const text = Buffer.concat([
      Buffer.from('{"v":1,"ts":1,"event":"MessageNew","user":"a'),
      Buffer.from([0xff]),
      Buffer.from('b","mailbox":"INBOX","sep":"/"}\n'),
    ]);
    assert.equal(searched(text).mayOvertake("a\ufffdb"), false);
  });

  it("lets nobody overtake when a part of it cannot be read", () => {
    const [segment] = directory.segments.values();
    assert.ok(segment !== undefined);
    const overtaking = new Overtaking([new Progress(segment, writerOf(0), 0)]);
    while (overtaking.searching) overtaking.search(Buffer.alloc(512), () => 0);
    assert.equal(overtaking.mayOvertake("fresh"), false);
  });

  it("takes hardly anybody for one of the backlog who is not", () => {
    const names = Array.from({ length: 100_000 }, (_, n) => `user${n}@example.com`);
    const overtaking = searched(names.map((user) => line({ user })).join(""));
    for (const name of names) assert.equal(overtaking.mayOvertake(name), false, name);
    const others = Array.from({ length: 10_000 }, (_, n) => `user${100_000 + n}@example.com`);
    const held = others.filter((name) => !overtaking.mayOvertake(name)).length;
    assert.ok(held < others.length / 50, `${held} of ${others.length}`);
  });
});

describe("a record that comes while a long backlog of its uid is read", () => {
  it("goes before the backlog when its user has nothing there", async () => {
    const tail = follow();
    const before = await read(tail, (records) => records.length > 0);
    journal.append(SEGMENT, line({ user: "fresh", uids: "1" }) + line({ user: "fresh", uids: "2" }));
    const after = await read(tail, isThere("fresh"));
    assert.deepEqual(of(after, "fresh"), ["1", "2"]);
    assert.ok(before.length + after.length < BACKLOG / 2, `${before.length + after.length} records were read first`);

    const rest = await read(tail, () => false);
    assert.equal(before.length + after.length + rest.length, BACKLOG + 2);
    assert.deepEqual(of(rest, "fresh"), [], "it is read once");
  });

  it("waits for what the backlog has of its user", async () => {
    const tail = follow();
    const before = await read(tail, (records) => records.length > 0);
    for (const user of ["user3", 'o"brien']) journal.append(SEGMENT, line({ user, uids: "999999" }));
    const all = [...before, ...(await read(tail, () => false))];
    for (const user of ["user3", 'o"brien']) {
      const uids = of(all, user).map(Number);
      assert.equal(uids.length, BACKLOG / USERS + 1);
      assert.deepEqual(
        uids,
        uids.toSorted((a, b) => a - b),
      );
    }
  });

  it("goes on in order over the next segment", async () => {
    const tail = follow();
    const before = await read(tail, (records) => records.length > 0);
    journal.append(SEGMENT, line({ user: "fresh", uids: "1" }));
    journal.append(segmentName(101), line({ user: "fresh", uids: "2" }));
    journal.append(segmentName(101), line({ user: "user3", uids: "999999" }));
    const all = [...before, ...(await read(tail, () => false))];
    assert.deepEqual(of(all, "fresh"), ["1", "2"]);
    assert.equal(of(all, "user3").at(-1), "999999");
    assert.equal(all.length, BACKLOG + 3);
  });

  it("is read again after a kill when it is not answered, as is everything of the backlog, and else is not", async () => {
    const tail = follow();
    await read(tail, (records) => records.length > 0);
    journal.append(SEGMENT, line({ user: "fresh", uids: "1" }) + line({ user: "user3", uids: "999999" }));
    journal.append(SEGMENT, line({ user: "other", uids: "2" }) + line({ user: "fresh", uids: "3" }));
    const read1 = await read(tail, isThere("other"));
    for (const record of read1) if (record.event?.user === "fresh") tail.answer(record.stretch, record.index);
    const again = await read(follow(tail.cursor()), () => false);
    assert.equal(again.length, BACKLOG + 2);
    assert.deepEqual(of(again, "fresh"), []);
    assert.deepEqual(of(again, "other"), ["2"]);
    assert.equal(of(again, "user3").at(-1), "999999");
  });

  it("is read again after a kill exactly when it is not answered, whatever the reader had come to", async () => {
    let tail = follow();
    // What has not been answered, by the user and UIDs.
    const expected = new Set<string>();
    for (let index = 0; index < BACKLOG; index++) expected.add(nameOf(parseRecord(backlogLine(index))));
    let chance = 1;
    const oneIn = (count: number): boolean => (chance = (chance * 48_271) % 2_147_483_647) % count === 0;
    for (let kill = 0; kill < 4; kill++) {
      const records = await read(tail, (some) => some.length > 0);
      let text = "";
      for (let n = 0; n < 300; n++) {
        const fields = { user: oneIn(3) ? "user3" : `fresh${kill}${n % 7}`, uids: String(1e6 + kill * 1_000 + n) };
        text += line(fields);
        expected.add(`${fields.user} ${fields.uids}`);
      }
      journal.append(SEGMENT, text);
      await waitFor("them to be read ahead", async () => {
        records.push(...(await read(tail, (some) => some.length > 0)));
        return isThere(`fresh${kill}6`)(records);
      });
      if (kill === 2) records.push(...(await read(tail, () => false)));
      // Fewer changes than a cursor has ranges.
      let answers = true;
      for (const record of records) {
        assert.ok(expected.has(nameOf(record.event)), `${nameOf(record.event)} is read again after its answer`);
        if (oneIn(kill === 2 ? 100 : 4)) answers = !answers;
        if (!answers) continue;
        tail.answer(record.stretch, record.index);
        expected.delete(nameOf(record.event));
      }
      tail.close();
      tail = follow(tail.cursor());
    }
    const rest = await read(tail, () => false);
    assert.deepEqual(new Set(rest.map(({ event }) => nameOf(event))), expected);
    assert.equal(rest.length, expected.size);
  });

  it("is read once, also where a chunk of the backlog ends within it", async () => {
    const tail = follow();
    const records = await read(tail, (some) => some.length > 0);
    // Longer than two chunks.
    const fresh = Array.from({ length: 6_000 }, (_, n) => line({ user: "fresh", uids: String(n + 1) }));
    journal.append(SEGMENT, fresh.join(""));
    records.push(...(await read(tail, (some) => of(some, "fresh").length === fresh.length)));
    assert.ok(records.length < BACKLOG, "they have overtaken");
    records.push(...(await read(tail, () => false)));
    assert.equal(of(records, "fresh").length, fresh.length);
    assert.equal(records.length, BACKLOG + fresh.length);
  });

  it("stays in order over segments, also when more has come than is read ahead", async () => {
    const tail = follow();
    await read(tail, (records) => records.length > 0);
    const fresh = Array.from({ length: 103_000 }, (_, n) => line({ user: `fresh${n % 1_000}`, uids: String(n + 1) }));
    journal.append(SEGMENT, [...fresh, line({ user: "victim", uids: "1" })].join(""));
    journal.append(segmentName(101), line({ user: "victim", uids: "2" }));
    await waitFor("the next segment", () => directory.segments.has(segmentName(101)));
    const records: EventRecord[] = [];
    // Whom the backlog is for does not take it: only what is new is read.
    for (let time = 0; time < 300; time++) tail.readNew(records);
    records.push(...(await read(tail, () => false)));
    assert.deepEqual(of(records, "victim"), ["1", "2"]);
  });

  it("waits for one of its user that follows a torn record on its line", async () => {
    const tail = follow();
    const records = await read(tail, (some) => some.length > 0);
    const torn = '{"v":1,"ts":1,"event":"Mess';
    journal.append(SEGMENT, torn + line({ user: "victim", uids: "1" }) + line({ user: "victim", uids: "2" }));
    records.push(...(await read(tail, () => false)));
    assert.deepEqual(of(records, "victim"), ["1", "2"]);
  });

  it("is answered for good, though that was before the reader came to it", async () => {
    const tail = follow();
    const records = await read(tail, (some) => some.length > 0);
    journal.append(SEGMENT, line({ user: "fresh", uids: "1" }));
    records.push(...(await read(tail, isThere("fresh"))));
    for (const record of records) tail.answer(record.stretch, record.index);
    const rest = await read(tail, () => false);
    assert.ok(rest.length > 0);
    for (const record of rest) tail.answer(record.stretch, record.index);
    assert.equal(tail.unanswered, 0);
    assert.equal(tail.oldest, undefined);
    assert.ok([...directory.segments.values()].every((segment) => tail.isPast(segment)));
    assert.deepEqual(await read(follow(tail.cursor()), () => false), []);
  });

  it("holds the cursor before it until it is answered", async () => {
    const tail = follow();
    const records = await read(tail, (some) => some.length > 0);
    journal.append(SEGMENT, line({ user: "fresh", uids: "1" }));
    records.push(...(await read(tail, () => false)));
    assert.equal(records.length, BACKLOG + 1);
    for (const record of records) if (record.event?.user !== "fresh") tail.answer(record.stretch, record.index);
    assert.equal(tail.unanswered, 1);
    const again = await read(follow(tail.cursor()), () => false);
    assert.deepEqual(of(again, "fresh"), ["1"]);
    assert.equal(again.length, 1);

    for (const record of records) tail.answer(record.stretch, record.index);
    assert.equal(tail.unanswered, 0);
    assert.ok([...directory.segments.values()].every((segment) => tail.isPast(segment)));
  });
});
