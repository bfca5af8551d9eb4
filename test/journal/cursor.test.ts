import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import fc from "fast-check";
import { OcnotifyError } from "../../src/errors.ts";
import { loadCursor, LongestRanges, saveCursor, type Cursor, type Place } from "../../src/journal/cursor.ts";

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ocnotify-cursor-"));
  path = join(folder, "x.cursor");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const CURSOR: Cursor = new Map<string, Place>([
  ["1.0.ndjson", { identity: "1:2", offset: 0 }],
  [
    "2.0.ndjson",
    {
      identity: "1:3",
      offset: 2 ** 40,
      answered: [
        [2 ** 40, 2 ** 40 + 1],
        [2 ** 40 + 5, 2 ** 41],
      ],
    },
  ],
]);

async function loadError(text: string): Promise<OcnotifyError> {
  writeFileSync(path, text);
  try {
    await loadCursor(path);
  } catch (error) {
    assert.ok(error instanceof OcnotifyError);
    return error;
  }
  return assert.fail(`accepted: ${text}`);
}

describe("a cursor file", () => {
  it("gives back what was saved", async () => {
    await saveCursor(path, CURSOR);
    assert.deepEqual(await loadCursor(path), CURSOR);
    await saveCursor(path, new Map());
    assert.deepEqual(await loadCursor(path), new Map());
    assert.ok(!existsSync(`${path}.new`));
  });

  it("is missing at the first start", async () => {
    assert.equal(await loadCursor(path), undefined);
  });

  it("that cannot be used stops the start, with the remedy", async () => {
    const bad = ["", "garbage", "{", "null", "[]", "1", "{}", '{"version":1}', '{"version":1,"segments":{"a":1}}'];
    const places: object[] = [-1, 1.5, "1", null, 2 ** 60].map((offset) => ({ a: { identity: "1:2", offset } }));
    const answered = [
      [1],
      [[1]],
      [[-1, 2]],
      [[8, 9]],
      [[12, 11]],
      [
        [10, 14],
        [13, 20],
      ],
      Array.from({ length: 4097 }, () => [10, 10]),
    ];
    places.push(...answered.map((ranges) => ({ a: { identity: "1:2", offset: 10, answered: ranges } })));
    for (const text of [...bad, ...places.map((segments) => JSON.stringify({ version: 1, segments }))]) {
      const error = await loadError(text);
      assert.equal(error.code, "ERR_CURSOR", text);
      assert.match(error.message, /x\.cursor .*Delete it to send everything that the journal still holds once more/);
    }
  });

  it("of a later version is not guessed at", async () => {
    const error = await loadError('{"version":2,"segments":{}}');
    assert.match(error.message, /is not a cursor of version 1/);
  });

  it("without answered ranges, as an older program wrote it, is one without any", async () => {
    writeFileSync(path, '{"version":1,"segments":{"1.0.ndjson":{"identity":"1:2","offset":7}}}');
    assert.deepEqual(await loadCursor(path), new Map([["1.0.ndjson", { identity: "1:2", offset: 7 }]]));
  });

  it("with answered ranges keeps the version and the offset that an older program goes on at", async () => {
    await saveCursor(path, CURSOR);
    const { version, segments } = JSON.parse(readFileSync(path, "utf8")) as { version: number; segments: object };
    assert.equal(version, 1);
    assert.deepEqual(
      Object.values(segments).map(({ offset }: { offset: number }) => offset),
      [0, 2 ** 40],
    );
  });

  it("is a cursor or ERR_CURSOR, whatever stands in it", async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.string(), fc.json()), async (text) => {
        writeFileSync(path, text);
        await loadCursor(path).then(undefined, (error: unknown) => {
          assert.ok(error instanceof OcnotifyError && error.code === "ERR_CURSOR");
        });
      }),
    );
  });

  it("stays valid when a crash leaves its successor half written", async () => {
    await saveCursor(path, CURSOR);
    writeFileSync(`${path}.new`, readFileSync(path, "utf8").slice(0, 20));
    assert.deepEqual(await loadCursor(path), CURSOR);
    await saveCursor(path, new Map());
    assert.deepEqual(await loadCursor(path), new Map());
  });

  it("stays valid when its successor cannot be written, which may go away by itself", async () => {
    await saveCursor(path, CURSOR);
    mkdirSync(`${path}.new`);
    await assert.rejects(saveCursor(path, new Map()), (error: OcnotifyError) => {
      assert.equal(error.code, "ERR_CURSOR_SAVE");
      assert.equal(error.canRetry, true);
      assert.match(error.message, /cannot save the cursor .*x\.cursor/);
      return true;
    });
    assert.deepEqual(await loadCursor(path), CURSOR);
    rmSync(`${path}.new`, { recursive: true });
    await assert.rejects(saveCursor(join(folder, "gone", "x.cursor"), CURSOR), { code: "ERR_CURSOR_SAVE" });
  });

  it("that cannot be read is told from one that is missing", async () => {
    mkdirSync(path);
    await assert.rejects(loadCursor(path), { code: "ERR_CURSOR" });
  });
});

describe("the answered ranges of a cursor", () => {
  it("are what lies between the runs, and nothing empty", () => {
    const ranges = new LongestRanges();
    ranges.addBetween([10, 20, 20, 30, 50, 60], 10, 60);
    ranges.addBetween([], 70, 80);
    ranges.addBetween([], 90, 90);
    assert.deepEqual(ranges.ranges(), [
      [30, 50],
      [70, 80],
    ]);
  });

  it("are at most 4,096, the longest, in order", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 4_000, max: 30_000 }), (longest, count) => {
        const ranges = new LongestRanges();
        const all: [number, number][] = [];
        let at = 0;
        for (let n = 0; n < count; n++) {
          const length = 1 + ((n * 7_919) % longest);
          all.push([at, at + length]);
          ranges.addBetween([], at, at + length);
          at += length + 1;
        }
        const kept = ranges.ranges();
        const lengths = (some: typeof kept): number[] => some.map(([from, to]) => to - from).toSorted((a, b) => b - a);
        assert.equal(kept.length, Math.min(count, 4_096));
        assert.deepEqual(lengths(kept), lengths(all).slice(0, 4_096));
        assert.deepEqual(
          kept,
          kept.toSorted(([a], [b]) => a - b),
        );
      }),
      { numRuns: 50 },
    );
  });
});
