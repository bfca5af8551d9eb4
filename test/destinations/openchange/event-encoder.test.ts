import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import type { Answers } from "../../../src/delivery/destination.ts";
import { charset } from "../../../src/destinations/openchange/codec/charset.ts";
import type { Notification } from "../../../src/destinations/openchange/codec/extended.ts";
import { EventEncoder } from "../../../src/destinations/openchange/event-encoder.ts";
import { Faults } from "../../../src/destinations/openchange/faults.ts";
import { Ledger } from "../../../src/destinations/openchange/ledger.ts";
import type { Job, Route } from "../../../src/destinations/openchange/route.ts";
import { parseRecord } from "../../../src/events/event.ts";
import { collectLog, line, noSegment, writerOf, type LogLine } from "../../helpers/journal.ts";
import { answersOf } from "../../helpers/answers.ts";

const TIME_TO_LIVE_MS = 60_000;
const REPORTS = { split() {}, done() {}, dropped() {}, park() {}, resume() {} };

let lines: LogLine[];
let ledger: Ledger;
let loaded: ReturnType<Answers["load"]>;
let encoder: EventEncoder;
const load: Answers["load"] = () => loaded;
beforeEach(() => {
  const collected = collectLog();
  lines = collected.lines;
  ledger = new Ledger(answersOf({ ...REPORTS, load }));
  encoder = new EventEncoder(
    {
      notify: { backend: "sogo", newMailEvents: new Set(["MessageNew"]), extended: true },
      charset: charset("cp850"),
      timeToLiveMs: TIME_TO_LIVE_MS,
    },
    load,
    ledger,
    new Faults(collected.log),
  );
});

/** A job whose change is this old. */
function jobOf(ageMs = 0): Job {
  const stretch = { writer: writerOf(0), segment: noSegment(), happenedAt: performance.now() - ageMs, seenAt: 0 };
  const job: Job = {
    record: { stretch, index: 0, offset: 17, event: undefined },
    route: { cn: "jdoe" } as Route,
    unencoded: 0,
  };
  ledger.expect(job, 1);
  return job;
}

describe("a job", () => {
  it("has the notifications of its event", () => {
    loaded = parseRecord(line({ uids: "1:3" }));
    const made = encoder.notifications(jobOf());
    assert.ok(made !== undefined && made !== "later");
    assert.equal([1, 2, 3].filter(() => made.next().done !== true).length, 3);
    assert.equal(made.next().done, true);
    assert.equal(ledger.unsettled, 1);
  });

  it("whose event cannot be read for now waits for it until its time to live is over", () => {
    loaded = "later";
    assert.equal(encoder.notifications(jobOf(TIME_TO_LIVE_MS - 5_000)), "later");
    assert.deepEqual([ledger.dropped, lines], [{}, []]);
    assert.equal(encoder.notifications(jobOf(TIME_TO_LIVE_MS + 1)), undefined);
    assert.equal(encoder.notifications(jobOf(TIME_TO_LIVE_MS + 1)), undefined);
    assert.deepEqual(ledger.dropped, { expired: 2 });
    assert.equal(lines.length, 1);
    assert.match(lines[0]?.msg ?? "", /segment cannot be read/);
    assert.equal(ledger.unsettled, 1);
  });

  it("whose record is gone, or has no UID, is dropped with a line of its own", () => {
    loaded = "gone";
    assert.equal(encoder.notifications(jobOf()), undefined);
    loaded = parseRecord(line());
    assert.equal(encoder.notifications(jobOf()), undefined);
    assert.deepEqual(ledger.dropped, { gone: 1, "no-uid": 1 });
    assert.deepEqual(
      lines.map(({ level, segment, offset, user }) => [level, segment, offset, user]),
      [
        ["error", noSegment().name, 17, undefined],
        ["error", undefined, undefined, "jdoe"],
      ],
    );
  });

  it("is dropped when its new mail cannot be written; of a move, the new mail that follows is yet to come", () => {
    const error = new Error("no such character");
    assert.equal(encoder.unencodable(jobOf(), { type: "ObjectMoved" } as Notification, error), true);
    assert.equal(ledger.unsettled, 1);
    assert.equal(encoder.unencodable(jobOf(), { type: "NewMail" } as Notification, error), false);
    assert.equal(ledger.unsettled, 1);
    assert.equal(encoder.unencodable(jobOf(), undefined, error), false);
    assert.deepEqual(ledger.dropped, { charset: 3 });
    assert.deepEqual(
      lines.map(({ msg }) => msg),
      ["cannot tell servers: no such character"],
    );
  });
});
