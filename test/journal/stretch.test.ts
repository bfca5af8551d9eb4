import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Progress } from "../../src/journal/progress.ts";
import { LineStarts, Stretch } from "../../src/journal/stretch.ts";
import { noSegment, writerOf } from "../helpers/journal.ts";

/** Records whose lines are 10 bytes long, the first at 100. */
function stretchOf(records: number): Stretch {
  const stretch = new Stretch(new Progress(noSegment(), writerOf(0), 0), 100, 0, 0, 0);
  const starts = new LineStarts(50);
  for (let index = 0; index < records; index++) {
    assert.equal(stretch.add(100 + index * 10, 110 + index * 10, starts), index);
  }
  starts.finish();
  return stretch;
}

function openRuns(stretch: Stretch): number[] {
  const runs: number[] = [];
  stretch.addOpenTo(runs);
  return runs;
}

describe("a stretch of records", () => {
  it("is answered when every record has had its answers, in any order and each once", () => {
    const answers = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 31 });
    fc.assert(
      fc.property(answers, fc.infiniteStream(fc.nat()), (wanted, chance) => {
        const stretch = stretchOf(wanted.length);
        wanted.forEach((count, index) => {
          if (count > 1) stretch.split(index, count);
        });
        const given = wanted.flatMap((count, index) => Array.from({ length: count }, () => index));
        const left = [...wanted];
        while (given.length > 0) {
          assert.equal(stretch.answered, false);
          const [index] = given.splice((chance.next().value as number) % given.length, 1) as [number];
          left[index] = (left[index] as number) - 1;
          assert.equal(stretch.answer(index), left[index] === 0);
        }
        assert.equal(stretch.answered, true);
        for (const index of wanted.keys()) assert.equal(stretch.answer(index), false);
      }),
    );
  });

  it("takes 31 records of one second", () => {
    const stretch = stretchOf(30);
    assert.equal(stretch.takes(999_999), true);
    assert.equal(stretch.takes(1_000_000), false);
    assert.equal(stretch.takes(-1), false);
    stretch.add(400, 410, new LineStarts(50));
    assert.equal(stretch.takes(0), false);
    assert.equal(stretch.answered, false);
  });

  it("knows where each line of an unanswered record is, whatever is answered", () => {
    const records = fc.integer({ min: 1, max: 31 });
    fc.assert(
      fc.property(records, fc.array(fc.nat({ max: 30 })), (count, answers) => {
        const stretch = stretchOf(count);
        const open = new Set(Array.from({ length: count }, (_, index) => index));
        for (const index of answers) {
          if (index < count) stretch.answer(index);
          open.delete(index);
          const runs = openRuns(stretch);
          const lines = new Set<number>();
          for (let at = 0; at < runs.length; at += 2) {
            for (let from = runs[at] as number; from < (runs[at + 1] as number); from += 10) lines.add(from / 10 - 10);
          }
          assert.deepEqual(lines, open);
        }
      }),
    );
  });

  it("is of one run with the stretch before it when nothing lies between", () => {
    const runs = [0, 50, 90, 100];
    stretchOf(31).addOpenTo(runs);
    assert.deepEqual(runs, [0, 50, 90, 410]);
  });
});
