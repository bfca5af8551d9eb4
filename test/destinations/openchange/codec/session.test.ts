import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { charset } from "../../../../src/destinations/openchange/codec/charset.ts";
import { decodeSession, encodeSession } from "../../../../src/destinations/openchange/codec/session.ts";

describe("the session record", () => {
  it("comes back as it went in", () => {
    const utf8 = charset("utf8");
    const cn = fc.string({ unit: "grapheme" }).filter((each) => !each.includes("\0"));
    fc.assert(
      fc.property(fc.uuid(), cn, (uuid, name) => {
        const session = { uuid, cn: name };
        assert.deepEqual(decodeSession(encodeSession(session, utf8), utf8), session);
      }),
    );
  });

  it("takes a GUID in any case and nothing that is none", () => {
    const uuid = "A3D7EC26-8B52-4C57-9D0F-4F2B6D1A0C11";
    assert.equal(decodeSession(encodeSession({ uuid, cn: "x" })).uuid, uuid.toLowerCase());
    for (const wrong of ["", "a3d7ec26", `{${uuid}}`, uuid.replaceAll("-", ""), `${uuid}0`]) {
      assert.throws(() => encodeSession({ uuid: wrong, cn: "x" }), { code: "ERR_RECORD_GUID" });
    }
  });

  it("that is cut anywhere, or goes on behind its end, is refused", () => {
    const record = encodeSession({ uuid: "a3d7ec26-8b52-4c57-9d0f-4f2b6d1a0c11", cn: "jdoe" });
    for (let length = 0; length < record.length; length++) {
      assert.throws(() => decodeSession(record.subarray(0, length)), { code: "ERR_NDR_TRUNCATED" });
    }
    assert.throws(() => decodeSession(Buffer.concat([record, Buffer.of(0)])), { code: "ERR_NDR_TRAILING" });
  });
});
