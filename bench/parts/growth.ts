import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startDaemon, type Daemon } from "../daemon.ts";
import { writeRecords } from "../journal.ts";
import { bucketAt, segmentName } from "../../test/helpers/segments.ts";
import { thousands, type Bench, type Part, type PartResult, type Row } from "../part.ts";
import { register, spread, startHosts, startResolver, type Hosts } from "../peers.ts";
import { plot } from "../plot.ts";
import { cpuSeconds, nowNs, SENDER_CORE } from "../process.ts";
import { median } from "../stats.ts";
import { waitFor } from "../../test/helpers/wait.ts";

const USERS = 1_000;
const ROUNDS = 3;
const HOST_COUNTS = [1, 10, 100, 1_000];
const RECORD_SIZES = [200, 500, 1_000, 2_000, 4_000, 8_000];
/** Hosts while the size of the records varies. */
const HOSTS_FOR_SIZES = 10;
const MOST_RECORDS = 200_000;
/** So that the journals of all sizes fit into memory. */
const MOST_BYTES = 160e6;
const PATIENCE_MS = 60_000;

/** A daemon with its own journal and its own number of hosts. */
interface Site {
  readonly daemon: Daemon;
  readonly journal: string;
  readonly hosts: Hosts;
  /** What its journal holds now, and where that came from. */
  held: { name: string; segment: string } | undefined;
  fed: number;
}

interface Point {
  readonly x: number;
  readonly site: Site;
  readonly segment: string;
  readonly records: number;
  readonly eventsPerSecond: number[];
  readonly cpuUsPerEvent: number[];
}

async function startSite(bench: Bench, hostCount: number): Promise<Site> {
  const folder = bench.newFolder("growth");
  const journal = join(folder, "journal");
  mkdirSync(journal);
  const memcached = await startResolver();
  bench.atEnd(() => memcached.stop());
  const hosts = await startHosts(hostCount);
  bench.atEnd(() => hosts.stop());
  await register(memcached.config, spread(USERS, hosts.addresses));
  const daemon = await startDaemon({ folder, resolver: memcached.config, prefix: SENDER_CORE });
  bench.atEnd(() => daemon.stop("SIGKILL"));
  return { daemon, journal, hosts, held: undefined, fed: 0 };
}

/** The journal gives back what it holds, so that the next point can have it. */
async function clear(site: Site): Promise<void> {
  if (site.held === undefined) return;
  await site.daemon.settled();
  renameSync(site.held.name, site.held.segment);
  site.held = undefined;
}

async function measure(point: Point): Promise<number> {
  const { site, segment, records } = point;
  const { daemon, hosts } = site;
  await clear(site);
  const before = (await hosts.ask()).messages;
  const cpu = cpuSeconds(daemon.pid);
  // Another name each time: a file that is back before anybody looked has never been away.
  const name = join(site.journal, segmentName(bucketAt() - 1_000 + site.fed++));
  const start = nowNs();
  renameSync(segment, name);
  site.held = { name, segment };
  const arrived = async (): Promise<boolean> => (await hosts.ask()).messages - before >= records;
  await waitFor(`${records} notifications`, arrived, PATIENCE_MS).catch(() => undefined);
  const seconds = (nowNs() - start) / 1e9;
  point.eventsPerSecond.push(records / seconds);
  point.cpuUsPerEvent.push(((cpuSeconds(daemon.pid) - cpu) * 1e6) / records);
  return records - ((await hosts.ask()).messages - before);
}

async function run(bench: Bench): Promise<PartResult> {
  const staging = bench.newFolder("staging");
  const segmentOf = (name: string, size?: number): { segment: string; records: number } => {
    const segment = join(staging, name);
    const records = Math.min(MOST_RECORDS, bench.records, Math.floor(MOST_BYTES / (size ?? 1) / USERS) * USERS);
    writeRecords(segment, size === undefined ? { records, users: USERS } : { records, users: USERS, size });
    return { segment, records };
  };
  const newPoint = (x: number, site: Site, source: ReturnType<typeof segmentOf>): Point => {
    return { x, site, ...source, eventsPerSecond: [], cpuUsPerEvent: [] };
  };
  const byHosts: Point[] = [];
  for (const count of HOST_COUNTS) {
    byHosts.push(newPoint(count, await startSite(bench, count), segmentOf(`hosts-${count}`)));
  }
  // Two in turn, so that one can settle while the other works.
  const sites = [await startSite(bench, HOSTS_FOR_SIZES), await startSite(bench, HOSTS_FOR_SIZES)];
  const bySize = RECORD_SIZES.map((size, i) => newPoint(size, sites[i % 2] as Site, segmentOf(`size-${size}`, size)));

  const broken: string[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (const point of [...byHosts, ...bySize]) {
      const lost = await measure(point);
      if (lost !== 0) broken.push(`growth at ${point.x}: ${lost} notifications lost`);
    }
    bench.say(`round ${round + 1} of ${ROUNDS}`);
  }
  const panels = [
    { title: "hosts of 1,000 users", points: byHosts },
    { title: "bytes of a record", points: bySize },
  ];
  writeFileSync(
    join(import.meta.dirname, "../growth.svg"),
    plot(
      panels.map(({ title, points }) => ({
        title,
        points: points.map(({ x, eventsPerSecond }) => ({ x, ys: eventsPerSecond })),
      })),
    ),
  );
  return {
    rows: [...byHosts.map(rowOf("hosts per 1,000 users")), ...bySize.map(rowOf("bytes a record"))],
    data: { byHosts: byHosts.map(summary), bySize: bySize.map(summary) },
    broken,
  };
}

function rowOf(unit: string): (point: Point, index: number, points: readonly Point[]) => Row {
  return ({ x, eventsPerSecond, cpuUsPerEvent }, index, points) => {
    const speed = median(eventsPerSecond);
    const first = median(points[0]?.eventsPerSecond ?? []);
    const what = `events/s at ${thousands(x)} ${unit}`;
    const figure = `${thousands(speed)} (${median(cpuUsPerEvent).toFixed(1)} µs of CPU each)`;
    if (index === 0) return { what, figure };
    const against = `at ${thousands(points[0]?.x ?? 0)}: ${thousands(first)}`;
    return { what, figure, against, ratio: `${(speed / first).toFixed(2)} ×` };
  };
}

function summary({ x, records, eventsPerSecond, cpuUsPerEvent }: Point): Record<string, unknown> {
  return { x, records, eventsPerSecond, cpuUsPerEvent };
}

export const growth: Part = { name: "growth", title: "how the cost grows", run };
