import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Backoff } from "../src/backoff.ts";

describe("backoff", () => {
  it("waits between half and all of a time that doubles up to the longest", () => {
    const backoff = new Backoff(100, 1_500);
    for (const longest of [100, 200, 400, 800, 1_500, 1_500]) {
      const wait = backoff.next();
      assert.ok(wait >= longest / 2 && wait <= longest, `${wait} of ${longest}`);
    }
  });

  it("begins anew after a success", () => {
    const backoff = new Backoff(100, 10_000);
    for (let n = 0; n < 10; n++) backoff.next();
    backoff.reset();
    assert.ok(backoff.next() <= 100);
  });

  it("stays at the longest after any number of failures", () => {
    const backoff = new Backoff(1, 60_000);
    for (let n = 0; n < 5_000; n++) backoff.next();
    const wait = backoff.next();
    assert.ok(wait >= 30_000 && wait <= 60_000);
  });

  it("does not bring two that failed together back in step", () => {
    const waits = new Set(Array.from({ length: 20 }, () => new Backoff(1_000, 1_000).next()));
    assert.ok(waits.size > 1);
  });
});
