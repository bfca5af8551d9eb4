import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { countUids, MAX_MESSAGES, uidsOf } from "../../src/events/sequence-set.ts";

describe("a sequence-set", () => {
  it("is UIDs and ascending ranges of them, in any order", () => {
    assert.deepEqual([...uidsOf("7,2:4,4294967295")], [7, 2, 3, 4, 4_294_967_295]);
    assert.deepEqual(countUids("7,2:4,4294967295"), { count: 5 });
    assert.deepEqual(countUids("5:5"), { count: 1 });
    assert.deepEqual([...uidsOf("5:5")], [5]);
  });

  it("is refused with the reason when it is anything else", () => {
    const notUid = [
      "",
      ",",
      "1,",
      ",1",
      "1,,2",
      "0",
      "*",
      "1:*",
      "*:1",
      ":",
      "1:",
      ":1",
      "1:2:3",
      "a",
      "1a",
      " 1",
      "01",
    ];
    for (const set of [...notUid, "4294967296", "99999999999", "1".repeat(400), "١"]) {
      assert.deepEqual(countUids(set), { refused: "not a UID from 1 to 4294967295" }, set);
    }
    assert.deepEqual(countUids("5:4"), { refused: "a reversed range" });
    assert.deepEqual(countUids(`1:${MAX_MESSAGES + 1}`), { refused: `more than ${MAX_MESSAGES} messages` });
    assert.deepEqual(countUids(`1:${MAX_MESSAGES},1`), { refused: `more than ${MAX_MESSAGES} messages` });
  });

  it("counts what it yields, in the order that it was written in", () => {
    const uid = fc.integer({ min: 1, max: 0xffff_ffff });
    const range = fc.tuple(uid, fc.integer({ min: 0, max: 50 })).map(([first, more]) => {
      const last = Math.min(0xffff_ffff, first + more);
      return { text: last === first ? `${first}` : `${first}:${last}`, first, last };
    });
    const set = fc.array(range, { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(set, (ranges) => {
        const text = ranges.map((one) => one.text).join(",");
        const uids = ranges.flatMap(({ first, last }) => Array.from({ length: last - first + 1 }, (_, n) => first + n));
        assert.deepEqual([...uidsOf(text)], uids);
        assert.deepEqual(countUids(text), { count: uids.length });
      }),
    );
  });

  it("costs time in proportion to its length, without a range as well as with one", () => {
    const alone = "11,".repeat(21_000);
    const started = performance.now();
    for (let turn = 0; turn < 100; turn++) countUids(`${alone}1`);
    let last = 0;
    for (const uid of uidsOf(`${alone}7`)) last = uid;
    assert.equal(last, 7);
    assert.ok(performance.now() - started < 500, `${performance.now() - started} ms for 100 sets of 63 KB`);
  });
});
