import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { RecentOutcomes } from "../../src/delivery/recent-outcomes.ts";

describe("recent outcomes", () => {
  it("are found by the segment and the place of the record, the last one first", () => {
    const outcomes = new RecentOutcomes();
    outcomes.add("1.5000.ndjson", 0, "notified", 10);
    outcomes.add("1.5000.ndjson", 300, "dropped: expired", 20);
    outcomes.add("1.5000.0123456789abcdef.ndjson", 600, "nobody", 30);
    outcomes.add("10.5000.ndjson", 900, "ignored", 40);
    outcomes.add("1.5000.ndjson", 0, "filtered: users", 50);
    assert.deepEqual(outcomes.of("1.5000.", 0), { outcome: "filtered: users", atMs: 50 });
    assert.deepEqual(outcomes.of("1.5000.", 300), { outcome: "dropped: expired", atMs: 20 });
    assert.deepEqual(outcomes.of("1.5000.", 600), { outcome: "nobody", atMs: 30 });
    assert.equal(outcomes.of("1.5000.", 900), undefined);
    assert.equal(outcomes.of("1.500.", 0), undefined);
  });

  it("are the last 50,000", () => {
    const outcomes = new RecentOutcomes();
    for (let each = 0; each < 120_000; each++)
      outcomes.add("1.0.ndjson", each, each % 2 === 0 ? "notified" : "nobody", each);
    assert.equal(outcomes.of("1.0.", 69_999), undefined);
    for (const each of [70_000, 99_999, 100_000, 119_999]) {
      assert.deepEqual(outcomes.of("1.0.", each), { outcome: each % 2 === 0 ? "notified" : "nobody", atMs: each });
    }
  });
});
