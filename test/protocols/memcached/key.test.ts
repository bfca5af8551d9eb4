import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { checkKey, MAX_KEY_BYTES } from "../../../src/protocols/memcached/key.ts";

describe("checkKey", () => {
  it("takes what memcached can hold", () => {
    for (const key of ["a", "resolver:jdoe@example.com", "日本語", "😀", "é".repeat(125), "k".repeat(250)]) {
      checkKey(key);
    }
    checkKey("k".repeat(245), "ns:é");
  });

  it("refuses what would be another command or another key", () => {
    for (const key of ["", "a b", "a\r\nflush_all", "\0", "a\x7f", "\t", "k".repeat(251), "é".repeat(126), "a\ud800"]) {
      assert.throws(() => checkKey(key), { code: "ERR_MEMCACHED_KEY", canRetry: false }, JSON.stringify(key));
    }
    assert.throws(() => checkKey("k".repeat(246), "ns:é"), { code: "ERR_MEMCACHED_KEY", message: /251 bytes/ });
  });

  it("lets through only single words of at most 250 bytes", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 300 }), fc.string({ maxLength: 20 }), (key, namespace) => {
        try {
          checkKey(key, namespace);
        } catch {
          return;
        }
        const bytes = Buffer.from(namespace + key);
        assert.ok(bytes.length <= MAX_KEY_BYTES);
        // oxlint-disable-next-line no-control-regex
        assert.match(key, /^[^\x00-\x20\x7f]+$/);
        assert.equal(bytes.toString(), namespace + key);
      }),
    );
  });
});
