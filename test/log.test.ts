import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join, resolve } from "node:path";
import { describe, it } from "node:test";
import { Once } from "../src/log.ts";

const ROOT = resolve(import.meta.dirname, "..");

/** What a process writes that logs with this format. */
function logged(format: "text" | "json"): string {
  const evil = "tcp://h:1\\x1b]0;x\\x07\\r\\nfaked\\u202e\\u009b31m";
  const script = `
    import { createLog } from ${JSON.stringify(join(ROOT, "src/log.ts"))};
    const log = createLog({ level: "info", format: "${format}" });
    log.warn({ host: "${evil}", cause: { users: ["${evil}"] } }, "cannot reach ${evil}");
    log.warn("only a message: ${evil}");
  `;
  const { stderr, status } = spawnSync(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script], {
    cwd: ROOT,
    encoding: "utf8",
    env: { ...process.env, JOURNAL_STREAM: "8:1" },
  });
  assert.equal(status, 0, stderr);
  return stderr;
}

describe("the log", () => {
  for (const format of ["text", "json"] as const) {
    it(`does nothing to a terminal as ${format}, whoever chose the text in it`, () => {
      const text = logged(format);
      assert.equal(text.trimEnd().split("\n").length, 2, text);
      assert.doesNotMatch(text.replaceAll("\n", ""), /[\p{Cc}\u202e]/u);
      assert.match(text, /cannot reach tcp:\/\/h:1/);
    });
  }
});

describe("what is logged once", () => {
  it("is told again after an hour, or when it is over and comes back", (t) => {
    let now = 0;
    t.mock.method(performance, "now", () => now);
    const once = new Once();
    assert.deepEqual([once.first("a"), once.first("a"), once.first("b")], [true, false, true]);
    once.forget("a");
    assert.deepEqual([once.first("a"), once.first("b")], [true, false]);
    now = 3_600_000;
    assert.deepEqual([once.first("a"), once.first("b"), once.first("b")], [true, true, false]);
  });

  it("is 100 causes in an hour that one uid is to blame for, and none less for others", (t) => {
    let now = 0;
    t.mock.method(performance, "now", () => now);
    const once = new Once();
    const told = (uid?: number): number =>
      Array.from({ length: 1_000 }, (_, n) => once.first(`${uid} ${n} ${now}`, uid)).filter(Boolean).length;
    assert.deepEqual([told(33), told(33), told(34), told()], [100, 0, 100, 1_000]);
    assert.equal(once.forget("33 1 0"), true);
    assert.equal(once.forget("33 900 0"), false, "it was not told");
    assert.equal(once.first("33 1 0", 33), false, "what is over gives no more lines");
    now = 3_600_000;
    assert.deepEqual([told(33), told()], [100, 1_000]);
  });

  it("is remembered by little, however long the cause", () => {
    // Without that, the causes would take 300 MB.
    const script = `
      import { Once } from ${JSON.stringify(join(ROOT, "src/log.ts"))};
      const once = new Once();
      const cause = (index) => Buffer.alloc(1_000_000, "x" + index).toString("latin1");
      for (let index = 0; index < 300; index++) if (!once.first(cause(index))) throw new Error("not the first");
      if (once.first(cause(7))) throw new Error("twice");
      once.forget(cause(7));
      if (!once.first(cause(7))) throw new Error("not forgotten");
    `;
    const command = ["--max-old-space-size=128", "--import", "tsx", "--input-type=module", "-e", script];
    const { status, stderr } = spawnSync(process.execPath, command, { cwd: ROOT, encoding: "utf8" });
    assert.equal(status, 0, stderr);
  });

  it("is bounded in an hour, however many causes there are", (t) => {
    let now = 0;
    t.mock.method(performance, "now", () => now);
    const once = new Once();
    let told = 0;
    for (let round = 0; round < 3; round++) {
      for (let cause = 0; cause < 40_000; cause++) if (once.first(`host ${cause}`)) told++;
    }
    assert.equal(told, 10_000);
    now = 3_600_000;
    assert.equal(once.first("another"), true);
  });
});
