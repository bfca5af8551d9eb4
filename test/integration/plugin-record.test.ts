import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { join, resolve } from "node:path";
import { before, describe, test } from "node:test";
import { parseRecord } from "../../src/events/event.ts";

const PLUGIN = resolve(import.meta.dirname, "../../plugin");
const HARNESS = join(PLUGIN, "build/record-harness");
const MAX_UID = 4_294_967_295;

/** The sets of the records that record.c makes of these ranges, each as the daemon reads it. */
function sets(kind: "set" | "pairs", ...ranges: readonly [first: number, last: number][]): unknown[] {
  const lines = execFileSync(HARNESS, [kind, ...ranges.flat().map(String)], { encoding: "utf8" });
  return lines
    .trim()
    .split("\n")
    .map((line) => {
      const event = parseRecord(line);
      if (event.event === "MessageMove") return [event.uids, event.oldUids];
      return event.event === "MessageExpunge" ? event.uids : undefined;
    });
}

/** The texts of its record, when they have that many control characters each. */
const texts = (...lengths: readonly [messageId: number, from: number, subject: number, snippet: number]): unknown => {
  const line = execFileSync(HARNESS, ["texts", ...lengths.map(String)], { encoding: "utf8" }).trim();
  const event = parseRecord(line);
  assert.ok(event.event === "MessageNew");
  assert.ok(line.length < 65_536);
  return [event.messageId, event.from, event.subject, event.snippet].map((text) => text?.length);
};

before(() => {
  execFileSync("make", ["-s", "-C", PLUGIN, "build/record-harness"], { stdio: "pipe" });
});

describe("a change of very many messages", () => {
  test("is told in records of as many messages as the daemon takes", () => {
    assert.deepEqual(sets("set", [1, 2_500_000]), ["1:1000000", "1000001:2000000", "2000001:2500000"]);
    assert.deepEqual(sets("set", [1, 999_999], [2_000_000, 2_000_001], [3_000_000, 3_000_000]), [
      "1:999999,2000000",
      "2000001,3000000",
    ]);
    assert.deepEqual(sets("set", [MAX_UID - 1_000_000, MAX_UID]), ["4293967295:4294967294", "4294967295"]);
    assert.deepEqual(sets("set", [1, 1_000_000]), ["1:1000000"]);
  });

  test("is told so with the UIDs before, in matching order", () => {
    assert.deepEqual(sets("pairs", [1, 600_000], [700_001, 1_500_001]), [
      ["1:600000,700001:1100000", "1:600000,600001:1000000"],
      ["1100001:1500001", "1000001:1400001"],
    ]);
  });
});

describe("a change whose record would be longer than 64 KiB", () => {
  test("is logged once, and a record in its place says that it is lost", () => {
    const { stdout, stderr } = spawnSync(HARNESS, ["name", "11000"], { encoding: "utf8" });
    const lost = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.equal(lost.length, 2);
    for (const { ts, ...rest } of lost) {
      assert.ok(typeof ts === "number" && Math.abs(ts / 1000 - Date.now()) < 60_000);
      assert.deepEqual(rest, { v: 1, event: "RecordLost", user: "harness", lost: "MailboxCreate" });
    }
    assert.equal(stderr.match(/Error: /g)?.length, 1, stderr);
    assert.match(stderr, /MailboxCreate of user harness in mailbox \S+ is not notified: .* longer than 65536 bytes/);
  });

  test("is recorded as long as it fits", () => {
    const { stdout, stderr } = spawnSync(HARNESS, ["name", "10500"], { encoding: "utf8" });
    const [line = ""] = stdout.split("\n");
    assert.equal(parseRecord(line).mailbox.length, 10_500);
    assert.equal(stderr, "");
  });
});

describe("a new message", () => {
  test("has its snippet after its subject", () => {
    const line = execFileSync(HARNESS, ["texts", "1", "1", "1", "1"], { encoding: "utf8" });
    const texts = Object.keys(JSON.parse(line) as object).slice(-4);
    assert.deepEqual(texts, ["messageId", "from", "subject", "snippet"]);
  });

  test("is recorded without its Message-ID, and then without its texts, where a record has no room for them", () => {
    assert.deepEqual(texts(8192, 900, 900, 900), [8192, 900, 900, 900]);
    assert.deepEqual(texts(9000, 900, 900, 900), [undefined, 900, 900, 900]);
    assert.deepEqual(texts(0, 0, 0, 11_000), [undefined, undefined, undefined, undefined]);
  });
});
