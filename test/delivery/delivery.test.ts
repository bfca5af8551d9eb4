import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import fc from "fast-check";
import { Delivery } from "../../src/delivery/delivery.ts";
import type { Answers, Destination, EventRecord } from "../../src/delivery/destination.ts";
import { parseRecord, type MailboxEvent } from "../../src/events/event.ts";
import type { JournalDirectory } from "../../src/journal/directory.ts";
import { FakeDestination } from "../helpers/fake-destination.ts";
import { line, OWN_UID, segmentName, TestJournal } from "../helpers/journal.ts";
import { anyRecord } from "../helpers/records.ts";
import { waitFor } from "../helpers/wait.ts";

const SEGMENT = segmentName(100);
/** Far more than may be in memory at once. */
const MANY = 500_000;
/** In microseconds: records that are so far apart are answered each by itself. */
const SECOND = 1_000_000;

let journal: TestJournal;
let directory: JournalDirectory;
let cursorFile: string;
const running = new Set<Delivery>();

beforeEach(async () => {
  journal = new TestJournal();
  directory = await journal.open();
  cursorFile = join(journal.folder, "test.cursor");
});
afterEach(async () => {
  for (const delivery of running) await delivery.close(0);
  running.clear();
  journal.remove();
});

interface Started {
  delivery: Delivery;
  destination: FakeDestination;
}

async function start(
  wants: (event: MailboxEvent) => boolean = () => true,
  prepare: (destination: FakeDestination) => void = () => {},
  { wholeRecords = false } = {},
): Promise<Started> {
  let destination: FakeDestination | undefined;
  const make = (answers: Answers): Destination => {
    destination = new FakeDestination(answers);
    prepare(destination);
    return destination;
  };
  const settings = {
    name: "test",
    hostId: "mx1",
    type: "fake",
    cursorFile,
    filteredBy: (event: MailboxEvent) => (wants(event) ? undefined : "users"),
    wholeRecords,
    startsAt: "oldest" as const,
  };
  const delivery = await Delivery.start(settings, directory, make, journal.log);
  assert.ok(destination !== undefined);
  running.add(delivery);
  return { delivery, destination };
}

async function stop({ delivery }: Started): Promise<void> {
  running.delete(delivery);
  await delivery.close(0);
}

function given(destination: FakeDestination, count: number): Promise<true> {
  return waitFor(`${count} records`, () => destination.given.length >= count || undefined).then(() => true);
}

/** Waits until the destination was given something and is given no more; how much that was. */
async function readingStopped(destination: FakeDestination): Promise<number> {
  await waitFor("reading to stop", async () => {
    const before = destination.given.length;
    await settle();
    return before > 0 && before === destination.given.length;
  });
  return destination.given.length;
}

/** Lets everything that is ready to run, run: so that what did not happen did not because nothing asked for it. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
}

function write(count: number, from = 0, betweenUs = 1): void {
  const lines = Array.from({ length: count }, (_, n) => line({ user: `u${from + n}`, ts: (from + n) * betweenUs }));
  journal.append(SEGMENT, lines.join(""));
}

describe("a delivery", () => {
  it("gives its destination what the journal holds, and then what comes, in order", async () => {
    write(3);
    const { destination } = await start();
    await given(destination, 3);
    write(2, 3);
    await given(destination, 5);
    assert.deepEqual(
      destination.given.map(({ event }) => event?.user),
      ["u0", "u1", "u2", "u3", "u4"],
    );
  });

  it("gives again after an end exactly what was not answered", async () => {
    // The second half came at one moment.
    write(10, 0, SECOND);
    write(90, 10 * SECOND);
    const first = await start();
    await given(first.destination, 100);
    const answered = [0, 1, 2, 4, 9, 7, 20, 21, 22, 50, 99];
    for (const index of answered) first.destination.answer(first.destination.given[index] as EventRecord);
    await stop(first);

    const second = await start();
    await given(second.destination, 89);
    await settle();
    assert.deepEqual(
      second.destination.places,
      first.destination.places.filter((_, index) => !answered.includes(index)),
    );
    for (const record of second.destination.given) second.destination.answer(record);
    await stop(second);

    const third = await start();
    write(1, 100, SECOND);
    await given(third.destination, 1);
    assert.equal(third.destination.given[0]?.event?.user, "u100");
  });

  it("counts a record that needs several answers as done after the last", async () => {
    write(3);
    const { delivery, destination } = await start();
    await given(destination, 3);
    const [, second] = destination.given as [EventRecord, EventRecord];
    destination.answers.split(second.stretch, second.index, 3);
    const done: number[] = [];
    for (let answer = 0; answer < 4; answer++) {
      destination.answer(second);
      done.push(delivery.status().outcomes.notified);
    }
    assert.deepEqual(done, [0, 0, 1, 1]);
    assert.equal(delivery.status().lagRecords, 2);
  });

  it("loses nothing when it is killed at any moment: what was not answered at a save is given again, and that alone", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat({ max: 29 }), { maxLength: 40 }), fc.boolean(), async (answered, clean) => {
        rmSync(cursorFile, { force: true });
        rmSync(journal.file(SEGMENT), { force: true });
        await waitFor("an empty journal", () => directory.segments.size === 0);
        write(30);
        await waitFor("the journal", () => directory.segments.size === 1);
        const first = await start();
        await given(first.destination, 30);
        for (const index of answered) first.destination.answer(first.destination.given[index] as EventRecord);
        await stop(first);
        // A kill leaves the cursor of an earlier moment: here, of the start.
        if (!clean) rmSync(cursorFile);
        const second = await start();
        const missing = first.destination.places.filter((_, index) => !clean || !answered.includes(index));
        write(1, 30);
        await waitFor("what came last", () => second.destination.given.at(-1)?.event?.user === "u30");
        assert.deepEqual(second.destination.places.slice(0, -1), missing);
        await stop(second);
      }),
      { numRuns: 25 },
    );
  });

  it("saves its place while it runs, so that a kill costs a second's notifications at most", async () => {
    write(5, 0, SECOND);
    const { destination } = await start();
    await given(destination, 5);
    for (const record of destination.given.slice(0, 3)) destination.answer(record);
    const wanted = destination.given[3]?.offset;
    await waitFor("the cursor file", () => savedOffset() === wanted);
  });

  it("answers by itself for what the filter holds back", async () => {
    write(6);
    const { delivery, destination } = await start((event) => event.ts % 2 === 0);
    await given(destination, 3);
    assert.deepEqual(
      destination.given.map(({ event }) => event?.ts),
      [0, 2, 4],
    );
    for (const record of destination.given) destination.answer(record);
    const { outcomes, records, lagRecords } = delivery.status();
    assert.deepEqual({ records, lagRecords }, { records: 6, lagRecords: 0 });
    assert.deepEqual(outcomes, { notified: 3, dropped: 0, nobody: 0, ignored: 0, filtered: 3, waiting: 0 });
    const [segment] = directory.segments.values();
    assert.ok(segment !== undefined && delivery.isPast(segment));
  });

  it("is past a segment only when all of it is answered, whatever the order", async () => {
    write(3);
    const { delivery, destination } = await start();
    await given(destination, 3);
    const [segment] = directory.segments.values();
    assert.ok(segment !== undefined);
    for (const index of [2, 0, 1]) {
      assert.equal(delivery.isPast(segment), false);
      destination.answer(destination.given[index] as EventRecord);
    }
    assert.equal(delivery.isPast(segment), true);
  });

  it("counts an answer once, should a destination give it twice", async () => {
    write(2);
    const { delivery, destination } = await start();
    await given(destination, 2);
    const [first] = destination.given as [EventRecord];
    destination.answer(first);
    destination.answer(first);
    const { outcomes, lagRecords } = delivery.status();
    assert.deepEqual([outcomes.notified, outcomes.waiting, lagRecords], [1, 1, 1]);
  });

  it("holds still while the destination does not accept, and goes on when it says so", async () => {
    write(10);
    const { destination } = await start(undefined, (made) => {
      made.accepting = false;
    });
    await settle();
    write(10, 10);
    await settle();
    assert.equal(destination.given.length, 0);
    destination.accepting = true;
    destination.answers.resume();
    await given(destination, 20);
  });

  it("stays within its memory when the destination never answers", async () => {
    const text = Array.from({ length: MANY / 10 }, () => line()).join("");
    for (let n = 0; n < 10; n++) journal.append(segmentName(n), text);
    const { delivery, destination } = await start();
    const read = await readingStopped(destination);
    assert.ok(read < 25_000, `${read} records in memory`);
    assert.ok(delivery.status().unreadBytes > 0);
  });

  it("stays within its memory when the destination puts everything away and never answers", async () => {
    const text = Array.from({ length: MANY / 10 }, () => line()).join("");
    for (let n = 0; n < 10; n++) journal.append(segmentName(n), text);
    const { delivery, destination } = await start(undefined, (made) => {
      made.onDeliver = (records) => {
        for (const record of records) made.answers.park(record);
      };
    });
    await given(destination, 400_000);
    await settle();
    assert.ok(destination.given.length < 404_000, `${destination.given.length} records`);
    const first = destination.given[0] as EventRecord;
    assert.equal((destination.answers.load(first) as MailboxEvent).user, "jdoe");
    for (const record of destination.given) destination.answer(record);
    await given(destination, MANY);
    for (const record of destination.given.slice(400_000)) destination.answer(record);
    assert.equal(delivery.status().outcomes.notified, MANY);
  });

  it("gives everything to a destination that answers and puts nothing away", async () => {
    write(40_000);
    const { delivery, destination } = await start(undefined, (made) => {
      made.onDeliver = (records) => {
        for (const { stretch, index } of records) made.answers.done(stretch, index, "nobody");
      };
    });
    await given(destination, 40_000);
    assert.deepEqual([delivery.status().outcomes.nobody, delivery.status().outcomes.waiting], [40_000, 0]);
  });

  it("has one outcome for each record: given up if one receiver's notification was, in whatever order", async () => {
    write(5);
    const { delivery, destination } = await start((event) => event.user !== "u4");
    await given(destination, 4);
    const [first, second, third, fourth] = destination.given as [EventRecord, EventRecord, EventRecord, EventRecord];
    for (const each of [first, second]) destination.answers.split(each.stretch, each.index, 2);
    destination.answer(first, "dropped");
    destination.answer(first, "notified");
    destination.answer(second, "notified");
    destination.answer(second, "dropped");
    destination.answer(third, "ignored");
    const wanted = { notified: 0, dropped: 2, nobody: 0, ignored: 1, filtered: 1, waiting: 1 };
    assert.deepEqual(delivery.status().outcomes, wanted);
    destination.answer(fourth, "notified");
    assert.deepEqual(delivery.status().outcomes, { ...wanted, notified: 1, waiting: 0 });
  });

  it("knows what became of each record: that it waits, its outcome and why, and nothing of what is not there", async () => {
    write(6, 0, SECOND);
    const { delivery, destination } = await start((event) => event.user !== "u5");
    await given(destination, 5);
    const [first, second, third] = destination.given as [EventRecord, EventRecord, EventRecord];
    const of = (offset: number): string | undefined => {
      const place = { host: "mx1", bucket: 100, uid: OWN_UID, offset, tsUs: 0 };
      return delivery.outcomeOf(place)?.outcome;
    };
    const offsets = destination.given.map(({ offset }) => offset);
    assert.deepEqual(
      offsets.map(of),
      Array.from({ length: 5 }, () => "waiting"),
    );
    destination.answers.split(second.stretch, second.index, 2);
    destination.answers.dropped(second.stretch, second.index, "expired");
    assert.equal(of(second.offset), "waiting", "one answer is to come");
    destination.answer(second);
    destination.answer(first, "nobody");
    destination.answer(third);
    assert.deepEqual(offsets.slice(0, 4).map(of), ["nobody", "dropped: expired", "notified", "waiting"]);
    const [last = 0] = offsets.slice(-1);
    const sixth = last + Buffer.byteLength(line({ user: "u4", ts: 4 * SECOND }));
    assert.equal(of(sixth), "filtered: users");
    assert.equal(of(first.offset + 1), undefined);
    assert.equal(of(1_000_000), undefined);
  });

  it("goes on reading when enough of what is in memory was put away, though nothing was answered", async () => {
    write(40_000);
    const { destination } = await start();
    const read = await readingStopped(destination);
    assert.ok(read < 40_000, "memory is full");
    for (const record of destination.given) destination.answers.park(record);
    await given(destination, read + 1);
  });

  it("gives a put-away event back from the journal, and nothing when the journal lost it", async () => {
    write(2);
    const { destination } = await start();
    await given(destination, 2);
    const [first, second] = destination.given as [EventRecord, EventRecord];
    destination.answers.park(first);
    destination.answers.park(first);
    assert.equal(first.event, undefined);
    const loaded = destination.answers.load(first) as MailboxEvent;
    assert.deepEqual([loaded.event, loaded.user, loaded.mailbox], ["MessageNew", "u0", "INBOX"]);
    destination.answers.park(second);
    rmSync(journal.file(SEGMENT));
    await waitFor("the loss", () => directory.segments.size === 0);
    assert.equal(destination.answers.load(second), "gone");
    destination.answer(first);
    destination.answer(second);
  });

  it("works a backlog off whose destination takes some at a time", async () => {
    write(50_000);
    const order: number[] = [];
    const { delivery } = await start(undefined, (made) => {
      let kept: EventRecord[] = [];
      made.onDeliver = (records) => {
        kept.push(...records);
        if (kept.length > 1_000) made.accepting = false;
        setImmediate(() => {
          for (const record of kept) {
            order.push(record.event?.ts ?? -1);
            made.answer(record);
          }
          kept = [];
          made.accepting = true;
          made.answers.resume();
        });
      };
    });
    await waitFor("the backlog", () => order.length === 50_000);
    assert.ok(order.every((ts, index) => ts === index));
    assert.equal(delivery.status().lagRecords, 0);
  });

  it("gives what has just been written also while the backlog has to wait", async () => {
    journal.append(SEGMENT, line({ user: "old", messageId: "x".repeat(900) }).repeat(10_000));
    await waitFor("the backlog to be seen", () => (directory.segments.get(SEGMENT)?.size ?? 0) > 9_000_000);
    const { destination } = await start(undefined, (made) => {
      made.onDeliver = () => (made.accepting = false);
    });
    await readingStopped(destination);
    journal.append(SEGMENT, line({ user: "old", uids: "7" }) + line({ user: "fresh", uids: "8" }));
    await waitFor("the new one", () => destination.given.some(({ event }) => event?.user === "fresh"));
    assert.ok(destination.given.length < 10_000, "the backlog waits");
    destination.accepting = true;
    destination.onDeliver = (records) => records.forEach((record) => destination.answer(record));
    for (const record of destination.given) destination.answer(record);
    destination.answers.resume();
    await given(destination, 10_002);
    assert.equal(destination.places.filter((place, at, all) => all.indexOf(place) !== at).length, 0);
  });
});

describe("the end of a delivery", () => {
  it("lets the destination send what it has, then saves what was answered until then", async () => {
    write(4, 0, SECOND);
    const { delivery, destination } = await start();
    await given(destination, 4);
    destination.onClose = () => {
      for (const record of destination.given.slice(0, 2)) destination.answer(record);
    };
    running.delete(delivery);
    await delivery.close(1_234);
    assert.equal(destination.closedWith, 1_234);
    assert.equal(savedOffset(), destination.given[2]?.offset);
  });

  it("gives nothing more to the destination", async () => {
    write(1);
    const started = await start();
    await given(started.destination, 1);
    await stop(started);
    write(5, 1);
    await waitFor("the growth", () => directory.segments.get(SEGMENT)?.size === line({ user: "u0", ts: 0 }).length * 6);
    started.destination.answer(started.destination.given[0] as EventRecord);
    started.destination.answers.resume();
    await settle();
    assert.equal(started.destination.given.length, 1);
  });
});

describe("a cursor that cannot be saved", () => {
  it("is told once, stops nothing, and is saved when it can be", async () => {
    mkdirSync(`${cursorFile}.new`);
    write(2);
    const started = await start();
    await given(started.destination, 2);
    await waitFor("the error", () => journal.lines.some(({ level }) => level === "error"));
    for (const record of started.destination.given) started.destination.answer(record);
    rmSync(`${cursorFile}.new`, { recursive: true });
    await stop(started);
    const errors = journal.lines.filter(({ level }) => level === "error");
    assert.equal(errors.length, 1);
    assert.match(errors[0]?.msg ?? "", /cannot save the cursor .* a restart sends again what has been sent since/);
    assert.equal(savedOffset(), directory.segments.get(SEGMENT)?.size);
  });

  it("that cannot be read keeps the delivery from starting", async () => {
    mkdirSync(cursorFile);
    await assert.rejects(start(), { code: "ERR_CURSOR" });
  });
});

function savedOffset(): number | undefined {
  try {
    const { segments } = JSON.parse(readFileSync(cursorFile, "utf8")) as {
      segments: Record<string, { offset: number }>;
    };
    return segments[SEGMENT]?.offset;
  } catch {
    return undefined;
  }
}

describe("a journal that is full", () => {
  it("has its deliveries count what they put away, and their destinations called for each segment", async () => {
    journal.append(SEGMENT, line({ user: "a" }) + line({ user: "b" }));
    journal.append(segmentName(101), line({ user: "c" }));
    const { delivery, destination } = await start();
    await given(destination, 3);
    const [a, b] = destination.given as [EventRecord, EventRecord];
    destination.answers.park(a);
    for (const segment of directory.segments.values()) assert.ok(directory.remove(segment, "unread"));
    assert.equal(destination.missedSegments, 1, "nothing of the other one was put away");
    assert.deepEqual([delivery.status().fullBytes, delivery.status().lostBytes], [line({ user: "a" }).length, 0]);
    assert.equal(destination.answers.load(a), "gone");
    assert.equal(b.event?.user, "b", "what is in memory goes on");
    destination.answers.park(b);
    assert.equal(delivery.status().fullBytes, 2 * line({ user: "a" }).length);
    destination.answer(a, "dropped");
    destination.answer(b, "dropped");
    destination.answer(destination.given[2] as EventRecord);
    const { notified, dropped, waiting } = delivery.status().outcomes;
    assert.deepEqual([notified, dropped, waiting], [1, 2, 0]);
  });
});

describe("whole records", () => {
  it("have every field that was recorded, each time, and the scanner's fields are the same in both", async () => {
    const records = fc.sample(anyRecord, { numRuns: 2_000, seed: 7 });
    const lines = records.map((record) => JSON.stringify(record));
    journal.append(SEGMENT, lines.map((text) => `${text}\n`).join(""));
    const whole = await start(undefined, undefined, { wholeRecords: true });
    const scanned = await start();
    await given(whole.destination, records.length);
    await given(scanned.destination, records.length);
    const kept = ["ts", "event", "user", "mailbox", "sep", "uids", "cn", "backend", "resolver"] as const;
    for (const [index, text] of lines.entries()) {
      const wanted = parseRecord(text);
      assert.deepEqual(whole.destination.given[index]?.event, wanted);
      const few = scanned.destination.given[index]?.event as Partial<Record<string, unknown>> | undefined;
      for (const field of kept)
        assert.deepEqual(few?.[field], (wanted as unknown as Record<string, unknown>)[field], text);
    }
  });
});
