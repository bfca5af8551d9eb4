import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { NdrError } from "../../../src/protocols/ndr/errors.ts";
import { NdrReader } from "../../../src/protocols/ndr/reader.ts";

function reader(hex: string): NdrReader {
  return new NdrReader(Buffer.from(hex, "hex"));
}

describe("the NDR reader", () => {
  it("reads little-endian numbers without alignment", () => {
    const input = reader("010203040506070807060504030201");
    assert.equal(input.u8("a"), 0x01);
    assert.equal(input.u16("b"), 0x0302);
    assert.equal(input.u32("c"), 0x0706_0504);
    assert.equal(input.u64("d"), 0x0102_0304_0506_0708n);
    input.end();
  });

  it("reads the bytes of a view, not of the buffer below it", () => {
    const input = new NdrReader(new Uint8Array([9, 7, 8]).subarray(1, 2));
    assert.equal(input.u8("a"), 7);
    assert.equal(input.remaining, 0);
  });

  it("names the field and the offset of what is missing", () => {
    const input = reader("01020304");
    input.u8("a");
    assert.throws(() => input.u32("handle"), {
      name: "NdrError",
      code: "ERR_NDR_TRUNCATED",
      offset: 1,
      canRetry: false,
      message: "handle: needs 4 bytes, 3 are left (at offset 1)",
    });
  });

  it("ends a string at its NUL and nowhere else", () => {
    const input = reader("6162000063");
    assert.equal(input.cstring("a").toString(), "ab");
    assert.equal(input.cstring("b").length, 0);
    assert.throws(() => input.cstring("c"), { code: "ERR_NDR_TRUNCATED", offset: 4 });
  });

  it("takes an array's count only when both agree and the rest can hold it", () => {
    assert.equal(reader("0200000002000000aabb").conformantCount("hosts", 10, 1), 2);
    assert.throws(() => reader("0200000003000000aabbcc").conformantCount("hosts", 10, 1), { code: "ERR_NDR_COUNT" });
    assert.throws(() => reader("0b0000000b000000").conformantCount("hosts", 10, 1), { code: "ERR_NDR_COUNT" });
    assert.throws(() => reader("0200000002000000aa").conformantCount("hosts", 10, 1), { code: "ERR_NDR_TRUNCATED" });
    assert.throws(() => reader("ffffffffffffffff").conformantCount("hosts", 0xffff_ffff, 1), {
      code: "ERR_NDR_TRUNCATED",
    });
  });

  it("refuses bytes after the end", () => {
    const input = reader("0102");
    input.u8("a");
    assert.throws(() => input.end(), { code: "ERR_NDR_TRAILING", offset: 1 });
  });

  it("answers or throws an NdrError, whatever the bytes", () => {
    const step = fc.constantFrom<(input: NdrReader) => unknown>(
      (input) => input.u8("x"),
      (input) => input.u16("x"),
      (input) => input.u32("x"),
      (input) => input.u64("x"),
      (input) => input.cstring("x"),
      (input) => input.bytes(3, "x"),
      (input) => input.conformantCount("x", 1000, 2),
      (input) => input.end(),
    );
    fc.assert(
      fc.property(fc.uint8Array(), fc.array(step), (bytes, steps) => {
        const input = new NdrReader(bytes);
        try {
          for (const each of steps) each(input);
        } catch (error) {
          assert.ok(error instanceof NdrError);
        }
        assert.ok(input.offset <= bytes.length);
      }),
    );
  });
});
