import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { NdrReader } from "../../../src/protocols/ndr/reader.ts";
import { NdrWriter } from "../../../src/protocols/ndr/writer.ts";

describe("the NDR writer", () => {
  it("writes little-endian numbers without alignment", () => {
    const output = new NdrWriter();
    output.u8(1, "a");
    output.u16(0x0302, "b");
    output.u32(0x0706_0504, "c");
    output.u64(0x0102_0304_0506_0708n, "d");
    output.cstring(Buffer.from("ab"), "e");
    output.conformantCount(2, "f", 10);
    assert.equal(output.finish().toString("hex"), "0102030405060708070605040302016162000200000002000000");
  });

  it("refuses what a field cannot hold", () => {
    const output = new NdrWriter();
    for (const value of [-1, 256, 1.5, Number.NaN]) {
      assert.throws(() => output.u8(value, "version"), { code: "ERR_NDR_RANGE", message: /^version: / });
    }
    assert.throws(() => output.u16(65_536, "x"), { code: "ERR_NDR_RANGE" });
    assert.throws(() => output.u32(2 ** 32, "x"), { code: "ERR_NDR_RANGE" });
    assert.throws(() => output.u64(2n ** 64n, "x"), { code: "ERR_NDR_RANGE" });
    assert.throws(() => output.u64(-1n, "x"), { code: "ERR_NDR_RANGE" });
    assert.throws(() => output.cstring(Buffer.from("a\0b"), "x"), { code: "ERR_NDR_STRING" });
    assert.throws(() => output.conformantCount(11, "x", 10), { code: "ERR_NDR_COUNT" });
    assert.equal(output.finish().length, 0);
  });

  it("writes what the reader reads, of any size", () => {
    const text = fc.uint8Array({ maxLength: 2000 }).map((bytes) => bytes.filter((byte) => byte !== 0));
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(0xffff_ffff), text)), (records) => {
        const output = new NdrWriter();
        for (const [number, bytes] of records) {
          output.u32(number, "n");
          output.cstring(bytes, "s");
        }
        const input = new NdrReader(output.finish());
        for (const [number, bytes] of records) {
          assert.equal(input.u32("n"), number);
          assert.deepEqual(new Uint8Array(input.cstring("s")), bytes);
        }
        input.end();
      }),
    );
  });
});
