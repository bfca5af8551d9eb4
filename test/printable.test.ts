import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { fields, json, printable, printableCopy } from "../src/printable.ts";

const RANGES = [
  [0x00, 0x1f],
  [0x7f, 0x9f],
  [0x61c, 0x61c],
  [0x200e, 0x200f],
  [0x2028, 0x202e],
  [0x2066, 0x2069],
] as const;

/** Whether a terminal does something at one of the characters, or cannot show it (a surrogate without its other half). */
function obeyed(text: string): boolean {
  return Array.from(text, (character) => character.codePointAt(0) ?? 0).some(
    (code) => RANGES.some(([from, to]) => code >= from && code <= to) || (code >= 0xd800 && code <= 0xdfff),
  );
}

describe("printable text", () => {
  it("has no character that a terminal obeys, whatever is in it", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary" }),
        fc.constantFrom("\x1b]0;x\x07", "\u009b31m", "\u202e", "\ud800", "\r\n"),
        (text, evil) => {
          assert.ok(!obeyed(printable(`${text}${evil}${text}`)));
          assert.ok(!obeyed(json({ [evil]: text + evil })));
          assert.ok(!obeyed(fields({ [evil]: text + evil })));
        },
      ),
    );
  });

  it("leaves what can be read as it is", () => {
    const text = 'Entwürfe/日本語 "R&D" \\ 👩‍💻 ß';
    assert.equal(printable(text), text);
  });

  it("shows what it replaces", () => {
    assert.equal(printable("a\x1b[31m\u202eb\n"), "a\\u001b[31m\\u202eb\\u000a");
  });

  it("is JSON that says the same", () => {
    fc.assert(fc.property(fc.json(), (text) => assert.deepEqual(JSON.parse(json(JSON.parse(text))), JSON.parse(text))));
    assert.equal(JSON.parse(json("\u009b\u202e\ud800")), "\u009b\u202e\ud800");
  });

  it("is logged up to 4,096 characters, with how long it is", () => {
    const { host } = printableCopy({ host: "x".repeat(1_000_000) }) as { host: string };
    assert.equal(host, `${"x".repeat(4_096)}… (1000000 characters)`);
    assert.equal(printableCopy("x".repeat(4_096)), "x".repeat(4_096));
  });

  it("copies what is logged, at any depth", () => {
    const value = { host: "a\x1b", list: ["\u009b", 1, null, undefined], deep: { "k\x07": true } };
    assert.deepEqual(printableCopy(value), {
      host: "a\\u001b",
      list: ["\\u009b", 1, null, undefined],
      deep: { "k\\u0007": true },
    });
  });
});
