import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { hostIdOf } from "../src/host-id.ts";

let folder: string;
let machineId: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ocnotify-host-id-"));
  machineId = join(folder, "machine-id");
  writeFileSync(machineId, "0123456789abcdef0123456789abcdef\n");
});
afterEach(() => rmSync(folder, { recursive: true }));

const file = (): string => readFileSync(join(folder, "host-id.json"), "utf8");

describe("the id of a host", () => {
  it("is made once, at random, and kept", async () => {
    const id = await hostIdOf(folder, machineId);
    assert.match(id, /^[a-z0-9]{8}$/);
    assert.equal(await hostIdOf(folder, machineId), id);
    assert.ok(!file().includes("0123456789abcdef"), "the machine's id is kept from others");
    rmSync(join(folder, "host-id.json"));
    assert.notEqual(await hostIdOf(folder, machineId), id);
  });

  it("is not taken from another machine, of which the state directory is a copy", async () => {
    await hostIdOf(folder, machineId);
    writeFileSync(machineId, "ffffffffffffffffffffffffffffffff\n");
    await assert.rejects(hostIdOf(folder, machineId), {
      code: "ERR_HOST_ID",
      message: /host-id\.json is another machine's: the state directory was copied.*Delete that file.*or set host_id/,
    });
  });

  it("is kept where the machine has no id, or had none", async () => {
    const id = await hostIdOf(folder, "/nonexistent");
    assert.equal(await hostIdOf(folder, machineId), id);
    rmSync(join(folder, "host-id.json"));
    const other = await hostIdOf(folder, machineId);
    assert.equal(await hostIdOf(folder, "/nonexistent"), other);
  });

  it("is an error, with what to do, when its file cannot be used", async () => {
    for (const text of ["", "{", "[]", '{"id":"UPPER","machine":""}', '{"id":"a.b","machine":""}', '{"id":5}']) {
      writeFileSync(join(folder, "host-id.json"), text);
      await assert.rejects(hostIdOf(folder, machineId), {
        code: "ERR_HOST_ID",
        message: /Delete it to have a new one/,
      });
    }
    await assert.rejects(hostIdOf(join(folder, "missing"), machineId), { code: "ERR_HOST_ID", message: /cannot make/ });
  });
});
