import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { countersOf, JOURNAL_COUNTERS, lossesOf } from "../src/counters.ts";
import { KIND_TYPES, loadKinds } from "../src/destinations/kinds.ts";
import { statusOf } from "./helpers/status.ts";

const kinds = await loadKinds(KIND_TYPES);
/** The counters of every kind. */
const DESTINATION_COUNTERS = Object.assign({}, ...[...kinds.values()].map(countersOf)) as ReturnType<typeof countersOf>;

describe("the counters of the status", () => {
  it("stand in docs/operations.md, each with the same meaning and remedy, and no other does", () => {
    const text = readFileSync(new URL("../docs/operations.md", import.meta.url), "utf8");
    const rows = text.matchAll(/^\| `(journal|destination)\.([A-Za-z.-]+)` \| (.+) \| (.*) \|$/gm);
    const documented = Array.from(rows, ([, part, counter, meaning, remedy]) =>
      [`${part}.${counter}`, meaning, remedy].join(" | "),
    );
    const wanted = [
      ...Object.entries(JOURNAL_COUNTERS).map(([name, counter]) => ({ name: `journal.${name}`, ...counter })),
      ...Object.entries(DESTINATION_COUNTERS).map(([name, counter]) => ({ name: `destination.${name}`, ...counter })),
    ].map(({ name, meaning, remedy = "–" }) => [name, meaning, remedy].join(" | "));
    assert.deepEqual(documented, wanted);
  });

  it("that count a loss have a remedy, and only they", () => {
    for (const [name, { loss, remedy }] of Object.entries({ ...JOURNAL_COUNTERS, ...DESTINATION_COUNTERS })) {
      assert.equal(loss === undefined, remedy === undefined, name);
    }
  });
});

describe("the losses of a status", () => {
  it("are none while nothing is lost", () => {
    assert.deepEqual(lossesOf(statusOf(), kinds), []);
  });

  it("are each counter over 0, in words, with what to do", () => {
    const losses = lossesOf(
      statusOf({ malformed: 3, dropped: { expired: 2, unregistered: 9 } }, { symlink: 1 }),
      kinds,
    );
    assert.deepEqual(
      losses.map(({ destination, counter, state, count, message }) => [destination, counter, state, count, message]),
      [
        [undefined, "notRead.symlink", "fault", 1, "symbolic links, which are not read: 1"],
        ["openchange", "malformed", "warning", 3, "lines of the journal that are no records, skipped: 3"],
        [
          "openchange",
          "dropped.expired",
          "warning",
          2,
          "notifications that could not be sent within their time to live: 2",
        ],
      ],
    );
    for (const { remedy } of losses) assert.ok(remedy.length > 10);
  });

  it("are near while a destination does not get on and the journal is more than half full", () => {
    const status = statusOf();
    const [loss, ...others] = lossesOf({ ...status, journal: { ...status.journal, overHalfBytes: 5 } }, kinds);
    assert.deepEqual([loss?.counter, loss?.state, loss?.count, others], ["overHalfBytes", "alarm", 5, []]);
  });

  it("name for a segment that is left what its writer needs", () => {
    const left = [
      { uid: 5000, user: "jdoe", advice: "add 5000" },
      { uid: 5001, user: "anna", advice: "add 5001" },
    ];
    const [loss] = lossesOf(statusOf({ leftSegments: 2, leftBytes: 500, left }), kinds);
    assert.deepEqual([loss?.counter, loss?.state, loss?.remedy], ["leftSegments", "fault", "add 5000; add 5001"]);
  });
});
