import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { TextTable } from "../../src/events/text-table.ts";

describe("a table of texts", () => {
  it("gives what Buffer gives, whatever was asked before", () => {
    const table = new TextTable();
    const text = fc.oneof(
      fc.string({ maxLength: 4 }),
      fc.string({ unit: "binary", maxLength: 80 }),
      fc.constantFrom("user1", "user2", "a".repeat(64), "a".repeat(65)),
    );
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 50 }), fc.nat({ max: 3 }), (texts, before) => {
        for (const expected of texts) {
          const bytes = Buffer.concat([Buffer.alloc(before, "x"), Buffer.from(expected), Buffer.from("behind")]);
          assert.equal(table.decode(bytes, before, bytes.length - 6), Buffer.from(expected).toString());
        }
      }),
    );
  });

  it("gives what Buffer gives for bytes that are not UTF-8", () => {
    const table = new TextTable();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 70 }), (array) => {
        const bytes = Buffer.from(array);
        assert.equal(table.decode(bytes, 0, bytes.length), bytes.toString());
      }),
    );
  });

  it("tells texts apart that share a place", () => {
    const table = new TextTable();
    const names = Array.from({ length: 100_000 }, (_, n) => `user${n}`);
    for (const name of names) assert.equal(table.decode(Buffer.from(name), 0, name.length), name);
  });
});
