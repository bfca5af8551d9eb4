import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ChunkBuilder, type Receipt } from "../../../src/destinations/openchange/chunk.ts";
import type { Job, Route } from "../../../src/destinations/openchange/route.ts";
import { Progress } from "../../../src/journal/progress.ts";
import { LineStarts, Stretch } from "../../../src/journal/stretch.ts";
import { noSegment, writerOf } from "../../helpers/journal.ts";

/** Beyond 2 GiB, so that offsets are no small integers. */
function jobsOf(count: number, offset = 3e9): Job[] {
  const stretch = new Stretch(new Progress(noSegment(), writerOf(0), 0), offset, 17, 17, 17);
  const starts = new LineStarts(offset);
  const add = (from: number): number => stretch.add(from, from + 300, starts);
  return Array.from({ length: count }, (_, n) => ({
    record: { stretch, index: add(offset + n * 300), offset: offset + n * 300, event: undefined },
    route: { cn: `user${n}` } as Route,
    unencoded: 1,
  }));
}

describe("a chunk", () => {
  it("gives back the jobs that were added, in their order", () => {
    const builder = new ChunkBuilder([]);
    const jobs = jobsOf(3);
    for (const job of jobs) builder.add(job);
    const chunk = builder.build(5);
    assert.equal(chunk.length, 3);
    assert.equal(chunk.notifications, 5);
    assert.deepEqual([...chunk.jobs()], jobs);
    const places: unknown[] = [];
    chunk.forEach((stretch, index) => places.push([stretch, index]));
    assert.deepEqual(
      places,
      jobs.map(({ record }) => [record.stretch, record.index]),
    );
  });

  it("has only what was added to its own builder, whatever else was gathered in the same space", () => {
    const space: Receipt[] = [];
    const given = new ChunkBuilder(space);
    for (const job of jobsOf(9)) given.add(job);
    const before = given.build(9);
    const abandoned = new ChunkBuilder(space);
    for (const job of jobsOf(5, 9_000)) abandoned.add(job);
    const [last] = jobsOf(1, 1_000) as [Job];
    const builder = new ChunkBuilder(space);
    builder.add(last);
    assert.deepEqual([...builder.build(1).jobs()], [last]);
    assert.equal(new ChunkBuilder(space).build(0).length, 0);
    assert.equal(before.length, 9);
    assert.deepEqual(
      [...before.jobs()].map(({ route }) => route.cn),
      jobsOf(9).map(({ route }) => route.cn),
    );
  });
});
