import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { eventId, parseEventId } from "../../src/delivery/event-id.ts";

describe("the id of an event", () => {
  it("is its place", () => {
    assert.equal(eventId("mx1", "2992428.5000.ndjson", 312, 1795452606246714), "mx1_2992428_5000_312_hofnjgjol6");
    const random = "2992428.5000.0123456789abcdef.ndjson";
    assert.equal(eventId("mx1", random, 0, 1), "mx1_2992428_5000_0_1");
  });

  it("says again what it was made of", () => {
    fc.assert(
      fc.property(
        fc.stringMatching(/^[a-z0-9-]{1,32}$/),
        fc.integer({ min: 0, max: 1e12 - 1 }),
        fc.integer({ min: 0, max: 2 ** 32 - 2 }),
        fc.maxSafeNat(),
        fc.maxSafeNat(),
        (host, bucket, uid, offset, tsUs) => {
          const id = eventId(host, `${bucket}.${uid}.ndjson`, offset, tsUs);
          assert.deepEqual(parseEventId(id), { host, bucket, uid, offset, tsUs });
          assert.match(id, /^[a-z0-9_-]+$/);
        },
      ),
    );
  });

  it("is nothing else", () => {
    for (const text of [
      "",
      "a",
      "mx1_1_2_3",
      "mx1_1_2_3_x_y",
      "Mx1_1_2_3_x",
      "mx1_1_2_-3_x",
      "mx1_1_2_3_x\n",
      "a.b_1_2_3_x",
    ]) {
      assert.equal(parseEventId(text), undefined, text);
    }
    fc.assert(fc.property(fc.string(), (text) => parseEventId(text) === undefined || text.includes("_")));
    assert.equal(parseEventId(`mx1_1_2_9999999999999999_1`), undefined, "an offset beyond what a number holds");
    assert.equal(parseEventId("mx1_1_2_3_zzzzzzzzzzz"), undefined);
  });
});
