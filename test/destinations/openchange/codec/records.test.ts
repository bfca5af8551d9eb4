import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { decodeNotification } from "../../../../src/destinations/openchange/codec/extended.ts";
import { decodeNewMail } from "../../../../src/destinations/openchange/codec/newmail.ts";
import { decodeResolverRecord } from "../../../../src/destinations/openchange/codec/resolver-record.ts";
import { decodeSession } from "../../../../src/destinations/openchange/codec/session.ts";
import { decodeSubscriptions } from "../../../../src/destinations/openchange/codec/subscription.ts";
import { OcnotifyError } from "../../../../src/errors.ts";
import { NdrError } from "../../../../src/protocols/ndr/errors.ts";

const decoders = {
  notification: decodeNotification,
  newmail: decodeNewMail,
  resolver: decodeResolverRecord,
  session: decodeSession,
  subscription: decodeSubscriptions,
};

/** Random bytes seldom get past the version, so most of these begin as a record does. */
const bytes = fc
  .tuple(
    fc.constantFrom("", "01", "010200", "010800", "011000", "012000", "010100000001000000", "010200000002000000"),
    fc.array(fc.oneof(fc.constant(0), fc.nat(255)), { maxLength: 200 }),
  )
  .map(([start, rest]) => Buffer.concat([Buffer.from(start, "hex"), Buffer.from(rest)]));

for (const [kind, decode] of Object.entries(decoders)) {
  describe(`the ${kind} decoder`, () => {
    it("answers or throws an error with a code, whatever the bytes", () => {
      fc.assert(
        fc.property(bytes, (input) => {
          try {
            decode(input);
          } catch (error) {
            assert.ok(error instanceof NdrError || error instanceof OcnotifyError, String(error));
          }
        }),
        { numRuns: 2000 },
      );
    });

    it("refuses the empty value and another version", () => {
      assert.throws(() => decode(Buffer.alloc(0)), { code: "ERR_NDR_TRUNCATED" });
      assert.throws(() => decode(Buffer.from("0200000000", "hex")), { code: "ERR_RECORD_VERSION" });
    });
  });
}
