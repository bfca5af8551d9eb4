import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it, mock } from "node:test";
import { BUSY_TICK_MS, Ticker } from "../../../src/destinations/openchange/ticker.ts";

/** Lets this time pass; a tick comes two turns after its timer, when what came over sockets has been seen. */
async function pass(ms: number): Promise<void> {
  mock.timers.tick(ms);
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
}

describe("a ticker", () => {
  let ticks: number;
  let nextMs: number | undefined;
  let ticker: Ticker;
  beforeEach(() => {
    mock.timers.enable({ apis: ["setTimeout"] });
    ticks = 0;
    nextMs = undefined;
    ticker = new Ticker(() => {
      ticks++;
      return nextMs;
    });
  });
  afterEach(() => {
    ticker.close();
    mock.timers.reset();
  });

  it("ticks once after `soon`, however often that is called, and then as its callback says", async () => {
    ticker.soon();
    ticker.soon();
    await pass(BUSY_TICK_MS - 1);
    assert.equal(ticks, 0);
    nextMs = 5_000;
    await pass(1);
    assert.equal(ticks, 1);
    nextMs = undefined;
    await pass(4_999);
    assert.equal(ticks, 1);
    await pass(1);
    assert.equal(ticks, 2);
    await pass(60_000);
    assert.equal(ticks, 2);
  });

  it("does not let `soon` wait for a slow tick", async () => {
    nextMs = 5_000;
    ticker.soon();
    await pass(BUSY_TICK_MS);
    ticker.soon();
    await pass(BUSY_TICK_MS);
    assert.equal(ticks, 2);
  });

  it("ticks two turns after its timer, not before the sockets of that moment have been looked at", async () => {
    ticker.soon();
    mock.timers.tick(BUSY_TICK_MS);
    await new Promise(setImmediate);
    assert.equal(ticks, 0);
    await new Promise(setImmediate);
    await new Promise(setImmediate);
    assert.equal(ticks, 1);
  });

  it("never ticks after it was closed, also when its timer had fired", async () => {
    ticker.soon();
    mock.timers.tick(BUSY_TICK_MS);
    ticker.close();
    await pass(60_000);
    ticker.soon();
    await pass(60_000);
    assert.equal(ticks, 0);
  });
});
