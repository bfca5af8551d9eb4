import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Notification } from "../../../src/destinations/openchange/codec/extended.ts";
import { encodeChunk, type JobEncoder } from "../../../src/destinations/openchange/encode-chunk.ts";
import { Lanes } from "../../../src/destinations/openchange/lanes.ts";
import type { Job, Route } from "../../../src/destinations/openchange/route.ts";
import { FrameDecoder } from "../../../src/protocols/sp/frame.ts";
import { OWN_UID, STRANGE_UID, writerOf } from "../../helpers/journal.ts";

const trusted = writerOf(OWN_UID);
const strange = writerOf(STRANGE_UID);

const jobOf = (offset: number, writer = trusted): Job => ({
  record: { stretch: { writer }, index: 0, offset } as unknown as Job["record"],
  route: { cn: "jdoe" } as Route,
  unencoded: 1,
});

function lanesOf(...jobs: Job[]): Lanes {
  const lanes = new Lanes();
  for (const job of jobs) lanes.push(job);
  return lanes;
}
const mailOf = (eml: string): Notification => ({ type: "NewMail", backend: "", eml, folder: "", separator: "" });

/** Each job makes `count` notifications of `length` characters that begin with its offset. */
function encoderOf(changes: Partial<JobEncoder> = {}, count = 1, length = 4): JobEncoder {
  return {
    notifications: ({ record }) =>
      Array.from({ length: count }, (_, n) => mailOf(`${record.offset}.${n}`.padEnd(length))).values(),
    encodedLength: ({ eml }) => eml.length,
    write: (target, at, { eml }) => at + target.write(eml, at),
    encoded() {},
    unencodable: (_job, _notification, error) => assert.fail(error as Error),
    ...changes,
  };
}

function framesOf(bytes: Buffer): string[] {
  const frames: string[] = [];
  new FrameDecoder("tcp").feed(bytes, (frame) => frames.push(frame.toString().trim()));
  return frames;
}
function unexpected(): never {
  throw new TypeError("unexpected");
}
const offsetsOf = (jobs: Iterable<Job>): number[] => Array.from(jobs, ({ record }) => record.offset);

describe("a chunk", () => {
  it("has the notifications of what waits, in order, and a receipt of each job", () => {
    const lanes = lanesOf(jobOf(1), jobOf(2), jobOf(3));
    const { bytes, chunk } = encodeChunk(lanes, "tcp", encoderOf({}, 2));
    assert.deepEqual(framesOf(bytes), ["1.0", "1.1", "2.0", "2.1", "3.0", "3.1"]);
    assert.deepEqual(offsetsOf(chunk.jobs()), [1, 2, 3]);
    assert.equal(chunk.notifications, 6);
    assert.equal(lanes.length, 0);
  });

  it("ends at 64 KiB, also in the middle of a job, whose receipt is in the chunk that ends it", () => {
    const lanes = lanesOf(jobOf(1), jobOf(2));
    const encoder = encoderOf({}, 3, 20_000);
    const first = encodeChunk(lanes, "tcp", encoder);
    assert.deepEqual(framesOf(first.bytes), ["1.0", "1.1", "1.2"]);
    assert.deepEqual(offsetsOf(first.chunk.jobs()), [1]);
    assert.equal(lanes.length, 1);
    const second = encodeChunk(lanes, "tcp", encoder);
    assert.deepEqual(framesOf(second.bytes), ["2.0", "2.1", "2.2"]);
    assert.deepEqual(offsetsOf(second.chunk.jobs()), [2]);

    const longer = lanesOf(jobOf(1));
    const halves = [encodeChunk(longer, "tcp", encoderOf({}, 2, 40_000)), encodeChunk(longer, "tcp", encoder)];
    assert.deepEqual(
      halves.map(({ bytes, chunk }) => [framesOf(bytes), offsetsOf(chunk.jobs())]),
      [
        [["1.0"], []],
        [["1.1"], [1]],
      ],
    );
  });

  it("has a notification that is longer alone", () => {
    const lanes = lanesOf(jobOf(1), jobOf(2));
    const { bytes, chunk } = encodeChunk(lanes, "tcp", encoderOf({}, 1, 150_000));
    assert.deepEqual(framesOf(bytes), ["1.0"]);
    assert.deepEqual(offsetsOf(chunk.jobs()), [1]);
  });

  it("has 64 notifications of a writer, then those of others", () => {
    const lanes = lanesOf(jobOf(1, strange), jobOf(2));
    const { bytes } = encodeChunk(lanes, "tcp", encoderOf({}, 100));
    const jobs = framesOf(bytes).map((frame) => frame[0]);
    assert.equal(jobs.slice(0, 128).join(""), "2".repeat(64) + "1".repeat(64));
    assert.equal(jobs.length, 200);
  });

  it("has no receipt of a job that cannot be encoded, and all of the others", () => {
    const dropped: Job[] = [];
    const lanes = lanesOf(jobOf(1), jobOf(2), jobOf(3));
    const { bytes, chunk } = encodeChunk(
      lanes,
      "tcp",
      encoderOf({
        write(target, at, { eml }) {
          if (eml.startsWith("2")) {
            target.fill(0xff, at, at + 100);
            throw new RangeError("unexpected");
          }
          return at + target.write(eml, at);
        },
        unencodable: (job) => dropped.push(job) === 0,
      }),
    );
    assert.deepEqual(framesOf(bytes), ["1.0", "3.0"]);
    assert.deepEqual(offsetsOf(chunk.jobs()), [1, 3]);
    assert.deepEqual(offsetsOf(dropped), [2]);
    assert.equal(lanes.length, 0);
  });

  const throwing: [string, Partial<JobEncoder>][] = [
    [
      "the making of notifications",
      { notifications: (job) => (job.record.offset === 2 ? unexpected() : encoderOf().notifications(job)) },
    ],
    ["a report of what is encoded", { encoded: ({ record }) => record.offset === 2 && unexpected() }],
    [
      "a report of what cannot be",
      {
        encodedLength: ({ eml }) => (eml.startsWith("2") ? unexpected() : eml.length),
        unencodable: unexpected,
      },
    ],
  ];
  for (const [what, changes] of throwing) {
    it(`of which ${what} throws is none: all jobs wait as before, and no other host's chunk has any of them`, () => {
      const broken = lanesOf(jobOf(1), jobOf(2), jobOf(3));
      const other = lanesOf(jobOf(10));
      assert.throws(() => encodeChunk(broken, "tcp", encoderOf(changes)), { message: "unexpected" });

      const { bytes, chunk } = encodeChunk(other, "tcp", encoderOf());
      assert.deepEqual(framesOf(bytes), ["10.0"]);
      assert.deepEqual(offsetsOf(chunk.jobs()), [10]);

      assert.deepEqual(offsetsOf(broken), [1, 2, 3]);
      assert.equal(broken.length, 3);
      const again = encodeChunk(broken, "tcp", encoderOf());
      assert.deepEqual(framesOf(again.bytes), ["1.0", "2.0", "3.0"]);
      assert.deepEqual(offsetsOf(again.chunk.jobs()), [1, 2, 3]);
    });
  }

  it("is its host's alone when another is encoded in between", () => {
    const inner = lanesOf(jobOf(10), jobOf(11));
    let between: ReturnType<typeof encodeChunk> | undefined;
    const encoded = ({ record }: Job): void => {
      if (record.offset === 2) between = encodeChunk(inner, "tcp", encoderOf());
    };
    const { bytes, chunk } = encodeChunk(lanesOf(jobOf(1), jobOf(2), jobOf(3)), "tcp", encoderOf({ encoded }));
    assert.ok(between !== undefined);
    assert.deepEqual(
      [framesOf(bytes), framesOf(between.bytes)],
      [
        ["1.0", "2.0", "3.0"],
        ["10.0", "11.0"],
      ],
    );
    assert.deepEqual(
      [offsetsOf(chunk.jobs()), offsetsOf(between.chunk.jobs())],
      [
        [1, 2, 3],
        [10, 11],
      ],
    );
  });
});
