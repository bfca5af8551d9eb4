import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { charset } from "../../../../src/destinations/openchange/codec/charset.ts";
import { OcnotifyError } from "../../../../src/errors.ts";

const names = ["cp850", "cp437", "cp1250", "cp1251", "cp1252", "ascii", "ISO-8859-15", "cp932", "utf8"];

describe("a dos charset", () => {
  it("is code page 850 by default", () => {
    assert.equal(charset().encode("Entwürfe", "folder").toString("hex"), "456e747781726665");
    assert.equal(charset().decode(Buffer.from("81", "hex"), "folder"), "ü");
  });

  it("is what the server's smb.conf says", () => {
    assert.equal(charset("cp1252").encode("€", "folder").toString("hex"), "80");
    assert.equal(charset("utf8").encode("受信", "folder").toString("hex"), "e58f97e4bfa1");
    assert.equal(charset("UTF-8").encode("é", "folder").toString("hex"), "c3a9");
    assert.equal(charset("cp932").encode("受信", "folder").toString("hex"), "8ef3904d");
  });

  it("never writes a name that is not exactly the one meant", () => {
    for (const text of ["受信", "price €", "a\u0301", "\ud800", "“quoted”", "\ufffd"]) {
      assert.throws(() => charset().encode(text, "folder"), {
        code: "ERR_CHARSET",
        canRetry: false,
        message: /cannot be written in cp850, the server's "dos charset"/,
      });
    }
    assert.equal(charset().encode("?", "folder").toString(), "?");
    assert.throws(() => charset("utf8").encode("\ud800", "folder"), { code: "ERR_CHARSET" });
    assert.equal(charset("utf8").encode("\ufefffolder\ufffd", "folder").length, 12);
  });

  it("names as remedies only what Samba takes, which utf8 is not", () => {
    for (const attempt of [() => charset("klingon"), () => charset().encode("受信", "backend")]) {
      assert.throws(attempt, ({ message }: Error) => {
        const [, remedies = ""] = /such as ((?:cp\d+|, | or )+)[. ]/.exec(message) ?? [];
        const names = remedies.match(/cp\d+/g) ?? [];
        assert.ok(names.length > 1, message);
        for (const name of names) assert.equal(charset(name).encode("a", "x").toString(), "a");
        assert.match(message, /Samba refuses utf8/);
        return true;
      });
    }
  });

  it("has no NUL", () => {
    for (const name of names) assert.throws(() => charset(name).encode("a\0b", "folder"), { code: "ERR_CHARSET" });
  });

  it("must be a superset of ASCII that exists", () => {
    for (const name of ["", "nonsense", "utf16", "ucs2", "utf7", "base64", "hex", "cp037"]) {
      assert.throws(() => charset(name), { code: "ERR_CHARSET", message: /is not a charset that a server can use/ });
    }
  });

  it("has no U+FFFD for bytes that mean nothing", () => {
    for (const name of ["cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1257", "cp874", "ascii"]) {
      assert.throws(
        () => charset(name).encode("\ufffd", "folder"),
        { code: "ERR_CHARSET", message: new RegExp(name) },
        name,
      );
    }
    for (const [name, hex] of [
      ["cp1250", "98"],
      ["cp1251", "98"],
      ["cp1252", "9d"],
      ["cp1252", "419d"],
      ["ascii", "ff"],
    ]) {
      const bytes = Buffer.from(hex ?? "", "hex");
      assert.throws(() => charset(name).decode(bytes, "folder"), { code: "ERR_CHARSET" }, name);
    }
  });

  it("refuses bytes that mean nothing", () => {
    assert.throws(() => charset("utf8").decode(Buffer.from("ff", "hex"), "folder"), { code: "ERR_CHARSET" });
    assert.equal(charset("utf8").decode(Buffer.from("efbfbd", "hex"), "folder"), "\ufffd");
  });

  for (const name of names) {
    it(`${name} gives every text back that it takes, and survives any bytes`, () => {
      const strings = charset(name);
      fc.assert(
        fc.property(fc.string({ unit: "binary" }), (text) => {
          try {
            assert.equal(strings.decode(strings.encode(text, "x"), "x"), text);
            assert.ok(name === "utf8" || !text.includes("\ufffd"));
          } catch (error) {
            assert.ok(error instanceof OcnotifyError);
          }
        }),
      );
      fc.assert(
        fc.property(fc.uint8Array(), (bytes) => {
          try {
            const text = strings.decode(bytes, "x");
            assert.ok(name === "utf8" || !text.includes("\ufffd"));
          } catch (error) {
            assert.ok(error instanceof OcnotifyError);
          }
        }),
      );
    });
  }
});
