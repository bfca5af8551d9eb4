import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { charset } from "../../../../src/destinations/openchange/codec/charset.ts";
import {
  decodeNotification,
  encodeNotification,
  type Notification,
} from "../../../../src/destinations/openchange/codec/extended.ts";
import { encodeNewMail } from "../../../../src/destinations/openchange/codec/newmail.ts";

const message = { backend: "sogo", eml: "42.eml", folder: "INBOX", separator: "/" };
const old = { oldEml: "7.eml", oldFolder: "Public.Old", oldSeparator: "." };
const messageHex = "736f676f0034322e656d6c00494e424f58002f";
const oldHex = "372e656d6c005075626c69632e4f6c64002e";

const examples: [Notification, string][] = [
  [{ type: "NewMail", ...message }, `010200${messageHex}`],
  [{ type: "ObjectDeleted", ...message }, `010800${messageHex}`],
  [
    { type: "ObjectModified", ...message, flagsSet: [String.raw`\Seen`, "$Work"], flagsCleared: [] },
    `011000${messageHex}5c5365656e2024576f726b0000`,
  ],
  [{ type: "ObjectMoved", ...message, ...old }, `012000${messageHex}${oldHex}`],
  [{ type: "ObjectCopied", ...message, ...old }, `014000${messageHex}${oldHex}`],
];

describe("a notification", () => {
  for (const [notification, hex] of examples) {
    it(`${notification.type} has the bytes of the IDL file, both ways`, () => {
      assert.equal(encodeNotification(notification).toString("hex"), hex);
      assert.deepEqual(decodeNotification(Buffer.from(hex, "hex")), notification);
    });

    it(`${notification.type} that is cut anywhere, or goes on behind its end, is refused`, () => {
      const payload = Buffer.from(hex, "hex");
      for (let length = 0; length < payload.length; length++) {
        assert.throws(() => decodeNotification(payload.subarray(0, length)), { code: "ERR_NDR_TRUNCATED" });
      }
      assert.throws(() => decodeNotification(Buffer.concat([payload, Buffer.of(0)])), { code: "ERR_NDR_TRAILING" });
    });
  }

  it("of new mail is what a deployed server understands", () => {
    assert.deepEqual(encodeNotification({ type: "NewMail", ...message }), encodeNewMail(message));
  });

  it("with other flags, or several, is unsupported", () => {
    for (const flags of ["0000", "0100", "0400", "8000", "0001", "0a00", "ffff"]) {
      const payload = Buffer.from(`01${flags}${messageHex}`, "hex");
      assert.throws(() => decodeNotification(payload), { code: "ERR_NOTIFICATION_UNSUPPORTED" });
    }
  });

  it("comes back as it went in", () => {
    const utf8 = charset("utf8");
    const text = fc.string({ unit: "grapheme" }).filter((each) => !each.includes("\0"));
    const separator = fc.constantFrom("/", ".", "\\", "~");
    const place = { backend: text, eml: text, folder: text, separator };
    const source = { oldEml: text, oldFolder: text, oldSeparator: separator };
    const names = fc.array(fc.constantFrom(String.raw`\Seen`, String.raw`\Deleted`, "$Forwarded", "NonJunk"));
    const options = { noNullPrototype: true };
    const notification: fc.Arbitrary<Notification> = fc.oneof(
      fc.record({ type: fc.constantFrom("NewMail" as const, "ObjectDeleted" as const), ...place }, options),
      fc.record(
        { type: fc.constant("ObjectModified" as const), ...place, flagsSet: names, flagsCleared: names },
        options,
      ),
      fc.record(
        { type: fc.constantFrom("ObjectMoved" as const, "ObjectCopied" as const), ...place, ...source },
        options,
      ),
    );
    fc.assert(
      fc.property(notification, (each) => {
        assert.deepEqual(decodeNotification(encodeNotification(each, utf8), utf8), each);
      }),
    );
  });

  it("has flag names that can be told apart", () => {
    for (const name of ["", "a b", "é", "a\0"]) {
      const modified = { type: "ObjectModified" as const, ...message, flagsSet: [name], flagsCleared: [] };
      assert.throws(() => encodeNotification(modified), { code: "ERR_FLAG_NAME" });
    }
    for (const list of ["2061", "6120", "61202062"]) {
      const payload = Buffer.from(`011000${messageHex}${list}0000`, "hex");
      assert.throws(() => decodeNotification(payload), { code: "ERR_FLAG_NAME" });
    }
  });
});
