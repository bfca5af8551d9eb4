import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";
import { checkConfig } from "../src/config.ts";
import { commonOptions } from "../src/delivery/common-options.ts";
import type { Option } from "../src/delivery/options.ts";
import { KIND_TYPES, loadKinds } from "../src/destinations/kinds.ts";
import { parse } from "yaml";

const FOLDER = join(import.meta.dirname, "..");
const make = (...args: string[]): string =>
  execFileSync("make", ["--no-print-directory", "-C", FOLDER, ...args], { encoding: "utf8", stdio: "pipe" });

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .toSorted();
}

test("make install puts a program that runs, and everything beside it, below PREFIX; make uninstall takes it out", () => {
  const folder = mkdtempSync(join(tmpdir(), "ocnotify-install-"));
  try {
    make("install", `DESTDIR=${folder}`, "PREFIX=/opt/ocnotify");
    const files = filesBelow(folder);
    const wanted = [
      "etc/ocnotify/ocnotify.yaml",
      "opt/ocnotify/bin/ocnotify",
      "opt/ocnotify/lib/systemd/system/ocnotify.service",
      "opt/ocnotify/lib/sysusers.d/ocnotify.conf",
      "opt/ocnotify/lib/tmpfiles.d/ocnotify.conf",
      "opt/ocnotify/share/man/man1/ocnotify.1",
      "opt/ocnotify/share/man/man5/ocnotify.yaml.5",
      "opt/ocnotify/share/ocnotify/dovecot/99-ocnotify.conf",
    ];
    assert.deepEqual(
      wanted.filter((file) => !files.includes(file)),
      [],
    );
    const plugin = files.find((file) => file.endsWith("lib20_openchange_plugin.so"));
    assert.ok(plugin !== undefined && !plugin.startsWith("opt/"), "the plugin is where Dovecot looks for it");
    const link = join(folder, dirname(plugin), "lib20_ocnotify_plugin.so");
    assert.equal(readlinkSync(link), "lib20_openchange_plugin.so", "its second name is a link");
    const program = join(folder, "opt/ocnotify/bin/ocnotify");
    assert.ok((statSync(program).mode & 0o777) === 0o755);
    const [ours, node] = ["package.json", "packaging/node.json"].map(
      (file) => (JSON.parse(readFileSync(join(FOLDER, file), "utf8")) as { version: string }).version,
    );
    // Neither node nor anything else of this folder is in reach.
    const said = execFileSync(program, ["--version"], { encoding: "utf8", cwd: "/", env: { PATH: "/nonexistent" } });
    assert.equal(said.trim(), `${ours} (Node.js ${node})`);
    const unit = readFileSync(join(folder, "opt/ocnotify/lib/systemd/system/ocnotify.service"), "utf8");
    assert.match(unit, /^ExecStart=\/opt\/ocnotify\/bin\/ocnotify run$/m);
    assert.match(unit, /^Type=notify$[^]*^ExecReload=\/bin\/sh -c "kill -HUP \$MAINPID"$/m);

    make("uninstall", `DESTDIR=${folder}`, "PREFIX=/opt/ocnotify");
    assert.deepEqual(filesBelow(folder), ["etc/ocnotify/ocnotify.yaml"]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

interface Key {
  name: string;
  default: string;
}

/** The table of docs/configuration.md. */
function documented(): Key[] {
  const text = readFileSync(join(FOLDER, "docs/configuration.md"), "utf8");
  const table = text.slice(text.indexOf("| key |"));
  return [...table.matchAll(/^\| `([a-z_.*]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$/gm)].map(
    ([, name = "", , standard = ""]) => ({ name, default: standard.replaceAll("`", "") }),
  );
}

/** The keys of an object, with `*` for the name of a destination, and their values in the words of the table. */
function flat(value: object, prefix = ""): [string, string][] {
  return Object.entries(value).flatMap(([key, inner]: [string, unknown]): [string, string][] => {
    const name = prefix + (prefix === "destinations." ? "*" : key);
    if (Array.isArray(inner)) return [[name, `[${inner.join(", ")}]`]];
    if (typeof inner !== "object" || inner === null) return [[name, String(inner)]];
    return Object.keys(inner).length === 0 ? [[name, "{}"]] : flat(inner, `${name}.`);
  });
}

test("docs/configuration.md names every key that the program takes, each with its default", async () => {
  const table = documented();
  const defaults = new Map(flat(await checkConfig({}, "defaults")));
  for (const { name, default: standard } of table) {
    // Those without a default take all.
    if (!["all", "made once"].includes(standard) && name !== "destinations")
      assert.equal(standard, defaults.get(name), name);
  }
  const names = table.map(({ name }) => name);
  for (const prefix of ["", "log.", "journal.", "destinations.*."]) {
    const here = names
      .filter((name) => name.startsWith(prefix))
      .map((name) => name.slice(prefix.length).split(".", 1)[0] ?? "");
    assert.deepEqual([...new Set(here)].toSorted(), (await knownKeys(prefix)).toSorted(), prefix);
  }
});

test("docs/configuration.md says of each option of a destination what its kind says", async () => {
  const text = readFileSync(join(FOLDER, "docs/configuration.md"), "utf8");
  const rows = [...text.matchAll(/^\| `destinations\.\*\.(?!type`).*\|$/gm)].map(([row]) => row);
  const kinds = await loadKinds(KIND_TYPES);
  const options = [commonOptions, ...[...kinds.values()].map((kind) => kind.options)].flatMap(Object.entries<Option>);
  assert.deepEqual(
    rows,
    options.map(([key, option]) => rowOf(key, option)),
  );
});

function rowOf(key: string, { type, fallback, meaning }: Option): string {
  const written = Array.isArray(fallback) ? `[${fallback.join(", ")}]` : (fallback as string | number | boolean);
  return `| \`destinations.*.${key}\` | ${type} | ${fallback === undefined ? "all" : `\`${written}\``} | ${meaning} |`;
}

/** What the error for an unknown key says is known there. */
async function knownKeys(prefix: string): Promise<string[]> {
  const path = prefix.replace("*", "openchange").split(".").filter(Boolean);
  const input = path.reduceRight<object>((inner, key) => ({ [key]: inner }), { nonsense: 1 });
  try {
    await checkConfig(input, "test");
  } catch (error) {
    const known = /Known here: ([^;]*)/.exec((error as Error).message)?.[1];
    if (known !== undefined) return known.trim().split(/, /);
  }
  throw new Error("an unknown key is taken");
}

test("packaging/ocnotify.yaml, with every line in effect, is the configuration without it", async () => {
  const text = readFileSync(join(FOLDER, "packaging/ocnotify.yaml"), "utf8");
  assert.deepEqual(parse(text), null, "as it is installed, it changes nothing");
  const settings = text.replaceAll(/^#( *)(?=[a-z_]+:)/gm, "$1");
  assert.deepEqual(await checkConfig(parse(settings), "ocnotify.yaml"), await checkConfig({}, "defaults"));
});
