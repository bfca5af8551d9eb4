import { mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { startDaemon, type Daemon } from "../daemon.ts";
import { writeRecords } from "../journal.ts";
import { bucketAt, segmentName } from "../../test/helpers/segments.ts";
import { thousands, type Bench, type Part, type PartResult } from "../part.ts";
import { register, spread, startResolver, startSinks, together, type Counted, type Sink } from "../peers.ts";
import { built, cpuSeconds, nowNs, Program, SENDER_CORE } from "../process.ts";
import { bootstrapMedian, median } from "../stats.ts";

const USERS = 1_000;
const RECEIVERS = 8;
const ROUNDS = 3;
/** A receiver that gets nothing for so long gives up. */
const PATIENCE_MS = 20_000;

interface Round {
  readonly eventsPerSecond: number;
  readonly cpuUsPerEvent: number;
  readonly sinkCpuUsPerEvent: number;
  readonly counted: ReturnType<typeof together>;
}

/** A journal, the daemon that reads it, the resolver and the receivers. */
export interface Line {
  readonly daemon: Daemon;
  readonly sinks: readonly Sink[];
  /** Where the segments wait that are to be moved into the journal. */
  readonly staging: string;
  readonly journal: string;
  readonly bytes: number;
  readonly records: number;
}

export async function setUp(bench: Bench, nodeArgs: readonly string[] = []): Promise<Line> {
  const folder = bench.newFolder("throughput");
  const journal = join(folder, "journal");
  const staging = join(folder, "staging");
  mkdirSync(journal);
  mkdirSync(staging);
  const memcached = await startResolver();
  bench.atEnd(() => memcached.stop());
  const sinks = await startSinks(RECEIVERS);
  bench.atEnd(() => Promise.all(sinks.map(({ program }) => program.stop())));
  const addresses = sinks.map(({ address }) => address);
  await register(memcached.config, spread(USERS, addresses));
  // Whole turns of all users and receivers, so that each receiver gets the same share.
  const records = Math.max(1, Math.round(bench.records / USERS)) * USERS;
  bench.say(`writing ${thousands(records)} records`);
  const options = { records, users: USERS, resolver: memcached.config };
  const bytes = writeRecords(join(staging, "segment"), options);
  const daemon = await startDaemon({ folder, resolver: memcached.config, prefix: SENDER_CORE, nodeArgs });
  bench.atEnd(() => daemon.stop("SIGKILL"));
  return { daemon, sinks, staging, journal, bytes, records };
}

/** Moves the segment into the journal and waits until every receiver has its share. */
export async function daemonRound(line: Line, round: number): Promise<Round> {
  const { daemon, sinks, staging, journal, records } = line;
  // Another name each time: a file that is back before anybody looked has never been away.
  const name = join(journal, segmentName(bucketAt() - 1_000 + round));
  const expected = expectShares(sinks, records);
  const cpu = cpuSeconds(daemon.pid);
  const start = nowNs();
  renameSync(join(staging, "segment"), name);
  const counted = together(await expected);
  const result = roundOf(start, records, (cpuSeconds(daemon.pid) - cpu) * 1e6, counted);
  await daemon.settled();
  renameSync(name, join(staging, "segment"));
  return result;
}

async function blastRound(blast: Program, { sinks, records }: Line): Promise<Round> {
  const expected = expectShares(sinks, records);
  const { start, cpuUs } = await blast.ask<{ start: number; cpuUs: number }>(String(records));
  return roundOf(start, records, cpuUs, together(await expected));
}

function expectShares(sinks: readonly Sink[], records: number): Promise<Counted[]> {
  return Promise.all(sinks.map(({ program }) => program.ask<Counted>(`${records / sinks.length} ${PATIENCE_MS}`)));
}

function roundOf(start: number, records: number, cpuUs: number, counted: ReturnType<typeof together>): Round {
  return {
    eventsPerSecond: counted.whole ? records / ((counted.last - start) / 1e9) : Number.NaN,
    cpuUsPerEvent: cpuUs / records,
    sinkCpuUsPerEvent: counted.cpuUs / records,
    counted,
  };
}

async function run(bench: Bench): Promise<PartResult> {
  const line = await setUp(bench);
  const addresses = line.sinks.map(({ address }) => address);
  const blast = await Program.start([...SENDER_CORE, built("nn-blast"), String(USERS), ...addresses]);
  bench.atEnd(() => blast.stop());
  const ours: Round[] = [];
  const theirs: Round[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    // A B, B A, A B: neither always goes first.
    const steps = [
      async () => ours.push(await daemonRound(line, round)),
      async () => theirs.push(await blastRound(blast, line)),
    ];
    for (const step of round % 2 === 0 ? steps : steps.toReversed()) await step();
    const speeds = [ours, theirs].map((rounds) => thousands(rounds.at(-1)?.eventsPerSecond ?? 0));
    bench.say(`round ${round + 1} of ${ROUNDS}: ocnotify ${speeds[0]} events/s, libnanomsg ${speeds[1]}`);
  }
  const broken: string[] = [];
  for (const [name, rounds] of [
    ["ocnotify", ours],
    ["nn-blast", theirs],
  ] as const) {
    for (const { counted } of rounds) {
      if (counted.messages !== line.records) broken.push(`${name}: ${line.records - counted.messages} messages lost`);
    }
  }
  const sums = new Set([...ours, ...theirs].map(({ counted }) => counted.sum));
  if (sums.size !== 1) broken.push("the receivers did not get the same messages from both");
  const speed = bootstrapMedian(ours.map(({ eventsPerSecond }) => eventsPerSecond));
  const theirSpeed = bootstrapMedian(theirs.map(({ eventsPerSecond }) => eventsPerSecond));
  const ratio = bootstrapMedian(ours.map((round, i) => round.eventsPerSecond / (theirs[i]?.eventsPerSecond ?? 0)));
  const cpu = median(ours.map(({ cpuUsPerEvent }) => cpuUsPerEvent));
  const theirCpu = median(theirs.map(({ cpuUsPerEvent }) => cpuUsPerEvent));
  return {
    rows: [
      {
        what: `events/s of one daemon, ${thousands(line.records)} records × ${ROUNDS}, 1,000 users, ${RECEIVERS} receivers`,
        figure: `${thousands(speed.value)} (${thousands(speed.low)} … ${thousands(speed.high)})`,
        against: `libnanomsg in C: ${thousands(theirSpeed.value)}`,
        ratio: `${ratio.value.toFixed(2)} × (${ratio.low.toFixed(2)} … ${ratio.high.toFixed(2)})`,
        bar: "≥ 0.5 ×",
        met: ratio.value >= 0.5,
      },
      {
        what: "CPU time per event of the sender",
        figure: `${cpu.toFixed(2)} µs`,
        against: `libnanomsg in C: ${theirCpu.toFixed(2)} µs`,
        ratio: `${(theirCpu / cpu).toFixed(2)} × as many events per CPU second`,
      },
    ],
    data: { records: line.records, journalBytes: line.bytes, ocnotify: ours, libnanomsg: theirs, ratio },
    broken,
  };
}

export const throughput: Part = {
  name: "throughput",
  title: "journal → resolver → payload → nanomsg",
  run,
};
