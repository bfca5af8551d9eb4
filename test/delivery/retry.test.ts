import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it, mock } from "node:test";
import { Retry } from "../../src/delivery/retry.ts";

const SETTINGS = { firstRetryMs: 100, mostRetryMs: 400 };

describe("a receiver that fails", () => {
  let events: string[];
  let retry: Retry<string>;
  beforeEach(() => {
    mock.timers.enable({ apis: ["setTimeout"] });
    events = [];
    retry = new Retry(SETTINGS, {
      again: () => events.push("again"),
      failed: (failure) => events.push(`failed ${failure}`),
      recovered: () => events.push("recovered"),
    });
  });

  afterEach(() => mock.timers.reset());

  /** The shortest time after which it is tried again, in steps of 10 ms. */
  function waitMs(): number {
    const before = events.length;
    let ms = 0;
    for (; events.length === before && ms < 10_000; ms += 10) mock.timers.tick(10);
    assert.equal(events.at(-1), "again");
    return ms;
  }

  it("is tried again after waits that double up to the longest, and each failure is reported", () => {
    for (const longest of [100, 200, 400, 400]) {
      retry.failed("down");
      assert.equal(retry.waiting, true);
      const ms = waitMs();
      assert.ok(ms >= longest / 2 && ms <= longest + 10, `${ms} ms of ${longest}`);
      assert.equal(retry.waiting, false);
    }
    assert.deepEqual(events, Array.from({ length: 4 }, () => ["failed down", "again"]).flat());
  });

  it("fails until it has been seen to work, and has recovered once", () => {
    retry.succeeded();
    assert.deepEqual(events, [], "it had not failed");
    retry.failed("a");
    retry.failed("b");
    assert.equal(retry.failing, true);
    waitMs();
    assert.equal(retry.failing, true, "a try is no success");
    retry.succeeded();
    retry.succeeded();
    assert.equal(retry.failing, false);
    assert.deepEqual(events, ["failed a", "failed b", "again", "recovered"]);
  });

  it("is waited for as at first when it fails after a success", () => {
    for (let n = 0; n < 5; n++) retry.failed("down");
    retry.succeeded();
    retry.failed("down");
    assert.ok(waitMs() <= 110);
  });

  it("is tried again once, however many tries failed meanwhile", () => {
    for (let n = 0; n < 5; n++) retry.failed("down");
    mock.timers.tick(10_000);
    assert.equal(events.filter((event) => event === "again").length, 1);
  });

  it("is left alone after the end", () => {
    retry.failed("down");
    retry.close();
    retry.failed("late");
    mock.timers.tick(10_000);
    assert.deepEqual(events, ["failed down"]);
    assert.equal(retry.waiting, false);
  });
});
