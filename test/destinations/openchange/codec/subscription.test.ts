import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import {
  decodeSubscriptions,
  encodeSubscriptions,
} from "../../../../src/destinations/openchange/codec/subscription.ts";

const id = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((number) => number.toString(16).padStart(16, "0"));
const subscription = fc.record(
  {
    handle: fc.nat(0xffff_ffff),
    flags: fc.nat(0xffff),
    fid: id,
    mid: id,
    properties: fc.array(fc.nat(0xffff_ffff)),
  },
  { noNullPrototype: true },
);
const one = { handle: 1, flags: 2, fid: "0000000000000001", mid: "0000000000000000", properties: [3] };

describe("the subscription record", () => {
  it("comes back as it went in", () => {
    fc.assert(
      fc.property(fc.array(subscription), (subscriptions) => {
        assert.deepEqual(decodeSubscriptions(encodeSubscriptions(subscriptions)), subscriptions);
      }),
    );
  });

  it("that claims four billion subscriptions is refused", () => {
    assert.throws(() => decodeSubscriptions(Buffer.from("01ffffffffffffffff", "hex")), { code: "ERR_NDR_COUNT" });
  });

  it("that is cut anywhere, or goes on behind its end, is refused", () => {
    const record = encodeSubscriptions([one, one]);
    for (let length = 0; length < record.length; length++) {
      assert.throws(() => decodeSubscriptions(record.subarray(0, length)), { code: "ERR_NDR_TRUNCATED" });
    }
    assert.throws(() => decodeSubscriptions(Buffer.concat([record, Buffer.of(0)])), { code: "ERR_NDR_TRAILING" });
  });

  it("holds what its fields can", () => {
    for (const wrong of [
      { handle: -1 },
      { flags: 65_536 },
      { properties: [2 ** 32] },
      { properties: Array(101).fill(0) },
      { properties: Array(65_536).fill(0) },
    ]) {
      assert.throws(() => encodeSubscriptions([{ ...one, ...wrong }]), { code: "ERR_NDR_RANGE" });
    }
    const most = Array.from({ length: 100 }, () => ({ ...one, properties: Array(100).fill(0) }));
    assert.deepEqual(decodeSubscriptions(encodeSubscriptions(most)), most);
    assert.throws(() => encodeSubscriptions([...most, one]), { code: "ERR_NDR_COUNT" });
    for (const fid of ["", "1", "0x00000000000001", "10000000000000000"]) {
      assert.throws(() => encodeSubscriptions([{ ...one, fid }]), { code: "ERR_RECORD_ID" });
    }
  });
});
