import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import fc from "fast-check";
import { Pauses } from "../../src/delivery/pauses.ts";
import { OcnotifyError } from "../../src/errors.ts";

const SINCE = "2026-11-23T17:59:19.598Z";

describe("what the operator has paused", () => {
  let folder: string;
  let path: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "ocnotify-pauses-"));
    path = join(folder, "paused.json");
  });
  afterEach(() => {
    chmodSync(folder, 0o700);
    rmSync(folder, { recursive: true });
  });

  it("is nothing without a file, and is what was said when it is read again", async () => {
    const pauses = await Pauses.load(path);
    assert.equal(pauses.get("crm"), undefined);
    await pauses.set("crm", { since: SINCE, by: "jdoe" });
    await pauses.set("web", { since: SINCE });
    await pauses.set("web", undefined);
    await pauses.set("bus", { since: SINCE });
    const again = await Pauses.load(path);
    assert.deepEqual(again.get("crm"), { since: SINCE, by: "jdoe" });
    assert.equal(again.get("web"), undefined);
    assert.deepEqual(again.get("bus"), { since: SINCE });
    assert.deepEqual(readdirSync(folder), ["paused.json"]);
  });

  it("stays as it was when it cannot be saved", async () => {
    const pauses = await Pauses.load(path);
    await pauses.set("crm", { since: SINCE });
    rmSync(path);
    mkdirSync(path);
    await assert.rejects(pauses.set("crm", undefined), {
      code: "ERR_PAUSES_SAVE",
      canRetry: true,
      message: /paused\.json/,
    });
    assert.deepEqual(pauses.get("crm"), { since: SINCE });
    assert.deepEqual(readdirSync(folder), ["paused.json"], "nothing is left of the attempt");
  });

  it("is an error that names the file and what to do when the file is broken", async () => {
    const broken = [
      "",
      "garbage",
      "[]",
      '{"version":2,"paused":{}}',
      '{"version":1}',
      '{"version":1,"paused":[]}',
      '{"version":1,"paused":null}',
      '{"version":1,"paused":{"a":true}}',
      '{"version":1,"paused":{"a":{"since":"yesterday"}}}',
      '{"version":1,"paused":{"a":{"since":"2026-11-23T17:59:19.598Z","by":1}}}',
    ];
    for (const text of broken) {
      writeFileSync(path, text);
      await assert.rejects(Pauses.load(path), { code: "ERR_PAUSES", message: /paused\.json, .*Delete it/ }, text);
    }
  });

  it("is read, or refused, whatever stands in the file", async () => {
    const values = fc.oneof(fc.string(), fc.json());
    await fc.assert(
      fc.asyncProperty(values, async (text) => {
        writeFileSync(path, text);
        await Pauses.load(path).catch((error: unknown) => {
          assert.ok(error instanceof OcnotifyError && error.code === "ERR_PAUSES");
        });
      }),
    );
  });
});
