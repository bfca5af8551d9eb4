import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join, resolve } from "node:path";
import { before, test } from "node:test";

const PLUGIN = resolve(import.meta.dirname, "../../plugin");

/** What flag-changes.c makes of messages that have so many keywords, all but one of them before. */
function changes(messages: number, keywords: number): { records: number; flagsBytes: number } {
  const harness = join(PLUGIN, "build/flag-changes-harness");
  const [records = "", flagsBytes = ""] = execFileSync(harness, [`${messages}`, `${keywords}`], { encoding: "utf8" })
    .trim()
    .split(" ");
  return { records: Number(records), flagsBytes: Number(flagsBytes) };
}

before(() => {
  execFileSync("make", ["-s", "-C", PLUGIN, "build/flag-changes-harness"], { stdio: "pipe" });
});

test("one new keyword of many is one record for all messages", () => {
  assert.deepEqual(changes(3, 2), { records: 1, flagsBytes: "keyword-00000000".length });
});

// With the square of the keywords this takes minutes, which is more than a test may.
test("the keywords of a message cost no square of their number", () => {
  assert.deepEqual(changes(400, 20_000), { records: 1, flagsBytes: "keyword-00000000".length });
});
