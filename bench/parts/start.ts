import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { startDaemon } from "../daemon.ts";
import { recordLine, userName } from "../journal.ts";
import { segmentName } from "../../test/helpers/segments.ts";
import { percent, type Bench, type Part, type PartResult } from "../part.ts";
import { register, startResolver, startSinks, type Counted } from "../peers.ts";
import { cpuSeconds, nowNs } from "../process.ts";
import { median, quantile } from "../stats.ts";

const STARTS = 10;
const IDLE_MS = 60_000;

/** How long Node.js itself takes to start and end. */
async function bareNodeMs(): Promise<number> {
  const before = nowNs();
  await once(spawn(process.execPath, ["-e", "0"], { stdio: "ignore" }), "close");
  return (nowNs() - before) / 1e6;
}

async function run(bench: Bench): Promise<PartResult> {
  const folder = bench.newFolder("start");
  mkdirSync(join(folder, "journal"));
  const starts: number[] = [];
  const bare: number[] = [];
  for (let round = 0; round < STARTS; round++) {
    const daemon = await startDaemon({ folder, resolver: "--SERVER=127.0.0.1:11211" });
    starts.push(daemon.startMs);
    await daemon.stop();
    bare.push(await bareNodeMs());
  }
  const startMs = median(starts);
  return {
    rows: [
      {
        what: "start → ready",
        figure: `${startMs.toFixed(0)} ms (most ${quantile(starts, 1).toFixed(0)} ms)`,
        against: `node -e 0: ${median(bare).toFixed(0)} ms`,
        ratio: `${(startMs / median(bare)).toFixed(1)} ×`,
        bar: "≤ 300 ms",
        met: startMs <= 300,
      },
    ],
    data: { startsMs: starts, bareNodeMs: bare },
    broken: [],
  };
}

/** CPU time over a minute in which nothing happens, after a notification, so that a host is connected. */
async function idleCpu(bench: Bench): Promise<{ cpuSeconds: number; seconds: number }> {
  const folder = bench.newFolder("idle");
  mkdirSync(join(folder, "journal"));
  const memcached = await startResolver();
  bench.atEnd(() => memcached.stop());
  const [sink] = await startSinks(1);
  if (sink === undefined) throw new Error("no receiver");
  bench.atEnd(() => sink.program.stop());
  await register(memcached.config, [[userName(0), [sink.address]]]);
  const daemon = await startDaemon({ folder, resolver: memcached.config });
  bench.atEnd(() => daemon.stop("SIGKILL"));
  const counted = sink.program.ask<Counted>("1 10000");
  appendFileSync(join(folder, "journal", segmentName()), recordLine(0, { users: 1 }));
  if ((await counted).messages !== 1) throw new Error("no notification came");
  await daemon.settled();
  await delay(1_000);
  const before = cpuSeconds(daemon.pid);
  const start = nowNs();
  await delay(IDLE_MS);
  return { cpuSeconds: cpuSeconds(daemon.pid) - before, seconds: (nowNs() - start) / 1e9 };
}

export async function runIdle(bench: Bench): Promise<PartResult> {
  const { cpuSeconds, seconds } = await idleCpu(bench);
  const share = cpuSeconds / seconds;
  return {
    rows: [
      {
        what: "CPU time over an idle minute, one host connected",
        figure: `${(cpuSeconds * 1000).toFixed(0)} ms (${percent(share).slice(1)} of a core)`,
        bar: "≈ 0",
        met: share <= 0.002,
      },
    ],
    data: { cpuSeconds, seconds },
    broken: [],
  };
}

export const start: Part = { name: "start", title: "from the start to ready", run };
