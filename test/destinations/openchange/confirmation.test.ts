import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import type { Chunk } from "../../../src/destinations/openchange/chunk.ts";
import { ChunkBuilder } from "../../../src/destinations/openchange/chunk.ts";
import { Confirmation } from "../../../src/destinations/openchange/confirmation.ts";
import type { Job, Route } from "../../../src/destinations/openchange/route.ts";

const MIB = 1024 * 1024;
const route = {} as Route;

/** A chunk of jobs with these offsets. */
function chunkOf(...offsets: number[]): Chunk {
  const builder = new ChunkBuilder([]);
  for (const offset of offsets) builder.add({ record: { stretch: {}, index: 0, offset }, route } as unknown as Job);
  return builder.build(offsets.length);
}

let confirmation: Confirmation;
let bytesDrained: number;
beforeEach(() => {
  confirmation = new Confirmation();
  bytesDrained = 0;
});

/** Hands a chunk over at `fromMs`; the kernel has taken it at `toMs`. */
function send(chunk: Chunk, fromMs: number, toMs = fromMs, bytes = 1_000): void {
  confirmation.handOver(chunk, fromMs);
  bytesDrained += bytes;
  confirmation.drained(bytes, bytesDrained, toMs);
}
const confirmedAt = (nowMs: number): Chunk[] => confirmation.takeConfirmed(bytesDrained, nowMs);

describe("what was sent", () => {
  it("counts as received a second after even a slow reader has read it, each once and in order", () => {
    const [first, second, third] = [chunkOf(1), chunkOf(2), chunkOf(3)];
    send(first, 5_000);
    send(second, 5_000);
    send(third, 5_500);
    assert.equal(confirmation.unconfirmed, 3);
    // 1,000 bytes are a millisecond of reading.
    assert.deepEqual(confirmedAt(6_000), []);
    assert.deepEqual(confirmedAt(6_001), [first]);
    assert.deepEqual(confirmedAt(6_002), [second]);
    assert.deepEqual(confirmedAt(9_000), [third]);
    assert.deepEqual(confirmedAt(99_000), []);
    assert.equal(confirmation.unconfirmed, 0);
  });

  it("is kept for as long as reading a burst takes at 1,000 bytes a millisecond", () => {
    send(chunkOf(1), 1_000, 1_000, 3 * MIB);
    const last = chunkOf(2);
    send(last, 1_000, 1_000, 4 * MIB);
    const readMs = 1_000 + Math.ceil((7 * MIB) / 1_000);
    assert.deepEqual(confirmedAt(readMs + 999).length, 1);
    assert.deepEqual(confirmedAt(readMs + 1_000), [last]);
  });

  it("has been read when the host has taken more than the sockets hold since, but not within the second", () => {
    const first = chunkOf(1);
    send(first, 1_000, 1_000, 100 * MIB);
    send(chunkOf(2), 1_000, 1_000, 8 * MIB);
    assert.deepEqual(confirmedAt(1_999), []);
    assert.deepEqual(confirmedAt(2_000), [first]);
    assert.equal(confirmation.unconfirmed, 1);
  });

  it("is kept while the kernel has not taken it, and while what comes after it is not taken", () => {
    const first = chunkOf(1);
    const second = chunkOf(2);
    send(first, 1_000);
    confirmation.handOver(second, 1_500);
    assert.equal(confirmation.draining, true);
    assert.equal(confirmation.drainingForMs(1_700), 200);
    assert.equal(confirmation.stalls(1_600), false);
    assert.equal(confirmation.stalls(1_601), true);
    assert.deepEqual(confirmedAt(60_000), []);
    confirmation.drained(1_000, 2_000, 60_000);
    assert.equal(confirmation.draining, false);
    assert.equal(confirmation.drainingForMs(70_000), 0);
    assert.deepEqual(confirmedAt(60_500), [first]);
    // The host was slow, so the sockets between were full.
    assert.deepEqual(confirmedAt(69_999), []);
    assert.deepEqual(confirmedAt(70_000), [second]);
  });

  it("and is to be sent again when the connection breaks is the kept, in order, that of the chunk under way too", () => {
    send(chunkOf(1), 1_000);
    confirmedAt(3_000);
    send(chunkOf(2, 3), 3_000);
    confirmation.handOver(chunkOf(4), 3_100);
    assert.equal(confirmation.unconfirmed, 3);
    assert.deepEqual(
      confirmation.lost().map(({ record }) => record.offset),
      [2, 3, 4],
    );
    assert.equal(confirmation.unconfirmed, 0);
    assert.equal(confirmation.draining, false);
    confirmation.drained(1_000, 1_000, 3_200);
    assert.deepEqual(confirmedAt(99_000), []);
  });

  it("counts as received early when there is too much, but never what the kernel has not taken", () => {
    const [first, second] = [chunkOf(1, 2), chunkOf(3)];
    send(first, 1_000);
    send(second, 1_000);
    confirmation.handOver(chunkOf(4, 5, 6), 1_000);
    assert.deepEqual(confirmation.takeEarly(6), []);
    assert.deepEqual(confirmation.takeEarly(5), [first]);
    assert.deepEqual(confirmation.takeEarly(0), [second]);
    assert.equal(confirmation.unconfirmed, 3);
  });
});

describe("a host", () => {
  it("takes what is sent until a second after its last progress, and may take more until ten", () => {
    send(chunkOf(1), 5_000);
    assert.deepEqual([confirmation.takes(5_999), confirmation.takes(6_000)], [true, false]);
    assert.deepEqual([confirmation.mayTake(14_999), confirmation.mayTake(15_000)], [true, false]);
  });

  it("that was slow takes what is sent until five seconds after its last progress", () => {
    send(chunkOf(1), 5_000, 5_101);
    assert.deepEqual([confirmation.takes(10_100), confirmation.takes(10_101)], [true, false]);
  });
});
