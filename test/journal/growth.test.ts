import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Growth } from "../../src/journal/growth.ts";

describe("when the bytes of a segment were seen", () => {
  it("is when it was found, for what was there then", () => {
    const growth = new Growth(100, 5);
    assert.equal(growth.seenAt(100), 5);
    growth.changed(100, 200, 1_000);
    assert.equal(growth.seenAt(100), 5);
    assert.equal(growth.seenAt(101), 1_000);
  });

  it("is never said to be before it was, and hardly after, for as long as it grows", () => {
    const steps = fc.array(fc.record({ bytes: fc.integer({ min: 1, max: 9 }), ms: fc.integer({ min: 1, max: 120 }) }));
    fc.assert(
      fc.property(steps, (grown) => {
        let now = 0;
        let size = 0;
        const growth = new Growth(size, now);
        const seen: { end: number; at: number }[] = [];
        for (const { bytes, ms } of grown) {
          now += ms;
          growth.changed(size, size + bytes, now);
          size += bytes;
          seen.push({ end: size, at: now });
          for (const { end, at } of seen) {
            assert.ok(growth.seenAt(end) >= at, `${end} was seen at ${at}`);
            // What was seen two steps ago may be answered for by what was asked since.
            if (now - at > 240) assert.ok(growth.seenAt(end) < now, `${end} at ${now}`);
          }
        }
      }),
    );
  });

  it("is the moment of the cut for what comes after one", () => {
    const growth = new Growth(100, 5);
    growth.changed(100, 10, 500);
    growth.changed(10, 100, 510);
    assert.equal(growth.seenAt(100), 510);
    assert.equal(growth.seenAt(10), 5);
  });
});
