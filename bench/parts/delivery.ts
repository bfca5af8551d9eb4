import { execFileSync } from "node:child_process";
import { createServer } from "node:net";
import { join } from "node:path";
import { startDovecot, type DovecotOptions, type RunningDovecot } from "../../test/helpers/dovecot.ts";
import { freePort, startMemcached } from "../../test/helpers/memcached.ts";
import { startDaemon } from "../daemon.ts";
import { userName } from "../journal.ts";
import { LmtpClient } from "../lmtp.ts";
import { ms, percent, signed, type Bench, type Part, type PartResult, type Row } from "../part.ts";
import { register, startSinks } from "../peers.ts";
import { childrenOf, runNs } from "../process.ts";
import { bootstrapMedian, generator, median, quantile, shuffled, type Estimate } from "../stats.ts";

/** Mailboxes stay small when each round has another. */
const USERS = Array.from({ length: 10 }, (_, index) => userName(index));
const PER_ROUND = 25;
const ROUNDS = 80;
/** Rounds that only warm everything up. */
const WARM_UP = 4;
/** Half a minute more than a machine of two cores needs. */
const MOST_MS = 120_000;
/** Whom Dovecot delivers as, where the benchmark runs as root: see test/helpers/dovecot.ts. */
export const MAIL_UID = process.getuid?.() === 0 ? 65_534 : (process.getuid?.() ?? 0);

interface Variant {
  readonly name: string;
  /** What it is compared with. */
  readonly base?: string;
  readonly bar?: string;
  readonly isMet?: (change: Estimate) => boolean;
  readonly start: (bench: Bench) => Promise<{ dovecot: RunningDovecot; check?: (delivered: number) => string[] }>;
}

const AT_MOST_2_PERCENT = { base: "notify", bar: "≤ +2 %", isMet: ({ value }: Estimate) => value <= 0.02 };
const AS_HEALTHY = {
  base: "healthy",
  bar: "no slower",
  isMet: ({ low, value }: Estimate) => low <= 0 || value < 0.005,
};

const VARIANTS: readonly Variant[] = [
  { name: "plain", start: async (bench) => ({ dovecot: await start(bench, []) }) },
  { name: "notify", base: "plain", start: async (bench) => ({ dovecot: await start(bench, ["notify"]) }) },
  {
    name: "record written, no daemon",
    ...AT_MOST_2_PERCENT,
    start: (bench) => startWithPlugin(bench, "no daemon"),
  },
  { name: "healthy", ...AT_MOST_2_PERCENT, start: (bench) => startWithPlugin(bench, "healthy") },
  { name: "memcached stopped", ...AS_HEALTHY, start: (bench) => startWithPlugin(bench, "memcached stopped") },
  { name: "every host dead", ...AS_HEALTHY, start: (bench) => startWithPlugin(bench, "every host dead") },
  { name: "push_notification with ox", base: "notify", start: startWithOx },
];

const TITLES: Readonly<Record<string, string>> = {
  plain: "LMTP delivery, no plugin",
  notify: "… `notify` alone",
  "record written, no daemon": "… `notify openchange`, no daemon runs",
  healthy: "… `notify openchange`, the daemon notifies",
  "memcached stopped": "… the daemon runs, memcached is stopped",
  "every host dead": "… the daemon runs, every host is dead",
  "push_notification with ox": "… Dovecot's push_notification, driver ox",
};

async function start(
  bench: Bench,
  plugins: readonly string[],
  options: Pick<DovecotOptions, "settings" | "extra"> = {},
): Promise<RunningDovecot> {
  const dovecot = await startDovecot({
    users: USERS,
    protocols: ["lmtp"],
    mailPlugins: [],
    protocolPlugins: plugins.length === 0 ? {} : { lmtp: plugins },
    ...options,
  });
  bench.atEnd(() => dovecot.remove());
  return dovecot;
}

type State = "healthy" | "no daemon" | "memcached stopped" | "every host dead";

async function startWithPlugin(bench: Bench, state: State): ReturnType<Variant["start"]> {
  const memcached = await startMemcached();
  bench.atEnd(() => memcached.stop());
  const settings = { openchange_resolver: memcached.config, openchange_cn: "email", openchange_backend: "sogo" };
  const dovecot = await start(bench, ["notify", "openchange"], { settings });
  const [sink] = await startSinks(1);
  bench.atEnd(() => sink?.program.stop());
  // Counts what comes, so that somebody reads it.
  sink?.program.say("1000000000 1000000000");
  const host = state === "every host dead" ? `tcp://127.0.0.1:${await freePort()}` : (sink?.address ?? "");
  await register(
    memcached.config,
    USERS.map((user) => [user, [host]] as const),
  );
  if (state === "memcached stopped") await memcached.stop();
  if (state !== "no daemon") {
    const daemon = await startDaemon({
      folder: join(dovecot.folder, "daemon"),
      journal: dovecot.journalDir,
      resolver: memcached.config,
      mailUsers: [MAIL_UID],
    });
    bench.atEnd(() => daemon.stop("SIGKILL"));
  }
  return {
    dovecot,
    check: (delivered) => {
      const written = dovecot.records().filter(({ event }) => event === "MessageNew").length;
      return written === delivered ? [] : [`${state}: ${delivered} mails delivered, ${written} records written`];
    },
  };
}

async function startWithOx(bench: Bench): ReturnType<Variant["start"]> {
  let requests = 0;
  // As cheap as an endpoint can be: a request is one packet here, and it is answered before it is understood.
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      if (!chunk.includes("PUT ") && !chunk.includes("POST ")) return;
      requests++;
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
  });
  const port = await freePort();
  await new Promise<void>((done) => {
    server.listen(port, "127.0.0.1", done);
  });
  bench.atEnd(() => server.close());
  const dovecot = await start(bench, ["notify", "push_notification"], {
    settings: { push_notification_driver: `ox:url=http://127.0.0.1:${port}/notify` },
    extra: () => "mail_attribute_dict = file:%h/dovecot-attributes\n",
  });
  // The driver is silent for a mailbox unless its client has asked for it.
  for (const user of USERS) {
    const key = "/private/vendor/vendor.dovecot/http-notify";
    const { code, stderr } = await dovecot.doveadm([
      "mailbox",
      "metadata",
      "set",
      "-u",
      user,
      "-s",
      "",
      key,
      `user=${user}`,
    ]);
    if (code !== 0) throw new Error(`doveadm mailbox metadata: ${stderr}`);
  }
  return {
    dovecot,
    check: (delivered) =>
      requests === delivered ? [] : [`ox: ${delivered} mails delivered, ${requests} requests came`],
  };
}

interface Running {
  readonly variant: Variant;
  readonly client: LmtpClient;
  readonly check: (delivered: number) => string[];
  readonly lmtpPids: readonly number[];
  /** Nanoseconds, a list a round. */
  readonly rounds: number[][];
  /** CPU time of the LMTP process per delivery, in nanoseconds, a round each. */
  readonly cpu: number[];
}

async function startAll(bench: Bench): Promise<Running[]> {
  const version = execFileSync("dovecot", ["--version"], { encoding: "utf8" });
  const running: Running[] = [];
  for (const variant of VARIANTS) {
    // Its settings are those of 2.3 here.
    if (variant.start === startWithOx && !version.startsWith("2.3.")) continue;
    const { dovecot, check = () => [] } = await variant.start(bench);
    const client = await LmtpClient.start(dovecot.lmtpPort);
    bench.atEnd(() => client.stop());
    const lmtpPids = childrenOf(dovecot.pid, "lmtp");
    running.push({ variant, client, check, lmtpPids, rounds: [], cpu: [] });
  }
  return running;
}

async function run(bench: Bench): Promise<PartResult> {
  const running = await startAll(bench);
  bench.say(`${running.length} Dovecots, ${ROUNDS} rounds of ${PER_ROUND} deliveries to each`);
  const random = generator(1);
  const deadline = performance.now() + MOST_MS;
  for (let round = -WARM_UP; round < ROUNDS && performance.now() < deadline; round++) {
    const user = USERS[(round + WARM_UP) % USERS.length] ?? "";
    for (const { client, rounds, cpu, lmtpPids } of shuffled(running, random)) {
      const before = runNs(lmtpPids);
      const delivered = await client.deliver(PER_ROUND, user);
      if (round < 0) continue;
      rounds.push(delivered.map(({ start, reply }) => reply - start));
      cpu.push((runNs(lmtpPids) - before) / PER_ROUND);
    }
  }
  const done = Math.min(...running.map(({ rounds }) => rounds.length));
  const broken = running.flatMap(({ check }) => check((done + WARM_UP) * PER_ROUND));
  const medians = new Map(running.map(({ variant, rounds }) => [variant.name, rounds.map(median)]));
  const rows: Row[] = [];
  const data: Record<string, unknown> = { rounds: done, perRound: PER_ROUND };
  for (const { variant, rounds, cpu } of running) {
    const { name, base, bar, isMet } = variant;
    const all = rounds.flat();
    const figure = `p50 ${ms(median(all))}, p99 ${ms(quantile(all, 0.99))}`;
    const baseMedians = medians.get(base ?? "") ?? [];
    const ownMedians = medians.get(name) ?? [];
    const change = base === undefined ? undefined : changeOf(ownMedians, baseMedians);
    data[name] = {
      p50Ns: median(all),
      p99Ns: quantile(all, 0.99),
      base,
      change,
      roundMediansNs: ownMedians,
      cpuNs: cpu,
    };
    if (base === undefined || change === undefined) {
      rows.push({ what: TITLES[name] ?? name, figure });
      continue;
    }
    const against = `${base}: p50 ${ms(median(baseMedians))}`;
    const microseconds = signed(median(ownMedians.map((value, round) => value - (baseMedians[round] ?? 0))) / 1e3);
    const judged = bar === undefined ? {} : { bar, met: isMet?.(change) ?? false };
    rows.push({
      what: TITLES[name] ?? name,
      figure,
      against,
      ratio: `${interval(change)}, ${microseconds} µs`,
      ...judged,
    });
  }
  rows.push(cpuRow(running));
  return { rows, data, broken };
}

/** What of a delivery no scheduler and no other process can blur. */
function cpuRow(running: readonly Running[]): Row {
  const cpuOf = (name: string): number[] => running.find(({ variant }) => variant.name === name)?.cpu ?? [];
  const own = cpuOf("record written, no daemon");
  const base = cpuOf("notify");
  const microseconds = signed(median(own.map((value, round) => value - (base[round] ?? 0))) / 1e3);
  return {
    what: "CPU time of the LMTP process per delivery, `notify openchange`",
    figure: ms(median(own)),
    against: `notify: ${ms(median(base))}`,
    ratio: `${interval(changeOf(own, base))}, ${microseconds} µs`,
  };
}

/** Round by round, so that what slows a whole round down slows both. */
function changeOf(rounds: readonly number[], base: readonly number[]): Estimate {
  return bootstrapMedian(rounds.map((value, round) => value / (base[round] ?? 0) - 1));
}

function interval({ value, low, high }: Estimate): string {
  return `${percent(value)} (${percent(low)} … ${percent(high)})`;
}

export const delivery: Part = { name: "delivery", title: "what a delivery costs", run };
