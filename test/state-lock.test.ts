import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, describe, it } from "node:test";
import { lockStateDirectory } from "../src/state-lock.ts";

const MODULE = resolve(import.meta.dirname, "../src/state-lock.ts");

describe("the lock of the state directory", () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "ocnotify-lock-"));
  });
  after(() => rmSync(folder, { recursive: true }));

  it("is held until it is given back", () => {
    const unlock = lockStateDirectory(folder);
    assert.throws(() => lockStateDirectory(folder), {
      code: "ERR_ALREADY_RUNNING",
      message: new RegExp(`state directory ${folder} \\(pid ${process.pid}\\)`),
    });
    unlock();
    lockStateDirectory(folder)();
  });

  it("is held by one of many that start at once, and by nobody once that is killed", async () => {
    const script = `
      import { lockStateDirectory } from ${JSON.stringify(MODULE)};
      try { lockStateDirectory(${JSON.stringify(folder)}); console.log("held"); setInterval(() => {}, 1e6); }
      catch (error) { console.log(error.code); }`;
    const children = Array.from({ length: 6 }, () =>
      spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script], {
        cwd: resolve(import.meta.dirname, ".."),
        stdio: ["ignore", "pipe", "inherit"],
      }),
    );
    const said = await Promise.all(
      children.map(async (child) => String((await once(child.stdout.setEncoding("utf8"), "data"))[0]).trim()),
    );
    assert.deepEqual(said.toSorted(), [...Array.from({ length: 5 }, () => "ERR_ALREADY_RUNNING"), "held"]);
    const holder = children[said.indexOf("held")];
    holder?.kill("SIGKILL");
    if (holder !== undefined) await once(holder, "exit");
    lockStateDirectory(folder)();
  });

  it("says what is wrong with the directory", () => {
    assert.throws(() => lockStateDirectory(join(folder, "none")), {
      code: "ERR_STATE_DIRECTORY",
      message: /cannot open .*none\/lock: ENOENT/,
    });
  });
});
