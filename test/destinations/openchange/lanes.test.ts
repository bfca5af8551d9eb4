import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { Lanes, type WriterLane } from "../../../src/destinations/openchange/lanes.ts";
import type { Job, Route } from "../../../src/destinations/openchange/route.ts";
import type { Writer } from "../../../src/delivery/destination.ts";
import { OWN_UID, STRANGE_UID, writerOf } from "../../helpers/journal.ts";

const trusted = writerOf(OWN_UID);
const strange = writerOf(STRANGE_UID);
const other = writerOf(STRANGE_UID + 1);

/** A job of this writer; its offset tells it from others. */
const jobOf = (writer: Writer, offset = 0): Job => ({ record: { stretch: { writer }, offset } }) as unknown as Job;

let lanes: Lanes;
beforeEach(() => {
  lanes = new Lanes();
});

/** Pushes so many jobs of a writer. */
function push(writer: Writer, count: number): void {
  for (let offset = 0; offset < count; offset++) lanes.push(jobOf(writer, offset));
}

/** Takes all, one in each turn: whose each was. */
function takeAll(): Writer[] {
  const taken: Writer[] = [];
  for (let lane = lanes.first; lane !== undefined; lane = lanes.first) {
    taken.push((lanes.shift(lane) as Job).record.stretch.writer);
    lanes.turn(lane);
  }
  return taken;
}

const begin = (lane: WriterLane, job: Job): void => lanes.begin(lane, { job, rest: [].values(), next: undefined });

const jobFor = (route: Route, offset: number): Job => ({ ...jobOf(trusted, offset), route });

describe("what waits for a host", () => {
  it("is in order for all who are trusted together", () => {
    const second = writerOf(0);
    lanes.push(jobOf(trusted, 1));
    lanes.push(jobOf(second, 2));
    lanes.push(jobOf(trusted, 3));
    assert.equal(lanes.several, false);
    assert.deepEqual(
      [...lanes].map(({ record }) => record.offset),
      [1, 2, 3],
    );
    assert.equal(takeAll().length, 3);
    assert.equal(lanes.first, undefined);
  });

  it("takes turns with what each other writer lets wait, and those who are trusted have every other turn", () => {
    push(strange, 4);
    push(other, 2);
    push(trusted, 3);
    assert.equal(lanes.several, true);
    const names = new Map<Writer, string>([
      [trusted, "t"],
      [strange, "s"],
      [other, "o"],
    ]);
    const turns = takeAll().map((writer) => names.get(writer));
    assert.equal(turns.join(""), "tstotsoss");
    assert.equal(lanes.length, 0);
  });

  it("is not held up by a job that is begun", () => {
    push(strange, 1);
    const lane = lanes.first as WriterLane;
    begin(lane, lanes.shift(lane) as Job);
    assert.equal(lanes.length, 1);
    push(trusted, 1);
    lanes.turn(lane);
    const next = lanes.first as WriterLane;
    assert.notEqual(next, lane);
    lanes.shift(next);
    lanes.turn(next);
    assert.equal(lanes.first, lane);
    lanes.end(lane);
    assert.equal(lanes.length, 0);
    assert.equal(lanes.first, undefined);
  });

  it("comes before what waits when it is put back, in the order of each writer", () => {
    push(strange, 2);
    push(trusted, 1);
    const lane = lanes.first as WriterLane;
    begin(lane, lanes.shift(lane) as Job);
    const begun = lanes.takeBegun();
    assert.equal(begun.length, 1);
    lanes.putBack([jobOf(strange, 10), ...begun, jobOf(strange, 11)]);
    assert.equal(lanes.length, 5);
    const ofStrange = [...lanes].filter(({ record }) => record.stretch.writer === strange);
    assert.deepEqual(
      ofStrange.map(({ record }) => record.offset),
      [10, 11, 0, 1],
    );
  });

  it("lets others go first while it is set aside, with what follows of its user, and is then first again", () => {
    const [anna, bert] = [{} as Route, {} as Route];
    for (const [offset, route] of [anna, bert, anna, bert].entries()) lanes.push(jobFor(route, offset));
    const lane = lanes.first as WriterLane;
    lanes.setAside(lanes.shift(lane) as Job);
    assert.equal(lanes.isAside(jobFor(anna, 2)), true);
    assert.equal(lanes.isAside(jobFor(bert, 3)), false);
    assert.equal(lanes.length, 4);
    assert.equal(lane.length, 3);
    assert.equal(lanes.takeIf(({ record }) => record.offset === 0).length, 1, "also when it is taken back");
    assert.equal(lanes.isAside(jobFor(anna, 2)), false);
    lanes.setAside(lanes.shift(lane) as Job);
    assert.deepEqual(
      [...lanes].map(({ record }) => record.offset),
      [1, 2, 3],
    );
    assert.equal(lanes.length, 3);
  });

  it("can be taken back by a test, and the oldest of the longest first", () => {
    push(strange, 5);
    push(trusted, 2);
    assert.equal(lanes.takeIf(({ record }) => record.offset === 1).length, 2);
    assert.equal(lanes.length, 5);
    assert.deepEqual(
      lanes.takeOldest(2).map(({ record }) => [record.stretch.writer, record.offset]),
      [
        [strange, 0],
        [strange, 2],
      ],
    );
    assert.equal(lanes.takeOldest(Infinity).length, 3);
    assert.equal(lanes.length, 0);
    assert.equal(lanes.first, undefined);
  });
});
