import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, it } from "node:test";
import { charset } from "../../../../src/destinations/openchange/codec/charset.ts";

/** The Basic Multilingual Plane without controls that end a line and surrogates. */
const CHARACTERS = Array.from({ length: 0x1_0000 }, (_, code) => code).filter(
  (code) => code > 0x1f && (code < 0xd800 || code > 0xdfff),
);

/** How iconv(1), whose tables Samba uses, writes each character: hex, or undefined. */
function theirs(name: string): (string | undefined)[] | undefined {
  const text = CHARACTERS.map((code) => `${String.fromCharCode(code)}\n`).join("");
  // With -c it leaves out what the charset lacks.
  const { stdout } = spawnSync("iconv", ["-c", "-f", "UTF-8", "-t", name], {
    input: text,
    maxBuffer: 1024 * 1024 * 16,
  });
  const lines = stdout.toString("latin1").split("\n");
  if (lines.length !== CHARACTERS.length + 1) return undefined;
  return lines.slice(0, -1).map((line) => (line === "" ? undefined : Buffer.from(line, "latin1").toString("hex")));
}

function ours(name: string): (string | undefined)[] {
  const strings = charset(name);
  return CHARACTERS.map((code) => {
    try {
      return strings.encode(String.fromCharCode(code), "x").toString("hex");
    } catch {
      return undefined;
    }
  });
}

/** Characters that one of the two writes in another way than the other, or not at all. */
function differences(name: string): { refused: number[]; more: number[]; other: number[] } | undefined {
  const expected = theirs(name);
  if (expected === undefined) return undefined;
  const found = { refused: [] as number[], more: [] as number[], other: [] as number[] };
  for (const [index, bytes] of ours(name).entries()) {
    const code = CHARACTERS[index] ?? 0;
    if (bytes === expected[index]) continue;
    if (bytes === undefined) found.refused.push(code);
    else if (expected[index] === undefined) found.more.push(code);
    else found.other.push(code);
  }
  return found;
}

// Refusals are half a million errors, whose stacks nobody reads.
Error.stackTraceLimit = 0;

const SAME =
  "ASCII CP437 CP737 CP775 CP850 CP852 CP866 CP874 CP949 CP1250 CP1251 CP1252 CP1253 CP1254 CP1257 ISO-8859-15 UTF-8".split(
    " ",
  );

describe("a dos charset beside iconv", () => {
  for (const name of SAME) {
    it(`${name} writes the same characters in the same way`, (t) => {
      const found = differences(name);
      if (found === undefined) return t.skip(`iconv has no ${name} here`);
      assert.deepEqual(found, { refused: [], more: [], other: [] });
    });
  }

  it("CP932 has no user-defined characters, and none that are read as another", (t) => {
    const found = differences("CP932");
    if (found === undefined) return t.skip("iconv has no CP932 here");
    const userDefined = Array.from({ length: 1880 }, (_, index) => 0xe000 + index);
    const readAsAnother = [0xa2, 0xa3, 0xa5, 0xac, 0x2014, 0x2016, 0x203e, 0x2212, 0x301c];
    assert.deepEqual(found, { refused: [...readAsAnother, ...userDefined], more: [0x80], other: [] });
  });
});
