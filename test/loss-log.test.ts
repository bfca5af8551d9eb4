import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { pino } from "pino";
import { LossLog } from "../src/loss-log.ts";
import { KIND_TYPES, loadKinds } from "../src/destinations/kinds.ts";
import type { Status } from "../src/status.ts";
import { statusOf } from "./helpers/status.ts";

const kinds = await loadKinds(KIND_TYPES);
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

const malformed = (count: number): Status => statusOf({ malformed: count });

/** A log of losses, and the counters that it has logged since the last time it was asked. */
function lossLog(): { look: (status: Status, now: number) => string[]; lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = [];
  const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) });
  let current = statusOf();
  const losses = new LossLog(() => current, kinds, log);
  return {
    lines,
    look(status, now) {
      current = status;
      const before = lines.length;
      losses.look(now);
      return lines.slice(before).map(({ counter, count }) => `${String(counter)} ${String(count)}`);
    },
  };
}

describe("the log of losses", () => {
  it("says nothing while nothing is lost", () => {
    const { look } = lossLog();
    assert.deepEqual(look(statusOf(), 0), []);
  });

  it("says what is lost, how much, for which destination, and what to do", () => {
    const { look, lines } = lossLog();
    look(statusOf({ dropped: { expired: 2 } }), 0);
    assert.deepEqual([lines[0]?.["level"], lines[0]?.["destination"], lines[0]?.["count"]], [50, "openchange", 2]);
    assert.match(
      String(lines[0]?.["msg"]),
      /^notifications that could not be sent .*: 2\. To do: journalctl -u ocnotify/,
    );
  });

  it("says again what lasts once an hour, and when it has come back", () => {
    const { look } = lossLog();
    const left = statusOf({ leftSegments: 1 });
    const said = (status: Status, now: number): boolean => look(status, now).length > 0;
    assert.ok(said(left, 0));
    assert.ok(!said(left, MINUTE));
    assert.ok(!said(left, HOUR - 1));
    assert.ok(said(left, HOUR));
    assert.ok(!said(statusOf(), 3 * HOUR));
    assert.ok(said(left, 4 * HOUR));
  });

  it("says again what has happened only when it has happened again, and at most once an hour", () => {
    const { look } = lossLog();
    assert.deepEqual(look(malformed(1), 0), ["malformed 1"]);
    assert.deepEqual(look(malformed(1000), MINUTE), []);
    assert.deepEqual(look(malformed(2000), HOUR), ["malformed 2000"]);
    assert.deepEqual(look(malformed(2000), 2 * HOUR), []);
    assert.deepEqual(look(malformed(2001), 2 * HOUR), ["malformed 2001"]);
  });

  it("warns of a loss that is near", () => {
    const { look, lines } = lossLog();
    const status = statusOf();
    look({ ...status, journal: { ...status.journal, overHalfBytes: 5 } }, 0);
    assert.deepEqual([lines.length, lines[0]?.["level"], lines[0]?.["counter"]], [1, 40, "overHalfBytes"]);
  });

  it("looks by itself, and not any more when it is stopped", (t) => {
    t.mock.timers.enable({ apis: ["setInterval"] });
    let looks = 0;
    const status = (): Status => {
      looks++;
      return statusOf();
    };
    const losses = new LossLog(status, kinds, pino({ level: "silent" }));
    losses.start();
    t.mock.timers.tick(60_000);
    assert.equal(looks, 6);
    losses.stop();
    t.mock.timers.tick(60_000);
    assert.equal(looks, 6);
  });
});
