// Where the daemon's time goes: runs the throughput on one core under the profiler of V8 and prints the functions with
// the most time of their own: `make profile`. RECORDS=  records of the round.
import { chmodSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { thousands, type Bench } from "./part.ts";
import { daemonRound, setUp } from "./parts/throughput.ts";

const SHOWN = 30;

interface Profile {
  readonly nodes: readonly { id: number; callFrame: { functionName: string; url: string; lineNumber: number } }[];
  readonly samples: readonly number[];
  /** Microseconds before each sample. */
  readonly timeDeltas: readonly number[];
}

function selfTimes({ nodes, samples, timeDeltas }: Profile): [string, number][] {
  const names = new Map<number, string>();
  for (const { id, callFrame } of nodes) {
    const place = callFrame.url.replace(/^.*\/(dist|node_modules)\//, "");
    const name = callFrame.functionName || "(anonymous)";
    names.set(id, place === "" ? name : `${name}  ${place}:${callFrame.lineNumber + 1}`);
  }
  const times = new Map<string, number>();
  samples.forEach((id, index) => {
    const name = names.get(id) ?? "?";
    times.set(name, (times.get(name) ?? 0) + (timeDeltas[index] ?? 0));
  });
  return [...times].toSorted(([, a], [, b]) => b - a);
}

const folder = mkdtempSync(join(tmpdir(), "ocnotify-profile-"));
chmodSync(folder, 0o755);
const undo: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })];
const bench: Bench = {
  newFolder: (name) => mkdtempSync(join(folder, `${name}-`)),
  atEnd: (step) => void undo.push(step),
  say: (text) => void process.stderr.write(`${text}\n`),
  records: Number(process.env["RECORDS"] ?? 1_000_000),
  minutes: 0,
};
try {
  const line = await setUp(bench, ["--cpu-prof", `--cpu-prof-dir=${folder}`, "--cpu-prof-interval=500"]);
  const { eventsPerSecond, cpuUsPerEvent } = await daemonRound(line, 0);
  // The profile is written at a decent end.
  await line.daemon.stop("SIGTERM");
  const file = readdirSync(folder).find((name) => name.endsWith(".cpuprofile"));
  if (file === undefined) throw new Error("no profile was written");
  const times = selfTimes(JSON.parse(readFileSync(join(folder, file), "utf8")) as Profile);
  const busy = times.filter(([name]) => name !== "(idle)");
  const whole = busy.reduce((sum, [, time]) => sum + time, 0);
  process.stdout.write(
    `${thousands(eventsPerSecond)} events/s under the profiler, ${cpuUsPerEvent.toFixed(2)} µs of CPU time each\n`,
  );
  for (const [name, time] of busy.slice(0, SHOWN)) {
    process.stdout.write(
      `${((time / whole) * 100).toFixed(1).padStart(5)} %  ${(time / 1e3).toFixed(0).padStart(6)} ms  ${name}\n`,
    );
  }
} finally {
  for (const step of undo.toReversed()) await step();
}
process.exit(0);
