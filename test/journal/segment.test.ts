import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseSegmentName } from "../../src/journal/segment.ts";

describe("a segment's name", () => {
  it("is a time bucket and a uid", () => {
    assert.deepEqual(parseSegmentName("2992421.1000.ndjson"), { bucket: 2_992_421, euid: 1000 });
    assert.deepEqual(parseSegmentName("0.0.ndjson"), { bucket: 0, euid: 0 });
    assert.deepEqual(parseSegmentName("2992421.1000.00112233445566ff.ndjson"), { bucket: 2_992_421, euid: 1000 });
    assert.deepEqual(parseSegmentName("1.4294967295.ndjson"), { bucket: 1, euid: 4_294_967_295 });
  });

  it("is nothing else", () => {
    const others = [
      "",
      ".",
      "..",
      "1.ndjson",
      "1.2",
      "1.2.json",
      "01.2.ndjson",
      "1.02.ndjson",
      "-1.2.ndjson",
      "a.2.ndjson",
      "1.2..ndjson",
      "1.2.00112233445566f.ndjson",
      "1.2.00112233445566FF.ndjson",
      "1.2.00112233445566ff.00112233445566ff.ndjson",
    ];
    for (const name of [
      ...others,
      "1.2.ndjson ",
      "1.2.ndjson\n",
      "../1.2.ndjson",
      "1.2.ndjson.new",
      `${"9".repeat(13)}.2.ndjson`,
    ]) {
      assert.equal(parseSegmentName(name), undefined, name);
    }
  });
});
