import { chmodSync, chownSync, mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { startDovecot } from "../../test/helpers/dovecot.ts";
import { startDaemon } from "../daemon.ts";
import { writeRecords } from "../journal.ts";
import { bucketAt, segmentName } from "../../test/helpers/segments.ts";
import { LmtpClient, type Delivered } from "../lmtp.ts";
import { ms, thousands, type Bench, type Part, type PartResult, type Row } from "../part.ts";
import { register, spread, startResolver, startSinks, together, type Counted, type Sink } from "../peers.ts";
import { nowNs } from "../process.ts";
import { median, quantile } from "../stats.ts";
import { MAIL_UID } from "./delivery-variants.ts";
import { freePort } from "../../test/helpers/ports.ts";

const USERS = 1_000;
const RECEIVERS = 8;
const FRESH_USER = "fresh@bench.example";
const INTERVAL_US = 20_000;
/** Any uid that Dovecot does not deliver as. */
const OTHER_UID = 61_000;
const PATIENCE_MS = 60_000;

interface Scene {
  readonly client: LmtpClient;
  readonly sinks: readonly Sink[];
  readonly journal: string;
  readonly resolver: string;
}

/** Dovecot, the daemon, and a client that delivers to a user for whom it is registered itself. */
async function setUp(bench: Bench): Promise<Scene> {
  const folder = bench.newFolder("latency");
  const journal = join(folder, "journal");
  mkdirSync(journal);
  chmodSync(journal, 0o3733);
  const memcached = await startResolver();
  bench.atEnd(() => memcached.stop());
  const settings = { openchange_resolver: memcached.config, openchange_cn: "email", openchange_journal: journal };
  const dovecot = await startDovecot({
    users: [FRESH_USER],
    protocols: ["lmtp"],
    mailPlugins: [],
    protocolPlugins: { lmtp: ["notify", "openchange"] },
    settings: { ...settings, openchange_backend: "sogo" },
  });
  bench.atEnd(() => dovecot.remove());
  const sinks = await startSinks(RECEIVERS);
  bench.atEnd(() => Promise.all(sinks.map(({ program }) => program.stop())));
  const addresses = sinks.map(({ address }) => address);
  await register(memcached.config, spread(USERS, addresses));
  const address = `tcp://127.0.0.1:${await freePort()}`;
  await register(memcached.config, [[FRESH_USER, [address]]]);
  const daemon = await startDaemon({ folder, resolver: memcached.config, mailUsers: [MAIL_UID, OTHER_UID] });
  bench.atEnd(() => daemon.stop("SIGKILL"));
  const client = await LmtpClient.start(dovecot.lmtpPort, address);
  bench.atEnd(() => client.stop());
  // Everything is opened, compiled and cached with the first ones.
  await client.deliver(100, FRESH_USER, { patienceMs: PATIENCE_MS });
  return { client, sinks, journal, resolver: memcached.config };
}

interface Latencies {
  /** MAIL command → LMTP reply. */
  readonly delivery: number[];
  /** LMTP reply → notification; negative when the notification was first. */
  readonly notification: number[];
  readonly lost: number;
}

function latenciesOf(delivered: readonly Delivered[]): Latencies {
  const told = delivered.filter(({ notified }) => notified > 0);
  return {
    delivery: delivered.map(({ start, reply }) => reply - start),
    notification: told.map(({ reply, notified }) => notified - reply),
    lost: delivered.length - told.length,
  };
}

function row(what: string, { delivery, notification }: Latencies, bar: string, isMet: boolean): Row {
  const ratio = quantile(notification, 0.5) / median(delivery);
  return {
    what,
    figure: `p50 ${ms(median(notification))}, p99 ${ms(quantile(notification, 0.99))}`,
    against: `the delivery: p50 ${ms(median(delivery))}, p99 ${ms(quantile(delivery, 0.99))}`,
    ratio: `${ratio.toFixed(2)} ×`,
    bar,
    met: isMet,
  };
}

function summary({ delivery, notification, lost }: Latencies): Record<string, number> {
  return {
    deliveries: delivery.length,
    lost,
    deliveryP50Ns: median(delivery),
    deliveryP99Ns: quantile(delivery, 0.99),
    notificationP50Ns: median(notification),
    notificationP99Ns: quantile(notification, 0.99),
    notificationMinNs: Math.min(...notification),
    notificationMaxNs: Math.max(...notification),
  };
}

function lostOf(name: string, { lost }: Latencies): string[] {
  return lost === 0 ? [] : [`${name}: ${lost} notifications lost`];
}

async function runIdle(bench: Bench): Promise<PartResult> {
  const { client } = await setUp(bench);
  const latencies = latenciesOf(
    await client.deliver(500, FRESH_USER, { intervalUs: INTERVAL_US, patienceMs: PATIENCE_MS }),
  );
  const { notification } = latencies;
  const isMet = median(notification) <= 1e6 && quantile(notification, 0.99) <= 5e6;
  return {
    rows: [row("end of delivery → the receiver has it, idle", latencies, "≤ 1 ms / ≤ 5 ms", isMet)],
    data: summary(latencies),
    broken: lostOf("latency", latencies),
  };
}

async function runBacklog(bench: Bench): Promise<PartResult> {
  const rows: Row[] = [];
  const data: Record<string, unknown> = {};
  const broken: string[] = [];
  const uids: [string, number, number][] = [["the same mail uid", MAIL_UID, 100]];
  // Only root can write in another's name.
  if (process.getuid?.() === 0) uids.unshift(["another mail uid", OTHER_UID, 400]);
  const scene = await setUp(bench);
  for (const [name, uid, count] of uids) {
    const { latencies, seconds, records } = await duringBacklog(bench, scene, uid, count);
    const what = `… while a backlog of ${thousands(records)} records of ${name} is worked off`;
    rows.push(row(what, latencies, "p99 ≤ 250 ms", quantile(latencies.notification, 0.99) <= 250e6));
    data[name] = { ...summary(latencies), records, backlogSeconds: seconds };
    broken.push(...lostOf(`backlog of ${name}`, latencies));
  }
  return { rows, data, broken };
}

async function duringBacklog(
  bench: Bench,
  { client, sinks, journal, resolver }: Scene,
  uid: number,
  count: number,
): Promise<{ latencies: Latencies; seconds: number; records: number }> {
  const records = Math.max(1, Math.round(bench.records / USERS)) * USERS;
  const staging = join(bench.newFolder("backlog"), "segment");
  bench.say(`a backlog of ${thousands(records)} records of uid ${uid}`);
  writeRecords(staging, { records, users: USERS, resolver });
  if (process.getuid?.() === 0) chownSync(staging, uid, uid);
  const patience = PATIENCE_MS;
  const counted = Promise.all(
    sinks.map(({ program }) => program.ask<Counted>(`${records / sinks.length} ${patience}`)),
  ).then(together);
  const start = nowNs();
  // Older than what Dovecot writes now, so that what is fresh comes behind it.
  renameSync(staging, join(journal, segmentName(bucketAt() - 2, uid)));
  const delivered = await client.deliver(count, FRESH_USER, { intervalUs: INTERVAL_US, patienceMs: PATIENCE_MS });
  const { last, messages } = await counted;
  if (messages !== records) throw new Error(`${records - messages} messages of the backlog were lost`);
  const latencies = latenciesOf(delivered.filter(({ reply }) => reply < last));
  return { latencies, seconds: (last - start) / 1e9, records };
}

export const latency: Part = { name: "latency", title: "from the delivery to the receiver", run: runIdle };
export const backlog: Part = { name: "backlog", title: "the same behind and beside a backlog", run: runBacklog };
