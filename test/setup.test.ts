import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

const CHECKOUT = join(import.meta.dirname, "..");
const SETUP = join(CHECKOUT, "scripts/setup");

/** What `make` would run, in the order in which it would. */
const setupsOf = (target: string): string[] => {
  const plan = execFileSync("make", ["-n", "--no-print-directory", target], { cwd: CHECKOUT, encoding: "utf8" });
  return [...plan.matchAll(/^scripts\/setup (.*)$/gm)].map(([, needs = ""]) => needs);
};

describe("what a target of the Makefile needs", () => {
  let folder: string;
  let asked: string;
  /** An environment in which dpkg-query says that every package is installed, and notes which ones it was asked for. */
  const env = (): NodeJS.ProcessEnv => ({
    ...process.env,
    PATH: `${folder}:${process.env["PATH"] ?? ""}`,
    ASKED: asked,
  });
  const packagesOf = (...needs: string[]): string[] => {
    rmSync(asked, { force: true });
    execFileSync(SETUP, needs, { cwd: CHECKOUT, env: env(), stdio: "pipe" });
    return existsSync(asked) ? readFileSync(asked, "utf8").trim().split("\n") : [];
  };

  before(() => {
    folder = mkdtempSync(join(tmpdir(), "ocnotify-setup-"));
    asked = join(folder, "asked");
    const fake = join(folder, "dpkg-query");
    writeFileSync(
      fake,
      '#!/bin/sh\nshift 3\nfor package in "$@"; do\n  echo "$package" >>"$ASKED"\n  echo "$package install ok installed"\ndone\n',
    );
    chmodSync(fake, 0o755);
  });
  after(() => {
    rmSync(folder, { recursive: true });
  });

  test("lint and format need npm packages alone", () => {
    for (const target of ["lint", "format"]) assert.deepEqual(setupsOf(target), ["npm"]);
    assert.deepEqual(packagesOf("npm"), []);
  });

  test("build needs a compiler and Dovecot's headers", () => {
    assert.deepEqual(setupsOf("build"), ["build"]);
    assert.deepEqual(packagesOf("build"), ["gcc", "libc6-dev", "binutils", "make", "dovecot-dev"]);
  });

  test("demo needs beyond that what it shows, and bench, torture and test each add theirs", () => {
    assert.deepEqual(setupsOf("demo"), ["demo", "build"]);
    assert.deepEqual(setupsOf("bench"), ["bench", "build"]);
    assert.deepEqual(setupsOf("torture"), ["bench", "build"]);
    assert.deepEqual(setupsOf("test"), ["test", "build"]);
    const [build, demo, bench, tests] = ["build", "demo", "bench", "test"].map((need) => packagesOf(need));
    assert.ok(build !== undefined && demo !== undefined && bench !== undefined && tests !== undefined);
    assert.deepEqual(demo, [...build, "dovecot-core", "dovecot-lmtpd", "memcached"]);
    assert.deepEqual(bench, [...demo, "libnanomsg-dev"]);
    assert.deepEqual(tests.slice(0, bench.length), bench);
    assert.ok(tests.includes("dovecot-imapd") && tests.includes("nanomsg-utils"));
  });

  test("a need that nobody knows is an error", () => {
    const { status, stderr } = spawnSync(SETUP, ["dmeo"], { cwd: CHECKOUT, env: env(), encoding: "utf8" });
    assert.equal(status, 1);
    assert.match(stderr, /^setup: nothing is known of dmeo: usage: setup \[npm\|build\|demo\|bench\|test\]/);
  });
});
