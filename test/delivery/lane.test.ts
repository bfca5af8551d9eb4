import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import type { EventRecord } from "../../src/delivery/destination.ts";
import { isExpired, Lane } from "../../src/delivery/lane.ts";

describe("what waits in a lane", () => {
  it("is an ordered list, whatever is pushed, put back and taken back", () => {
    const operation = fc.oneof(
      fc.record({ push: fc.array(fc.nat(9), { maxLength: 5 }) }),
      fc.record({ putBack: fc.array(fc.nat(9), { maxLength: 3 }) }),
      fc.record({ takeFirst: fc.nat(4) }),
      fc.record({ takeIf: fc.nat(9) }),
      fc.constant({ shift: true }),
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 20 }), (operations) => {
        const lane = new Lane<number>();
        let model: number[] = [];
        for (const one of operations) {
          if ("push" in one) {
            for (const job of one.push) lane.push(job);
            model.push(...one.push);
          } else if ("putBack" in one) {
            lane.putBack(one.putBack);
            model.unshift(...one.putBack);
          } else if ("takeFirst" in one) {
            assert.deepEqual(lane.takeFirst(one.takeFirst), model.splice(0, one.takeFirst));
          } else if ("takeIf" in one) {
            const test = (job: number): boolean => job >= one.takeIf;
            assert.deepEqual(lane.takeIf(test), model.filter(test));
            model = model.filter((job) => !test(job));
          } else {
            assert.equal(lane.shift(), model.shift());
          }
          assert.deepEqual([...lane], model);
          assert.equal(lane.length, model.length);
          assert.equal(lane.first, model[0]);
        }
      }),
      { numRuns: 300 },
    );
  });

  it("stays when the test of what to take throws", () => {
    const lane = new Lane<number>();
    for (const job of [1, 2, 3]) lane.push(job);
    assert.throws(() =>
      lane.takeIf((job) => {
        if (job === 3) throw new Error("no");
        return true;
      }),
    );
    assert.deepEqual([...lane], [1, 2, 3]);
  });

  it("is expired when its change happened longer ago than the time to live", () => {
    const lane = new Lane<{ readonly record: EventRecord }>();
    for (const happenedAt of [900, 999, 1_000, 1_001]) {
      lane.push({ record: { stretch: { happenedAt } } as unknown as EventRecord });
    }
    const expired = lane.takeIf(isExpired(5_000, 6_000));
    assert.deepEqual(
      [expired, [...lane]].map((jobs) => jobs.map(({ record }) => record.stretch.happenedAt)),
      [
        [900, 999],
        [1_000, 1_001],
      ],
    );
  });
});
