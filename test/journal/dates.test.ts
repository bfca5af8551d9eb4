import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import fc from "fast-check";
import { Dates } from "../../src/journal/dates.ts";
import { noSegment } from "../helpers/journal.ts";

const DAY = 24 * 60 * 60_000;
const YEAR = 365 * DAY;
const UNIX_MS = Date.UTC(2026, 10, 23);
/** The process's clock. */
const NOW = 40 * DAY;

/** How long ago the date of a record is, for one that is read now, in milliseconds. */
function ageOf(t: TestContext, dateMs: number, foundAt = -Infinity): number {
  t.mock.timers.reset();
  t.mock.timers.enable({ apis: ["Date"], now: UNIX_MS });
  t.mock.method(performance, "now", () => NOW);
  const dates = new Dates();
  dates.read(noSegment({ foundAt }), 0);
  return NOW - dates.happenedAt(dateMs * 1_000);
}

describe("the age of a record when it is read", () => {
  it("is what its date says, when that can be", (t) => {
    assert.equal(ageOf(t, UNIX_MS), 0);
    assert.equal(ageOf(t, UNIX_MS - 1_234), 1_234);
    assert.equal(ageOf(t, UNIX_MS - 3 * DAY), 3 * DAY);
  });

  it("is none for a date in the future", (t) => {
    assert.equal(ageOf(t, UNIX_MS + 1), 0);
    assert.equal(ageOf(t, UNIX_MS + YEAR), 0);
  });

  it("is at most thirty days, and at most the time since its segment was found", (t) => {
    assert.equal(ageOf(t, 0), 30 * DAY);
    assert.equal(ageOf(t, 0, NOW - 5_000), 5_000);
    assert.equal(ageOf(t, UNIX_MS - 1_000, NOW - 5_000), 1_000);
  });

  it("is a whole number of milliseconds between these, whatever the date", (t) => {
    fc.assert(
      fc.property(fc.nat({ max: Number.MAX_SAFE_INTEGER }), (ts) => {
        const age = ageOf(t, ts / 1_000);
        assert.ok(Number.isSafeInteger(age) && age >= 0 && age <= 30 * DAY, `${age}`);
      }),
      { numRuns: 50 },
    );
  });
});
