import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { checkConfig } from "../src/config.ts";
import { Deliveries } from "../src/deliveries.ts";
import type { Configured } from "../src/make-delivery.ts";
import { Pauses } from "../src/delivery/pauses.ts";
import type { DestinationState } from "../src/delivery/state.ts";
import type { JournalDirectory } from "../src/journal/directory.ts";
import type { Segment } from "../src/journal/segment.ts";
import type { FakeDestination } from "./helpers/fake-destination.ts";
import { fakeKind, type FakeKind } from "./helpers/fake-kind.ts";
import { line, segmentName, TestJournal } from "./helpers/journal.ts";
import { waitFor } from "./helpers/wait.ts";

const SEGMENT = segmentName(100);
const DRAIN_MS = 7_000;

let journal: TestJournal;
let directory: JournalDirectory;
let fake: FakeKind;
let opened: Deliveries[];

beforeEach(async () => {
  journal = new TestJournal();
  directory = await journal.open();
  fake = fakeKind();
  opened = [];
});
afterEach(async () => {
  for (const deliveries of opened) await deliveries.close();
  journal.remove();
});

/** As ocnotify.yaml would have them, of the fake kind. */
async function configured(
  destinations: Record<string, Record<string, unknown>>,
  maxConnections = 10,
): Promise<Configured> {
  const written = Object.entries(destinations).map(([name, options]) => [name, { type: "fake", ...options }]);
  const config = await checkConfig({ destinations: Object.fromEntries(written) }, "the test", fake.load);
  return { destinations: config.destinations, kinds: await fake.load([]), maxConnections, drainMs: DRAIN_MS };
}

async function open(destinations: Record<string, Record<string, unknown>>): Promise<Deliveries> {
  const pauses = await Pauses.load(join(journal.folder, "paused.json"));
  const context = { stateDirectory: journal.folder, hostId: "mx1", directory, pauses, log: journal.log };
  const deliveries = new Deliveries(context, await configured(destinations));
  opened.push(deliveries);
  await deliveries.start();
  return deliveries;
}

/** Ends them as a daemon does that stops. */
async function close(deliveries: Deliveries): Promise<void> {
  opened.splice(opened.indexOf(deliveries), 1);
  await deliveries.close();
}

function destination(name: string): FakeDestination {
  const made = fake.made.get(name);
  assert.ok(made !== undefined, `a destination ${name} was made`);
  return made;
}

function write(...users: string[]): void {
  journal.append(SEGMENT, users.map((user) => line({ user })).join(""));
}

async function given(name: string, ...users: string[]): Promise<void> {
  const told = (): string[] => destination(name).given.map(({ event }) => event?.user ?? "?");
  await waitFor(`${name} to get ${users.join(", ")}`, () => told().length >= users.length);
  assert.deepEqual(told(), users);
}

function stateOf(deliveries: Deliveries, name: string): DestinationState {
  const status = deliveries.status()[name];
  assert.ok(status !== undefined, `a status of ${name}`);
  return status.state;
}

function segment(): Segment {
  const found = directory.segments.get(SEGMENT);
  assert.ok(found !== undefined);
  return found;
}

const warned = (pattern: RegExp): number =>
  journal.lines.filter(({ level, msg }) => (level === "warn" || level === "error") && pattern.test(msg)).length;

describe("a destination that is paused", { timeout: 30_000 }, () => {
  it("gets nothing, keeps the segments, and goes on from its cursor when it is resumed", async () => {
    const deliveries = await open({ a: {}, b: {} });
    write("1");
    await given("a", "1");
    await given("b", "1");
    const first = destination("a");
    const state = await deliveries.pause("a", "jdoe");
    assert.deepEqual([state.name, state.by], ["paused", "jdoe"]);
    assert.equal(first.closedWith, 2_000, "what is under way is finished, and no more is begun");
    write("2", "3");
    await given("b", "1", "2", "3");
    assert.equal(first.given.length, 1);
    assert.ok(!deliveries.isPast(segment()), "what it has not read is kept");
    const status = deliveries.status()["a"];
    assert.equal(status?.unreadBytes, 2 * line({ user: "2" }).length);
    assert.ok((status?.lagRecords ?? 0) > 0);
    assert.deepEqual(status?.state, state);
    assert.equal((await deliveries.resume("a")).name, "delivering");
    await given("a", "2", "3");
    await waitFor("the segment to be done with", () => deliveries.isPast(segment()));
  });

  it("stays so over a restart, with what is recorded before and after it", async () => {
    const before = await open({ a: {} });
    write("1");
    await given("a", "1");
    const state = await before.pause("a", undefined);
    write("2");
    await close(before);
    fake.made.clear();
    const after = await open({ a: {} });
    write("3");
    assert.deepEqual(stateOf(after, "a"), state);
    assert.equal(fake.made.size, 0);
    assert.equal(warned(/^paused since .*ocnotify resume a$/), 2, "it is logged when it begins and at each start");
    await after.resume("a");
    await given("a", "2", "3");
    await close(after);
    const again = await open({ a: {} });
    assert.equal(stateOf(again, "a").name, "delivering");
  });

  it("is paused once, and resumed once, however often it is asked for", async () => {
    const deliveries = await open({ a: {} });
    const [first, second] = await Promise.all([deliveries.pause("a", "jdoe"), deliveries.pause("a", "anna")]);
    assert.deepEqual(first, second);
    const [resumed] = await Promise.all([deliveries.resume("a"), deliveries.resume("a")]);
    const made = destination("a");
    assert.equal(resumed.name, "delivering");
    await deliveries.resume("a");
    assert.equal(destination("a"), made);
    assert.equal(made.closedWith, undefined);
  });

  it("must be one that is there: the error names those that are", async () => {
    const deliveries = await open({ a: {}, b: {} });
    const unknown = {
      code: "ERR_UNKNOWN_DESTINATION",
      message: 'there is no destination "c\\u001b". Those that the daemon has: a, b',
    };
    await assert.rejects(deliveries.pause("c\u001b", undefined), unknown);
    await assert.rejects(deliveries.resume("c\u001b"), unknown);
    await assert.rejects(deliveries.pause("constructor", undefined), { code: "ERR_UNKNOWN_DESTINATION" });
  });

  it("cannot be paused before they are there: it may be tried again", async () => {
    const pauses = await Pauses.load(join(journal.folder, "paused.json"));
    const context = { stateDirectory: journal.folder, hostId: "mx1", directory, pauses, log: journal.log };
    const deliveries = new Deliveries(context, await configured({ a: {} }));
    await assert.rejects(deliveries.pause("a", undefined), { code: "ERR_STARTING", canRetry: true });
  });

  it("goes on delivering when the pause cannot be saved", async () => {
    const deliveries = await open({ a: {} });
    const made = destination("a");
    // A directory is in the way of the file.
    mkdirSync(join(journal.folder, "paused.json"));
    await assert.rejects(deliveries.pause("a", undefined), { code: "ERR_PAUSES_SAVE" });
    assert.deepEqual([stateOf(deliveries, "a").name, made.closedWith], ["delivering", undefined]);
    rmdirSync(join(journal.folder, "paused.json"));
    assert.equal((await deliveries.pause("a", undefined)).name, "paused");
  });

  it("that begins at the end has its beginning when it is first seen, though it is paused", async () => {
    fake = fakeKind("end");
    writeFileSync(
      join(journal.folder, "paused.json"),
      JSON.stringify({ version: 1, paused: { a: { since: "2026-11-23T17:59:19.598Z" } } }),
    );
    write("1");
    await waitFor("the segment", () => directory.segments.size === 1);
    const deliveries = await open({ a: {} });
    write("2");
    await deliveries.resume("a");
    await given("a", "2");
  });
});

describe("a destination whose receiver is at fault", { timeout: 30_000 }, () => {
  it("is held: it gets nothing more, new records neither, until it is released", async () => {
    const deliveries = await open({ a: {} });
    const a = destination("a");
    write("1");
    await given("a", "1");
    a.answers.hold("crm.example.com answers 503");
    const { since } = stateOf(deliveries, "a");
    assert.deepEqual(stateOf(deliveries, "a"), { name: "held", since, reason: "crm.example.com answers 503" });
    write("2");
    await waitFor("what is recorded to be seen", () => deliveries.status()["a"]?.unreadBytes !== 0);
    a.answers.resume();
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(a.given.length, 1);
    assert.ok(!deliveries.isPast(segment()));
    a.answers.hold("crm.example.com refuses connections");
    assert.deepEqual(stateOf(deliveries, "a"), { name: "held", since, reason: "crm.example.com refuses connections" });
    a.answers.release();
    await given("a", "1", "2");
    a.answers.release();
    assert.equal(stateOf(deliveries, "a").name, "delivering");
    const said = journal.lines.filter(({ destination: name }) => name === "a").map(({ level, msg }) => [level, msg]);
    assert.deepEqual(said, [
      ["warn", "held: crm.example.com answers 503. Until it delivers again, the journal keeps what is recorded for it"],
      ["info", "delivers again"],
    ]);
  });

  it("is not held any more when it was paused and resumed", async () => {
    const deliveries = await open({ a: {} });
    destination("a").answers.hold("it is so");
    assert.equal((await deliveries.pause("a", undefined)).name, "paused");
    assert.equal((await deliveries.resume("a")).name, "delivering");
  });
});

describe("a changed configuration", { timeout: 30_000 }, () => {
  it("adds, changes and removes destinations, and leaves alone what is as it was", async () => {
    const deliveries = await open({ same: {}, changed: {}, removed: {} });
    write("1");
    for (const name of ["same", "changed", "removed"]) await given(name, "1");
    const [same, before, removed] = [destination("same"), destination("changed"), destination("removed")];
    await deliveries.change(await configured({ added: {}, changed: { label: "new" }, same: {} }));
    assert.deepEqual(Object.keys(deliveries.status()), ["added", "changed", "same"]);
    assert.equal(destination("same"), same);
    assert.equal(same.closedWith, undefined);
    assert.deepEqual([before.closedWith, removed.closedWith], [DRAIN_MS, DRAIN_MS]);
    write("2");
    await given("same", "1", "2");
    await given("changed", "2");
    await given("added", "1", "2");
    assert.equal(removed.given.length, 1);
    assert.ok(existsSync(join(journal.folder, "removed.cursor")));
    const said = journal.lines.find(({ destination: name }) => name === "removed");
    assert.match(said?.msg ?? "", /^the destination is removed\. .*removed\.cursor/);
  });

  it("takes one that is removed out of what the journal is kept for, and one that is added into it", async () => {
    fake = fakeKind("oldest", false);
    const deliveries = await open({ answers: {}, waits: {} });
    write("1");
    await given("answers", "1");
    await given("waits", "1");
    destination("answers").given.forEach((record) => destination("answers").answer(record));
    assert.ok(!deliveries.isPast(segment()));
    await deliveries.change(await configured({ answers: {} }));
    assert.ok(deliveries.isPast(segment()));
    await deliveries.change(await configured({ answers: {}, added: {} }));
    assert.ok(!deliveries.isPast(segment()));
  });

  it("deletes nothing while a destination is between its end and its beginning", async () => {
    const deliveries = await open({ a: {} });
    write("1");
    await given("a", "1");
    await waitFor("the segment to be done with", () => deliveries.isPast(segment()));
    let past: boolean | undefined;
    destination("a").onClose = () => (past = deliveries.isPast(segment()));
    await deliveries.pause("a", undefined);
    assert.equal(past, false);
    assert.ok(deliveries.isPast(segment()), "a paused one that has read it needs it no more");
  });

  it("leaves a paused destination paused, also one that was away, and gives it its new options", async () => {
    const deliveries = await open({ a: {} });
    const state = await deliveries.pause("a", "jdoe");
    await deliveries.change(await configured({ a: { label: "new" } }));
    assert.deepEqual(stateOf(deliveries, "a"), state);
    await deliveries.change(await configured({ b: {} }));
    await deliveries.change(await configured({ a: { label: "new" }, b: {} }));
    assert.deepEqual(stateOf(deliveries, "a"), state);
  });

  it("holds a destination that cannot be made, with the reason, until it can", async () => {
    const deliveries = await open({ a: {} });
    write("1");
    await given("a", "1");
    fake.fault = new Error("the secret cannot be read");
    await deliveries.change(await configured({ a: { label: "new" }, b: {} }));
    for (const name of ["a", "b"]) {
      assert.equal(stateOf(deliveries, name).name, "held");
      assert.match(
        stateOf(deliveries, name).reason ?? "",
        new RegExp(`${name}: the secret cannot be read.*ocnotify resume ${name}`),
      );
    }
    write("2");
    assert.equal(warned(/^held: /), 2);
    await deliveries.resume("b");
    assert.equal(stateOf(deliveries, "b").name, "held");
    fake.fault = undefined;
    await deliveries.resume("b");
    await given("b", "1", "2");
    await deliveries.change(await configured({ a: { label: "new" }, b: {} }));
    await given("a", "2");
  });

  it("keeps everything for a destination whose cursor cannot be used", async () => {
    const deliveries = await open({});
    write("1");
    await waitFor("the segment", () => directory.segments.size === 1);
    writeFileSync(join(journal.folder, "a.cursor"), "garbage");
    await deliveries.change(await configured({ a: {} }));
    assert.match(stateOf(deliveries, "a").reason ?? "", /a\.cursor is not JSON.*Delete it/);
    assert.ok(!deliveries.isPast(segment()));
  });

  it("changes the level of every destination's log", async () => {
    const deliveries = await open({ a: {} });
    deliveries.setLevel("error");
    await deliveries.pause("a", undefined);
    assert.equal(warned(/^paused since/), 0);
  });
});

describe("a destination that begins at the journal's end", { timeout: 30_000 }, () => {
  beforeEach(() => {
    fake = fakeKind("end");
  });

  it("gets nothing that was recorded before, has saved that when it is there, and says so", async () => {
    write("1", "2");
    journal.append(segmentName(101), line({ user: "3" }));
    await waitFor("the segments", () => directory.segments.size === 2);
    const first = await open({ a: {} });
    const cursor = JSON.parse(readFileSync(join(journal.folder, "a.cursor"), "utf8")) as { segments: object };
    assert.deepEqual(
      Object.entries(cursor.segments).map(([name, { offset }]) => [name, offset]),
      [
        [SEGMENT, 2 * line({ user: "1" }).length],
        [segmentName(101), line({ user: "3" }).length],
      ],
    );
    const said = journal.lines.find(({ msg }) => msg.startsWith("a new destination begins"));
    assert.deepEqual([said?.level, said?.["bytesBefore"]], ["info", 3 * line({ user: "1" }).length]);
    assert.match(said?.msg ?? "", /ocnotify tail --since 1h/);
    write("4");
    await given("a", "4");
    await close(first);
    write("5");
    await open({ a: {} });
    await given("a", "5");
  });

  it("gets what was recorded after it was there, though it was killed before it saved anything more", async () => {
    write("1");
    await waitFor("the segment", () => directory.segments.size === 1);
    const first = await open({ a: {} });
    const saved = readFileSync(join(journal.folder, "a.cursor"));
    journal.append(segmentName(101), line({ user: "2" }));
    write("3");
    await waitFor("both", () => destination("a").given.length === 2);
    await close(first);
    writeFileSync(join(journal.folder, "a.cursor"), saved);
    await open({ a: {} });
    await waitFor("both again", () => destination("a").given.length === 2);
  });

  it("is not taken for another one whose file has got the same inode: the cursor has the segment's beginning", async () => {
    write("1");
    await waitFor("the segment", () => directory.segments.size === 1);
    await open({ a: {} });
    const cursor = readFileSync(join(journal.folder, "a.cursor"), "latin1");
    assert.match(cursor, /"identity":"\d+:64:[\w-]{27}"/);
  });
});
