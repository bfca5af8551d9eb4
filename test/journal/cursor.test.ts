import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import fc from "fast-check";
import { OcnotifyError } from "../../src/errors.ts";
import { loadCursor, saveCursor } from "../../src/journal/cursor.ts";

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ocnotify-cursor-"));
  path = join(folder, "x.cursor");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const CURSOR = new Map([
  ["1.0.ndjson", { identity: "1:2", offset: 0 }],
  ["2.0.ndjson", { identity: "1:3", offset: 2 ** 40 }],
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
    const places = [-1, 1.5, "1", null, 2 ** 60].map((offset) => ({ a: { identity: "1:2", offset } }));
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
