import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { FairQueue } from "../../../src/protocols/sp/fair-queue.ts";

describe("a fair queue", () => {
  it("serves its sources in turn", () => {
    const queue = new FairQueue<string, string>();
    for (const item of ["a1", "a2", "a3"]) queue.push("a", item);
    queue.push("b", "b1");
    assert.deepEqual(
      Array.from({ length: 5 }, () => queue.shift()),
      ["a1", "b1", "a2", "a3", undefined],
    );
  });

  it("keeps each source's order and loses nothing", () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.nat({ max: 3 }), fc.constant("take" as const))), (steps) => {
        const queue = new FairQueue<number, string>();
        const pushed: string[][] = [[], [], [], []];
        const taken: string[][] = [[], [], [], []];
        const take = (): boolean => {
          const item = queue.shift();
          if (item !== undefined) taken[Number(item[0])]?.push(item);
          return item !== undefined;
        };
        for (const [index, step] of steps.entries()) {
          if (step === "take") {
            take();
            continue;
          }
          queue.push(step, `${step}:${index}`);
          pushed[step]?.push(`${step}:${index}`);
        }
        assert.equal(queue.size, pushed.flat().length - taken.flat().length);
        while (take());
        assert.deepEqual(taken, pushed);
        assert.equal(queue.size, 0);
        assert.equal(queue.bytes, 0);
      }),
    );
  });
});
