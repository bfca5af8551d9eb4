import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { fairShare } from "../../src/journal/fair-share.ts";

const used = (usages: readonly number[], share: number): number =>
  usages.reduce((sum, usage) => sum + Math.min(usage, share), 0);

describe("the fair share", () => {
  it("leaves who uses little what it has, and gives the rest to the others in equal parts", () => {
    assert.equal(fairShare([1, 100, 200], 101), 50);
    assert.equal(fairShare([100, 100, 200], 300), 100);
    assert.equal(fairShare([10, 20], 30), Infinity);
    assert.equal(fairShare([], 0), Infinity);
    assert.equal(fairShare([5], 0), 0);
  });

  it("uses the whole total, and no more, whatever each has", () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 1e9 })), fc.nat({ max: 1e9 }), (usages, total) => {
        const share = fairShare(usages, total);
        const sum = usages.reduce((all, usage) => all + usage, 0);
        if (sum <= total) assert.equal(share, Infinity);
        else assert.ok(Math.abs(used(usages, share) - total) <= 1e-3 * usages.length);
      }),
    );
  });
});
