import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Queue } from "../src/queue.ts";

describe("a queue", () => {
  it("gives back what it was given, first in first out", () => {
    const queue = new Queue<string>();
    assert.equal(queue.shift(), undefined);
    assert.equal(queue.first, undefined);
    queue.push("a");
    queue.push("b");
    assert.equal(queue.first, "a");
    assert.equal(queue.length, 2);
    assert.equal(queue.shift(), "a");
    queue.putBack(["x", "y"]);
    assert.deepEqual([...queue], ["x", "y", "b"]);
    queue.putBack([]);
    assert.equal(queue.length, 3);
  });

  it("behaves like an array, whatever is done to it", () => {
    const operation = fc.oneof(
      { weight: 5, arbitrary: fc.record({ push: fc.integer({ min: 1, max: 3_000 }) }) },
      { weight: 4, arbitrary: fc.record({ shift: fc.integer({ min: 1, max: 3_000 }) }) },
      { weight: 1, arbitrary: fc.record({ putBack: fc.array(fc.nat(), { maxLength: 5 }) }) },
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 12 }), (operations) => {
        const queue = new Queue<number>();
        const model: number[] = [];
        let next = 0;
        for (const one of operations) {
          if ("push" in one) {
            for (let n = 0; n < one.push; n++) {
              queue.push(next);
              model.push(next++);
            }
          } else if ("shift" in one) {
            for (let n = 0; n < one.shift; n++) assert.equal(queue.shift(), model.shift());
          } else {
            queue.putBack(one.putBack);
            model.unshift(...one.putBack);
          }
          assert.equal(queue.length, model.length);
          assert.equal(queue.first, model[0]);
          assert.deepEqual([...queue], model);
        }
      }),
      { numRuns: 50 },
    );
  });

  it("costs the same at any length", () => {
    const queue = new Queue<number>();
    const started = performance.now();
    for (let n = 0; n < 1_000_000; n++) queue.push(n);
    for (let n = 0; n < 1_000_000; n++) assert.ok(queue.shift() === n);
    assert.ok(performance.now() - started < 2_000);
  });
});
