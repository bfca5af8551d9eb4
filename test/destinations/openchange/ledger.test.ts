import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { ChunkBuilder } from "../../../src/destinations/openchange/chunk.ts";
import { Ledger } from "../../../src/destinations/openchange/ledger.ts";
import type { Job, Route } from "../../../src/destinations/openchange/route.ts";
import { answersOf } from "../../helpers/answers.ts";

const stretch = {} as Job["record"]["stretch"];

let said: string[];
let ledger: Ledger;
beforeEach(() => {
  said = [];
  ledger = new Ledger(
    answersOf({
      split: (_, index, answers) => said.push(`split ${index} ${answers}`),
      done: (_, index, outcome) => said.push(`done ${index} ${outcome}`),
      dropped: (_, index, reason) => said.push(`dropped ${index} ${reason}`),
      park: ({ index }) => said.push(`park ${index}`),
    }),
  );
});

const jobOf = (index: number): Job => ({
  record: { stretch, index, offset: 0, event: undefined },
  route: {} as Route,
  unencoded: 0,
});

describe("a job", () => {
  it("for several hosts is answered for each, and its event is put away once the last has it encoded", () => {
    const job = jobOf(7);
    ledger.expect(job, 3);
    assert.equal(ledger.unsettled, 3);
    ledger.encoded(job);
    ledger.dropJob(job, "expired");
    assert.deepEqual(said, ["split 7 3", "dropped 7 expired"]);
    ledger.encoded(job);
    assert.equal(said.at(-1), "park 7");
    const builder = new ChunkBuilder([]);
    builder.add(job);
    builder.add(job);
    ledger.received(builder.build(5));
    assert.deepEqual(said.slice(3), ["done 7 notified", "done 7 notified"]);
    assert.equal(ledger.unsettled, 0);
    assert.equal(ledger.counts.sent, 5);
    assert.deepEqual(ledger.dropped, { expired: 1 });
  });

  it("for one host is not split, and for none is answered at once", () => {
    ledger.expect(jobOf(1), 1);
    assert.deepEqual(said, []);
    ledger.answer(jobOf(2).record, "nobody");
    ledger.dropRecord(jobOf(3).record, "overflow", 5);
    assert.deepEqual(said, ["done 2 nobody", "dropped 3 overflow"]);
    assert.deepEqual(ledger.dropped, { overflow: 5 });
    assert.equal(ledger.unsettled, 1);
  });
});

describe("what was given up", () => {
  it("is counted by its reason", () => {
    ledger.count("overflow", 3);
    ledger.count("overflow", 2);
    ledger.count("no-uid", 1);
    assert.deepEqual(ledger.dropped, { overflow: 5, "no-uid": 1 });
  });
});
