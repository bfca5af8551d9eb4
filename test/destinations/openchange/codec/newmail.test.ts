import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { charset } from "../../../../src/destinations/openchange/codec/charset.ts";
import {
  decodeNewMail,
  emlName,
  encodeNewMail,
  NewMailEncoder,
} from "../../../../src/destinations/openchange/codec/newmail.ts";
import { OcnotifyError } from "../../../../src/errors.ts";

const mail = { backend: "sogo", eml: emlName(42), folder: "INBOX", separator: "/" };
const text = fc.string({ unit: "grapheme" });

describe("the new mail payload", () => {
  it("is written at an offset, next to others", () => {
    const encoder = new NewMailEncoder();
    const length = encoder.encodedLength(mail);
    const target = Buffer.alloc(2 * length + 2, 0xee);
    const end = encoder.write(target, encoder.write(target, 1, mail), mail);
    assert.equal(end, 2 * length + 1);
    assert.equal(target[0], 0xee);
    assert.equal(target[end], 0xee);
    assert.deepEqual(decodeNewMail(target.subarray(1, 1 + length)), mail);
    assert.deepEqual(decodeNewMail(target.subarray(1 + length, end)), mail);
  });

  it("is the same however many names came before", () => {
    const encoder = new NewMailEncoder();
    const expected = encodeNewMail({ ...mail, folder: "Entwürfe" });
    assert.deepEqual(encoder.encode({ ...mail, folder: "Entwürfe" }), expected);
    for (let index = 0; index < 10_000; index++) encoder.encode({ ...mail, folder: `folder ${index}` });
    encoder.encode({ ...mail, folder: "x".repeat(10_000) });
    assert.deepEqual(encoder.encode({ ...mail, folder: "Entwürfe" }), expected);
  });

  it("comes back as it went in, or is refused, in any charset", () => {
    fc.assert(
      fc.property(text, text, text, fc.constantFrom("cp850", "utf8", "cp932"), (backend, eml, folder, name) => {
        const strings = charset(name);
        const any = { backend, eml, folder, separator: "." };
        const encoder = new NewMailEncoder(strings);
        let payload: Buffer;
        try {
          payload = encoder.encode(any);
        } catch (error) {
          assert.ok(error instanceof OcnotifyError && error.code === "ERR_CHARSET");
          return;
        }
        assert.equal(payload.length, encoder.encodedLength(any));
        assert.deepEqual(decodeNewMail(payload, strings), any);
      }),
    );
  });

  it("names the field of a text that cannot be written", () => {
    const encoder = new NewMailEncoder();
    assert.throws(() => encoder.encode({ ...mail, folder: "受信" }), { message: /^folder "受信"/ });
    assert.throws(() => encoder.encode({ ...mail, backend: "受信" }), { message: /^backend "受信"/ });
    assert.throws(() => encoder.encode({ ...mail, eml: "受信" }), { message: /^eml "受信"/ });
    assert.throws(() => encoder.encode({ ...mail, eml: "a\0b" }), { code: "ERR_CHARSET" });
  });

  it("has a separator of any one byte", () => {
    for (let byte = 0; byte <= 0xff; byte++) {
      const separator = String.fromCharCode(byte);
      const payload = encodeNewMail({ ...mail, separator });
      assert.equal(payload.at(-1), byte);
      assert.deepEqual(decodeNewMail(payload), { ...mail, separator });
    }
    for (const separator of ["", "//", "Ā", "€", "\ud800"]) {
      assert.throws(() => encodeNewMail({ ...mail, separator }), { code: "ERR_SEPARATOR" });
    }
  });

  it("is refused when it is anything else", () => {
    const payload = encodeNewMail(mail);
    for (let length = 0; length < payload.length; length++) {
      assert.throws(() => decodeNewMail(payload.subarray(0, length)), { code: "ERR_NDR_TRUNCATED" });
    }
    assert.throws(() => decodeNewMail(Buffer.concat([payload, Buffer.of(0)])), { code: "ERR_NDR_TRAILING" });
    assert.throws(() => decodeNewMail(Buffer.from("02", "hex")), { code: "ERR_RECORD_VERSION" });
    assert.throws(() => decodeNewMail(Buffer.from("010800", "hex")), { code: "ERR_NOTIFICATION_UNSUPPORTED" });
  });
});
