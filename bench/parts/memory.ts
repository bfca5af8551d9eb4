import { appendFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { startDaemon } from "../daemon.ts";
import { recordLine } from "../journal.ts";
import { segmentName } from "../../test/helpers/segments.ts";
import { signed, thousands, type Bench, type Part, type PartResult } from "../part.ts";
import { register, spread, startHosts, startResolver } from "../peers.ts";
import { cpuSeconds, mostOpenFiles, nowNs, residentMiB } from "../process.ts";
import { median, slope } from "../stats.ts";
import { runIdle } from "./start.ts";
import { waitFor } from "../../test/helpers/wait.ts";

const USERS = 100_000;
/** Fewer where a process may not have so many files open. */
const HOSTS = Math.min(10_000, mostOpenFiles() - 500);
const EVENTS_PER_SECOND = 2_000;
const STEP_MS = 20;
const SAMPLE_MS = 1_000;
const PATIENCE_MS = 120_000;

interface Sample {
  readonly seconds: number;
  readonly rssMiB: number;
}

async function run(bench: Bench): Promise<PartResult> {
  // Beside it, since it uses next to nothing and has its own process: an idle daemon.
  const idle = runIdle(bench);
  idle.catch(() => {});
  const folder = bench.newFolder("memory");
  const journal = join(folder, "journal");
  mkdirSync(journal);
  const memcached = await startResolver(128);
  bench.atEnd(() => memcached.stop());
  const hosts = await startHosts(HOSTS);
  bench.atEnd(() => hosts.stop());
  await register(memcached.config, spread(USERS, hosts.addresses));
  const daemon = await startDaemon({ folder, resolver: memcached.config });
  bench.atEnd(() => daemon.stop("SIGKILL"));
  const before = residentMiB(daemon.pid).now;

  const options = { users: USERS, resolver: memcached.config };
  let written = 0;
  const write = (count: number): void => {
    let lines = "";
    for (let i = 0; i < count; i++) lines += recordLine(written++, options);
    appendFileSync(join(journal, segmentName()), lines);
  };
  const arrived = (): Promise<boolean> => hosts.ask().then(({ messages }) => messages >= written);

  bench.say(`one event for each of ${thousands(USERS)} users at ${thousands(HOSTS)} hosts`);
  for (let step = 0; step < USERS; step += 1_000) write(1_000);
  await waitFor("every host to have its notifications", arrived, PATIENCE_MS);
  const { connections } = await hosts.ask();
  const first = residentMiB(daemon.pid);

  bench.say(`${bench.minutes} minutes at ${thousands(EVENTS_PER_SECOND)} events/s`);
  const samples: Sample[] = [];
  const cpu = cpuSeconds(daemon.pid);
  const start = nowNs();
  const wholeNs = bench.minutes * 60e9;
  for (let now = start, sampled = -Infinity; now - start < wholeNs; now = nowNs()) {
    write(Math.floor(((now - start) / 1e9) * EVENTS_PER_SECOND) - (written - USERS));
    if (now - sampled >= SAMPLE_MS * 1e6) {
      samples.push({ seconds: (now - start) / 1e9, rssMiB: residentMiB(daemon.pid).now });
      sampled = now;
    }
    await delay(STEP_MS);
  }
  const cpuShare = (cpuSeconds(daemon.pid) - cpu) / ((nowNs() - start) / 1e9);
  const broken: string[] = [];
  await waitFor("every host to have its notifications", arrived, PATIENCE_MS).catch(() => undefined);
  const { messages } = await hosts.ask();
  if (messages !== written) broken.push(`memory: ${written} events, ${messages} notifications came`);
  const { most } = residentMiB(daemon.pid);

  // The first third is for the heap to find its size.
  const settled = samples.slice(Math.floor(samples.length / 3));
  const half = Math.floor(settled.length / 2);
  const middle = median(settled.slice(0, half).map(({ rssMiB }) => rssMiB));
  const last = median(settled.slice(half).map(({ rssMiB }) => rssMiB));
  const perMinute = slope(settled.map(({ seconds, rssMiB }) => ({ x: seconds / 60, y: rssMiB })));
  const idleResult = await idle;
  return {
    rows: [
      {
        what: `resident memory, ${thousands(connections)} hosts connected, ${thousands(USERS)} users notified`,
        figure: `${first.now.toFixed(0)} MiB, at most ${most.toFixed(0)} MiB`,
        against: `after the start: ${before.toFixed(0)} MiB`,
        ratio: `${signed(first.now - before)} MiB`,
        bar: "≤ 150 MB",
        met: most * 1.048576 <= 150,
      },
      {
        what: `… over ${bench.minutes} minutes at ${thousands(EVENTS_PER_SECOND)} events/s (${(cpuShare * 100).toFixed(0)} % of a core)`,
        figure: `last third ${last.toFixed(0)} MiB`,
        against: `middle third ${middle.toFixed(0)} MiB`,
        ratio: `${signed(perMinute, 2)} MiB a minute`,
        bar: "flat (±5 %)",
        met: last <= middle * 1.05,
      },
      ...idleResult.rows,
    ],
    data: { before, first, most, connections, perMinute, middle, last, cpuShare, samples, idle: idleResult.data },
    broken,
  };
}

export const memory: Part = { name: "memory", title: "memory with many hosts and users, and over time", run };
