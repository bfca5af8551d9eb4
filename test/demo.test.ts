import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

const CHECKOUT = join(import.meta.dirname, "..");

test("the demo runs with an ordinary user's PATH, in which Debian has no /usr/sbin", async () => {
  const path = ["/usr/local/bin", "/usr/bin", "/bin", dirname(process.execPath)].join(":");
  const { stdout } = await promisify(execFile)(process.execPath, ["--import", "tsx", "scripts/demo.ts"], {
    cwd: CHECKOUT,
    env: { ...process.env, PATH: path },
  });
  assert.match(stdout, /^demo: delivered 2, notified 2$/m);
});
