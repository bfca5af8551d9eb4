import { execFileSync } from "node:child_process";
import type { Daemon } from "../daemon.ts";
import { LmtpClient } from "../lmtp.ts";
import { ms, percent, signed, type Bench, type Part, type PartResult, type Row } from "../part.ts";
import { childrenOf, cpuSeconds, runNs } from "../process.ts";
import { bootstrapMedian, generator, median, quantile, shuffled, type Estimate } from "../stats.ts";
import { userOf, VARIANTS, type Variant } from "./delivery-variants.ts";

const PER_ROUND = 25;
const ROUNDS = 80;
/** Rounds that only warm everything up. */
const WARM_UP = 4;
/** Half a minute more than a machine of two cores needs. */
const MOST_MS = 120_000;
/** Then some with a pause after each, in which the daemon is done before the next begins. */
const PACED = { rounds: 40, perRound: 15, intervalUs: 10_000, names: ["notify", "no daemon", "healthy"] };

/** Nanoseconds, a list a round. */
type Rounds = readonly (readonly number[])[];

interface Running {
  readonly variant: Variant;
  readonly client: LmtpClient;
  readonly daemon: Daemon | undefined;
  readonly check: (delivered: number) => string[];
  readonly lmtpPid: number;
  readonly rounds: number[][];
  readonly paced: number[][];
  /** CPU time of the LMTP process per delivery, in nanoseconds, a round each. */
  readonly cpu: number[];
  delivered: number;
}

async function startAll(bench: Bench): Promise<Running[]> {
  const version = execFileSync("dovecot", ["--version"], { encoding: "utf8" });
  const running: Running[] = [];
  for (const variant of VARIANTS.filter(({ isFor }) => isFor?.(version) ?? true)) {
    const { dovecot, daemon, check = () => [] } = await variant.start(bench);
    const client = await LmtpClient.start(dovecot.lmtpPort);
    bench.atEnd(() => client.stop());
    // Whether Dovecot greets was asked by a connection of its own: the process that served that one idles, and will end.
    await client.deliver(1, userOf(0, 0));
    const [lmtpPid = 0] = childrenOf(dovecot.pid, "lmtp").toSorted((a, b) => runNs(b) - runNs(a));
    running.push({ variant, client, daemon, check, lmtpPid, rounds: [], paced: [], cpu: [], delivered: 1 });
  }
  return running;
}

async function deliver(to: Running, count: number, user: string, intervalUs = 0): Promise<number[]> {
  to.delivered += count;
  const delivered = await to.client.deliver(count, user, { intervalUs });
  return delivered.map(({ start, reply }) => reply - start);
}

async function run(bench: Bench): Promise<PartResult> {
  const running = await startAll(bench);
  const named = (name: string): Running | undefined => running.find(({ variant }) => variant.name === name);
  bench.say(`${running.length} Dovecots, ${ROUNDS} rounds of ${PER_ROUND} deliveries a turn`);
  const random = generator(1);
  const deadline = performance.now() + MOST_MS;
  const daemonCpu = cpuOf(named("healthy")?.daemon);
  const turns = running.flatMap((each) => Array.from({ length: each.variant.turns }, (_, turn) => ({ each, turn })));
  for (let round = -WARM_UP; round < ROUNDS && performance.now() < deadline; round++) {
    for (const { each, turn } of shuffled(turns, random)) {
      const before = runNs(each.lmtpPid);
      const times = await deliver(each, PER_ROUND, userOf(round + WARM_UP, turn));
      if (round < 0) continue;
      (each.rounds[round] ??= []).push(...times);
      const cpu = (runNs(each.lmtpPid) - before) / PER_ROUND / each.variant.turns;
      each.cpu[round] = (each.cpu[round] ?? 0) + cpu;
    }
  }
  await named("healthy")?.daemon?.settled();
  const daemonCpuUs = ((cpuOf(named("healthy")?.daemon) - daemonCpu) * 1e6) / (named("healthy")?.delivered ?? 0);
  const paced = running.filter(({ variant }) => PACED.names.includes(variant.name));
  bench.say(`${PACED.rounds} rounds of ${PACED.perRound} deliveries, one every ${PACED.intervalUs / 1000} ms`);
  for (let round = 0; round < PACED.rounds; round++) {
    for (const each of shuffled(paced, random)) {
      each.paced.push(await deliver(each, PACED.perRound, userOf(round, 0), PACED.intervalUs));
    }
  }
  return {
    rows: [
      ...running.map(({ variant, rounds }) => rowOf(variant, variant.title, rounds, named(variant.base ?? "")?.rounds)),
      ...paced.map(({ variant, paced }) =>
        rowOf(
          variant,
          `one delivery every ${PACED.intervalUs / 1000} ms, ${variant.title.replace("… ", "")}`,
          paced,
          named(variant.base ?? "")?.paced,
        ),
      ),
      cpuRow(named("no daemon in memory")?.cpu ?? [], named("notify in memory")?.cpu ?? []),
      {
        what: "CPU time of the daemon per delivery, one after the other",
        figure: ms(daemonCpuUs * 1e3),
        against: `LMTP process: ${ms(median(named("healthy")?.cpu ?? []))}`,
        ratio: `${((daemonCpuUs * 1e3) / median(named("healthy")?.cpu ?? [])).toFixed(2)} ×`,
      },
    ],
    data: {
      daemonCpuUsPerDelivery: daemonCpuUs,
      ...Object.fromEntries(running.map((each) => [each.variant.name, summary(each)])),
    },
    broken: running.flatMap(({ check, delivered }) => check(delivered)),
  };
}

function cpuOf(daemon: Daemon | undefined): number {
  return daemon === undefined ? Number.NaN : cpuSeconds(daemon.pid);
}

function rowOf({ base, bar, isMet }: Variant, what: string, rounds: Rounds, baseRounds: Rounds | undefined): Row {
  const all = rounds.flat();
  const figure = `p50 ${ms(median(all))}, p99 ${ms(quantile(all, 0.99))}`;
  if (baseRounds === undefined || baseRounds.length === 0) return { what, figure };
  const change = changeOf(rounds.map(median), baseRounds.map(median));
  const judged = bar === undefined ? {} : { bar, met: isMet?.(change) ?? false };
  const difference = differenceOf(rounds.map(median), baseRounds.map(median));
  const ratio = `${interval(change)}, ${difference}`;
  return { what, figure, against: `${base ?? ""}: p50 ${ms(median(baseRounds.flat()))}`, ratio, ...judged };
}

/** What of a delivery no scheduler and no other process can blur. */
function cpuRow(own: readonly number[], base: readonly number[]): Row {
  return {
    what: "CPU time of the LMTP process per delivery in memory, `notify openchange`",
    figure: ms(median(own)),
    against: `notify: ${ms(median(base))}`,
    ratio: `${interval(changeOf(own, base))}, ${differenceOf(own, base)}`,
  };
}

/** Round by round, so that what slows a whole round down slows both. */
function changeOf(rounds: readonly number[], base: readonly number[]): Estimate {
  return bootstrapMedian(rounds.map((value, round) => value / (base[round] ?? 0) - 1));
}

function differenceOf(rounds: readonly number[], base: readonly number[]): string {
  return `${signed(median(rounds.map((value, round) => value - (base[round] ?? 0))) / 1e3)} µs`;
}

function interval({ value, low, high }: Estimate): string {
  return `${percent(value)} (${percent(low)} … ${percent(high)})`;
}

function summary({ rounds, paced, cpu, delivered }: Running): Record<string, unknown> {
  const all = rounds.flat();
  return {
    delivered,
    p50Ns: median(all),
    p99Ns: quantile(all, 0.99),
    roundMediansNs: rounds.map(median).map(Math.round),
    pacedRoundMediansNs: paced.map(median).map(Math.round),
    lmtpCpuNs: cpu.map(Math.round),
  };
}

export const delivery: Part = { name: "delivery", title: "what a delivery costs", run };
