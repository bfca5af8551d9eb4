import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";

import { type HashName, HASHES } from "../../../src/protocols/memcached/hash.ts";

// oxlint-disable-next-line typescript/no-unsafe-type-assertion
const vectors = JSON.parse(
  readFileSync(new URL("../../fixtures/libmemcached-placement.json", import.meta.url), "utf8"),
) as { keys: string[]; hashes: Record<HashName, number[]> };

describe("the hashes of libmemcached", () => {
  it("are all in the vectors", () => {
    assert.deepEqual(Object.keys(HASHES).toSorted(), Object.keys(vectors.hashes).toSorted());
  });

  for (const [name, hash] of Object.entries(HASHES)) {
    it(`${name} gives what the library gives`, () => {
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion
      const expected = vectors.hashes[name as HashName];
      for (const [index, key] of vectors.keys.entries()) {
        const bytes = Buffer.from(key);
        assert.equal(hash(bytes, bytes.length), expected[index], key);
        assert.equal(hash(Buffer.concat([bytes, Buffer.from("more")]), bytes.length), expected[index], key);
      }
    });
  }
});
