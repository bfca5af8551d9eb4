import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Progress } from "../../src/journal/progress.ts";
import { Stretch } from "../../src/journal/stretch.ts";
import { noSegment } from "../helpers/journal.ts";

function stretchOf(records: number): Stretch {
  const stretch = new Stretch(new Progress(noSegment(), 0), 0, 0, 0, 0);
  for (let index = 0; index < records; index++) assert.equal(stretch.add(), index);
  return stretch;
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
    stretch.add();
    assert.equal(stretch.takes(0), false);
    assert.equal(stretch.answered, false);
  });
});
