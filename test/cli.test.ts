import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { DEFAULT_CONFIG_FILE } from "../src/config.ts";
import { CLI, ocnotify, type CliResult } from "./helpers/ocnotify.ts";

const COMMANDS = [
  ["run"],
  ["status"],
  ["tail"],
  ["config"],
  ["config", "check"],
  ["listen"],
  ["send"],
  ["list"],
  ["flush"],
  ["which"],
  ["decode"],
  ["encode"],
  ["encode", "newmail"],
  ["encode", "resolver"],
  ["encode", "session"],
] as const;

/** Nobody listens there: port 1 of the loopback is below those that a test is given. */
const DEAD_SERVER = "--SERVER=127.0.0.1:1";

describe("the command line", { concurrency: 4 }, () => {
  for (const command of COMMANDS) {
    test(`${command.join(" ")} --help shows an example that names it`, async () => {
      const { code, stdout, stderr } = await ocnotify([...command, "--help"]);
      assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
      assert.match(stdout, new RegExp(`\nExample:\n {2}\\$ ocnotify ${command.join(" ")}`));
    });
  }

  test("--help lists every command and an example", async () => {
    const { code, stdout } = await ocnotify(["--help"]);
    assert.equal(code, 0);
    for (const [command] of COMMANDS) assert.match(stdout, new RegExp(`^ {2}${command} `, "m"));
    assert.match(stdout, /\nExample:\n {2}\$ ocnotify /);
  });

  test("--version is that of the package, and that of Node.js", async () => {
    const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
      version: string;
    };
    const stdout = `${version} (Node.js ${process.versions.node})\n`;
    for (const option of ["--version", "-V"])
      assert.deepEqual(await ocnotify([option]), { code: 0, stdout, stderr: "" });
  });

  test("without any argument it is a mistake, answered with the help on stderr", async () => {
    const { code, stdout, stderr } = await ocnotify([]);
    assert.deepEqual({ code, stdout }, { code: 2, stdout: "" });
    assert.match(stderr, /^Usage: ocnotify/);
  });

  const mistakes: readonly (readonly [string, readonly string[], RegExp])[] = [
    ["an unknown command", ["lisst"], /unknown command 'lisst' \(Did you mean list\?\)\. See ocnotify --help/],
    ["an unknown option", ["list", "--usrname", "x"], /unknown option '--usrname' \(Did you mean --username\?\)/],
    [
      "an unknown option of the original tool",
      ["-U", "x", "--lst"],
      /unknown option '--lst' \(Did you mean --list\?\)/,
    ],
    [
      "an option that must be given",
      ["listen"],
      /required option '-U, --username <name>' not specified\. See ocnotify listen --help/,
    ],
    ["the same, of the original tool", ["--list"], /required option '-U, --username <name>' not specified/],
    ["an option without its value", ["list", "-U"], /option '-U, --username <name>' argument missing/],
    ["an argument that must be given", ["which"], /missing required argument 'key'\. See ocnotify which --help/],
    ["an argument too many", ["list", "-U", "x", "y"], /too many arguments for 'list'/],
    [
      "a kind that does not exist",
      ["decode", "mail", "00"],
      /Allowed choices are newmail, resolver, session, subscription\. See/,
    ],
    [
      "a log level that does not exist",
      ["run", "--log-level", "loud"],
      /Allowed choices are error, warn, info, debug\./,
    ],
    ["a duration that is none", ["tail", "--since", "yesterday"], /a duration such as 30s, 10m, 1h or 7d is wanted\./],
    ["an event that does not exist", ["tail", "--event", "Mail"], /Allowed choices are MessageNew, MessageAppend/],
  ];
  for (const [what, args, message] of mistakes) {
    test(`${what} is a mistake: exit code 2 and one line`, async () => {
      const { code, stdout, stderr } = await ocnotify(args);
      assert.deepEqual({ code, stdout }, { code: 2, stdout: "" });
      assert.match(stderr, message);
      assert.match(stderr, /^ocnotify: [^\n]*[^.\n]\n$/, "one line");
    });
  }

  for (const args of [
    ["list", "-U", "jdoe"],
    ["flush", "-U", "jdoe"],
    ["send", "-U", "jdoe"],
    ["listen", "-U", "jdoe"],
    ["--list", "-U", "jdoe"],
  ]) {
    test(`${args.join(" ")} with a memcached that is not there: exit code 1 and one line that names it`, async () => {
      const { code, stdout, stderr } = await ocnotify([...args, "--server", DEAD_SERVER]);
      assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
      assert.match(stderr, /^ocnotify: memcached 127\.0\.0\.1:1: [^\n]+\n$/);
    });
  }

  test("a configuration string that is wrong: exit code 1 and one line that points at it", async () => {
    const { code, stderr } = await ocnotify(["list", "-U", "jdoe", "-H", "--SERVER=mc1 --SOCKT=x"]);
    assert.equal(code, 1);
    assert.match(stderr, /^ocnotify: [^\n]*character 14[^\n]*--SOCKT[^\n]*\n$/);
  });

  for (const args of [["frob\u001b[31m"], ["list", "--us\u001b[31m"], ["list", "-U", "x", "-H", "--\u001b"]]) {
    test(`what is wrong in ${JSON.stringify(args)} is shown, and does nothing to the terminal`, async () => {
      const { code, stderr } = await ocnotify(args);
      assert.notEqual(code, 0);
      assert.doesNotMatch(stderr.trimEnd(), /\p{Cc}/u);
      assert.match(stderr, /\\u001b/);
    });
  }

  describe("config check", () => {
    const folder = mkdtempSync(join(tmpdir(), "ocnotify-cli-"));
    after(() => rmSync(folder, { recursive: true }));
    const check = async (text?: string): Promise<CliResult> => {
      // One for each, because tests run beside each other.
      const file = join(mkdtempSync(join(folder, "x")), "ocnotify.yaml");
      if (text !== undefined) writeFileSync(file, text);
      return await ocnotify(["config", "check", ...(text === undefined ? [] : ["--config", file])]);
    };

    test("says which file is in effect, and prints a configuration that is the same again", async () => {
      const { code, stdout } = await check("drain_timeout: 7s");
      assert.equal(code, 0);
      assert.match(stdout, /^# In effect: \S+\/ocnotify\.yaml, and the defaults for what it leaves out\n/);
      assert.match(stdout, /^drain_timeout: 7s$/m);
      assert.equal((await check(stdout)).stdout.replace(/^.*\n/, ""), stdout.replace(/^.*\n/, ""));
    });

    test("says that there is no file, which one was looked for, and that the defaults are in effect", async (t) => {
      if (existsSync(DEFAULT_CONFIG_FILE)) return t.skip(`there is a ${DEFAULT_CONFIG_FILE}`);
      const { code, stdout } = await check();
      assert.equal(code, 0);
      assert.match(stdout, /^# In effect: there is no \/etc\/ocnotify\/ocnotify\.yaml: the defaults\nlog:\n/);
    });

    test("refuses what the daemon would refuse at its start", async () => {
      const { code, stderr } = await check('destinations: { a: { charset: nonsense, resolver: "--SERVR=x" } }');
      assert.equal(code, 1);
      assert.match(
        stderr,
        /destinations\.a\.charset: "nonsense" is not a charset.*destinations\.a\.resolver: .*--SERVR/,
      );
    });
  });

  test("who reads no further is no failure", async () => {
    const child = spawn(process.execPath, [CLI, "which", ...Array.from({ length: 20_000 }, (_, i) => `k${i}`)], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => (stderr += chunk));
    child.stdout.once("data", () => child.stdout.destroy());
    const [code] = (await once(child, "close")) as [number | null];
    assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
  });
});
