import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Option } from "commander";
import * as fc from "fast-check";
import { fromPopt } from "../../src/commands/popt.ts";

const options = ["-U, --username <name>", "-n, --newmail <eml>", "--sep <character>", "--list", "-v, --verbose"].map(
  (flags) => new Option(flags),
);
const read = (line: string): string[] => fromPopt(line.split(" "), options);

describe("a command line for popt", () => {
  // What popt 1.19 makes of the line on the left.
  const lines: readonly (readonly [string, readonly string[]])[] = [
    ["-n7.eml", ["--newmail=7.eml"]],
    ["-n=7.eml", ["--newmail=7.eml"]],
    ["--newmail=7", ["--newmail=7"]],
    ["--newmail=", ["--newmail="]],
    ["-n", []],
    ["--newmail", []],
    ["--list -n", ["--list"]],
    ["-n --list", ["--newmail=--list"]],
    ["-vv", ["-v", "-v"]],
    ["-vn x", ["-v", "--newmail=x"]],
    ["-nv x", ["--newmail=v", "x"]],
    ["-vn", ["-v"]],
    ["-U jdoe --sep", ["--username=jdoe"]],
    ["-U -- --list", ["--username=--", "--list"]],
    ["--list -- -n 7", ["--list", "--", "-n", "7"]],
    ["- --list", ["-", "--list"]],
  ];
  for (const [line, expected] of lines) {
    it(line, () => assert.deepEqual(read(line), expected));
  }

  it("keeps whatever is no option with a value", () => {
    const word = fc.string().filter((text) => !/^-[^-]/.test(text) && text !== "--newmail" && text !== "--username");
    fc.assert(
      fc.property(fc.array(word.filter((text) => text !== "--sep")), (words) => {
        assert.deepEqual(fromPopt(words, options), words);
      }),
    );
  });
});
