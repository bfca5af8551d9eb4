import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Owners } from "../../src/journal/owners.ts";
import { Progress } from "../../src/journal/progress.ts";
import { Turns } from "../../src/journal/turns.ts";
import { Writer } from "../../src/journal/writer.ts";
import { noSegment } from "../helpers/journal.ts";

/** A segment with something to read, of a writer who is not trusted unless the uid is 0. */
function progressOf(uid: number, bucket = 1, writer = new Writer(uid, new Owners([]), () => undefined)): Progress {
  return new Progress(noSegment({ uid, bucket, size: 10 }), writer, 0);
}

/** The turns in their order, each of which reads everything of one segment. */
function turnsOf(turns: Turns): string[] {
  const order: string[] = [];
  while (turns.any) {
    const chain = turns.begin();
    if (chain?.first === undefined) continue;
    const { segment } = chain.first;
    order.push(`${segment.uid}:${segment.bucket}`);
    chain.first.readAt = segment.size;
    turns.end(chain);
  }
  return order;
}

describe("the turns of reading", () => {
  it("go round the uids, and within one from the oldest segment to the newest", () => {
    const turns = new Turns();
    for (const bucket of [3, 1, 2]) turns.add(progressOf(5, bucket));
    turns.add(progressOf(6));
    assert.deepEqual(turnsOf(turns), ["5:1", "6:1", "5:2", "5:3"]);
    assert.equal(turns.any, false);
    assert.deepEqual([...turns.chains], []);
  });

  it("are one for a segment, however often it has grown, and none when there is nothing to read", () => {
    const turns = new Turns();
    const progress = progressOf(5);
    turns.add(progress);
    turns.add(progress);
    const done = progressOf(6);
    done.readAt = done.segment.size;
    turns.add(done);
    assert.deepEqual(turnsOf(turns), ["5:1"]);
  });

  it("come again to a segment of which not everything was read", () => {
    const turns = new Turns();
    turns.add(progressOf(5));
    const chain = turns.begin();
    assert.ok(chain !== undefined);
    assert.equal(turns.any, false, "its turn is under way");
    turns.end(chain);
    assert.deepEqual(turnsOf(turns), ["5:1"]);
  });

  it("pass over a writer that has no room until it has some", () => {
    const turns = new Turns();
    const writer = new Writer(5, new Owners([]), () => undefined);
    turns.add(progressOf(5, 1, writer));
    writer.awaits(writer.room);
    assert.equal(turns.begin(), undefined);
    assert.equal(turns.any, false);
    assert.deepEqual(
      Array.from(turns.chains, ({ held }) => held),
      [true],
    );
    while (writer.room === 0) writer.answered();
    assert.equal(turns.release(5), true);
    assert.equal(turns.release(5), false, "once");
    assert.deepEqual(turnsOf(turns), ["5:1"]);
    assert.equal(turns.release(7), false);
  });
});
