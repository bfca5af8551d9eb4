// Measures what ocnotify claims, each figure next to what it is compared with: `make bench`.
// ONLY=delivery,throughput,…  some parts; RECORDS=  records of a round; LONG=1  half an hour for the memory;
// FOLDER=  where mail and journals go; DOCS=1  puts the figures of results.json into docs/performance.md.
import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, freemem, release, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import type { Bench, Part, PartResult, Row } from "./part.ts";
import { PARTS } from "./parts.ts";
import { table } from "./table.ts";

const RESULTS = join(import.meta.dirname, "results.json");
const DOCS = join(import.meta.dirname, "../docs/performance.md");
const MEMORY = "/dev/shm";
/** What the journals of the largest part take. */
const ROOM_BYTES = 2 * 1024 ** 3;

const env = process.env;
const wanted = (env["ONLY"] ?? "").split(",").filter(Boolean);
const unknown = wanted.filter((name) => !PARTS.some((part) => part.name === name));
if (unknown.length > 0) {
  process.stderr.write(
    `bench: no part ${unknown.join(", ")}. There are: ${PARTS.map(({ name }) => name).join(", ")}\n`,
  );
  process.exit(2);
}

const undo: (() => unknown)[] = [];
const began = performance.now();

function say(text: string): void {
  const seconds = ((performance.now() - began) / 1000).toFixed(0).padStart(4);
  process.stderr.write(`${seconds} s  ${text}\n`);
}

/** A folder for this run, which goes with it. */
function makeFolder(parent: string): string {
  const folder = mkdtempSync(join(parent, "ocnotify-bench-"));
  // Mail processes of other uids pass through here.
  chmodSync(folder, 0o755);
  undo.push(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function fileSystem(path: string): string {
  return execFileSync("stat", ["-f", "-c", "%T", path], { encoding: "utf8" }).trim();
}

function hasRoom(path: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize > ROOM_BYTES && freemem() > 2 * ROOM_BYTES;
  } catch {
    return false;
  }
}

async function unwind(from: number): Promise<void> {
  for (const step of undo.splice(from).toReversed()) {
    try {
      await step();
    } catch (error) {
      say(`while cleaning up: ${(error as Error).message}`);
    }
  }
}

async function measure(part: Part, bench: Bench): Promise<PartResult> {
  const level = undo.length;
  say(`${part.name}: ${part.title}`);
  try {
    return await part.run(bench);
  } catch (error) {
    return { rows: [], data: {}, broken: [`${part.name}: ${(error as Error).message}`] };
  } finally {
    await unwind(level);
  }
}

interface Results {
  machine: Record<string, unknown>;
  parts: Record<string, { measured: string; rows: readonly Row[]; data: unknown; broken: readonly string[] }>;
}

function earlier(): Results["parts"] {
  try {
    return (JSON.parse(readFileSync(RESULTS, "utf8")) as Results).parts;
  } catch {
    return {};
  }
}

function firstLine(command: string, args: readonly string[]): string {
  return execFileSync(command, args, { encoding: "utf8" }).trim().split("\n")[0] ?? "";
}

function machine(): Record<string, unknown> {
  return {
    cpu: cpus()[0]?.model,
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 1024 ** 3),
    kernel: release(),
    node: process.version,
    dovecot: firstLine("dovecot", ["--version"]),
    memcached: firstLine("memcached", ["-V"]),
  };
}

function writeDocs({ machine, parts }: Results): void {
  const mark = "<!-- figures: DOCS=1 make bench -->\n";
  const [before, , after] = readFileSync(DOCS, "utf8").split(mark);
  if (after === undefined) throw new Error("docs/performance.md has lost its marks");
  const rows = PARTS.flatMap(({ name }) => parts[name]?.rows ?? []);
  const text = `Machine: ${Object.entries(machine)
    .map(([key, value]) => `${key} ${String(value)}`)
    .join(", ")}.\n\n${table(rows)}\n`;
  writeFileSync(DOCS, [before, text, after].join(mark));
}

async function main(): Promise<boolean> {
  // Mail where a server has it, whose fsync is a part of every delivery; the journals of a million records in memory,
  // so that writing them back is no part of what is measured.
  const mail = makeFolder(env["FOLDER"] ?? tmpdir());
  const folder = makeFolder(env["FOLDER"] ?? (hasRoom(MEMORY) ? MEMORY : tmpdir()));
  const folders = { mailOn: fileSystem(mail), journalsOn: fileSystem(folder) };
  // The helpers of the tests make their folders where this says.
  env["TMPDIR"] = mail;
  const bench: Bench = {
    newFolder(name) {
      const path = mkdtempSync(join(folder, `${name}-`));
      chmodSync(path, 0o755);
      return path;
    },
    atEnd: (step) => void undo.push(step),
    say,
    records: Number(env["RECORDS"] ?? 1_000_000),
    minutes: env["LONG"] === "1" ? 30 : 3,
  };
  const parts = wanted.length === 0 ? PARTS : PARTS.filter(({ name }) => wanted.includes(name));
  const rows: Row[] = [];
  const broken: string[] = [];
  const results: Results = { machine: { ...machine(), ...folders }, parts: wanted.length === 0 ? {} : earlier() };
  for (const part of parts) {
    const result = await measure(part, bench);
    rows.push(...result.rows);
    broken.push(...result.broken);
    results.parts[part.name] = { measured: new Date().toISOString(), ...result };
  }
  writeFileSync(RESULTS, `${JSON.stringify(results, undefined, 2)}\n`);
  execFileSync("npx", ["oxfmt", RESULTS], { stdio: "ignore" });
  if (env["DOCS"] === "1") writeDocs(results);
  process.stdout.write(`\n${table(rows)}\n`);
  for (const fault of broken) process.stdout.write(`BROKEN: ${fault}\n`);
  say("done");
  return broken.length === 0;
}

let whole = false;
process.once("SIGINT", () => void unwind(0).then(() => process.exit(130)));
try {
  whole = await main();
} catch (error) {
  process.stderr.write(`bench: ${(error as Error).stack}\n`);
} finally {
  await unwind(0);
}
process.exit(whole ? 0 : 1);
