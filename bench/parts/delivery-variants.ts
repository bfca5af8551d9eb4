import { createServer } from "node:net";
import { join } from "node:path";
import { startDovecot, type DovecotOptions, type RunningDovecot } from "../../test/helpers/dovecot.ts";
import { startMemcached } from "../../test/helpers/memcached.ts";
import { startDaemon, type Daemon } from "../daemon.ts";
import { userName } from "../journal.ts";
import type { Bench } from "../part.ts";
import { register, startSinks } from "../peers.ts";
import type { Estimate } from "../stats.ts";
import { freePort } from "../../test/helpers/ports.ts";

/** Most turns of a round that a state has: see `Variant.turns`. */
const MOST_TURNS = 3;
/** Rounds after which a mailbox is delivered to again, so that mailboxes stay small. */
const ROUNDS_APART = 10;
const USERS = Array.from({ length: ROUNDS_APART * MOST_TURNS }, (_, index) => userName(index));

/** Whom to deliver to. Each mailbox gets as many mails as any other, whatever turns its state has. */
export function userOf(round: number, turn: number): string {
  return USERS[(round % ROUNDS_APART) * MOST_TURNS + turn] ?? "";
}

/** Whom Dovecot delivers as, where the benchmark runs as root: see test/helpers/dovecot.ts. */
export const MAIL_UID = process.getuid?.() === 0 ? 65_534 : (process.getuid?.() ?? 0);

/** A Dovecot in one of the states that are compared. */
export interface Variant {
  readonly name: string;
  readonly title: string;
  /** Turns in each round: more where less than a percent is to be seen. */
  readonly turns: number;
  /** The name of what it is compared with. */
  readonly base?: string;
  readonly bar?: string;
  readonly isMet?: (change: Estimate) => boolean;
  /** Whether this version of Dovecot can be measured; all when absent. */
  readonly isFor?: (version: string) => boolean;
  readonly start: (bench: Bench) => Promise<Started>;
}

interface Started {
  readonly dovecot: RunningDovecot;
  readonly daemon?: Daemon;
  /** What is broken when so many mails have been delivered. */
  readonly check?: (delivered: number) => string[];
}

const AT_MOST_2_PERCENT = { base: "notify", bar: "≤ +2 %", isMet: ({ value }: Estimate) => value <= 0.02 };
const AS_HEALTHY = {
  base: "healthy",
  bar: "no slower",
  isMet: ({ low, value }: Estimate) => low <= 0 || value < 0.005,
};

export const VARIANTS: readonly Variant[] = [
  {
    name: "plain",
    turns: 1,
    title: "LMTP delivery, no plugin",
    start: async (bench) => ({ dovecot: await start(bench, []) }),
  },
  {
    name: "notify",
    turns: MOST_TURNS,
    title: "… `notify` alone",
    base: "plain",
    start: async (bench) => ({ dovecot: await start(bench, ["notify"]) }),
  },
  {
    name: "no daemon",
    turns: MOST_TURNS,
    title: "… `notify openchange`, no daemon runs",
    ...AT_MOST_2_PERCENT,
    start: (bench) => startWithPlugin(bench, "no daemon"),
  },
  {
    name: "healthy",
    turns: 1,
    title: "… `notify openchange`, the daemon notifies",
    ...AT_MOST_2_PERCENT,
    start: (bench) => startWithPlugin(bench, "healthy"),
  },
  {
    name: "memcached stopped",
    turns: 1,
    title: "… the daemon runs, memcached is stopped",
    ...AS_HEALTHY,
    start: (bench) => startWithPlugin(bench, "memcached stopped"),
  },
  {
    name: "every host dead",
    turns: 1,
    title: "… the daemon runs, every host is dead",
    ...AS_HEALTHY,
    start: (bench) => startWithPlugin(bench, "every host dead"),
  },
  {
    name: "ox",
    turns: 1,
    title: "… Dovecot's push_notification, driver ox",
    base: "notify",
    // Its settings here are those of 2.3.
    isFor: (dovecot) => dovecot.startsWith("2.3."),
    start: startWithOx,
  },
  {
    name: "notify in memory",
    title: "mail in memory, so without fsync: `notify` alone",
    turns: MOST_TURNS,
    start: (bench) => inMemory(bench, async () => ({ dovecot: await start(bench, ["notify"]) })),
  },
  {
    name: "no daemon in memory",
    title: "mail in memory, so without fsync: `notify openchange`, no daemon runs",
    turns: MOST_TURNS,
    base: "notify in memory",
    start: (bench) => inMemory(bench, () => startWithPlugin(bench, "no daemon")),
  },
];

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

/** Has the helpers of the tests make their folders in memory for once. */
async function inMemory(bench: Bench, start: () => Promise<Started>): Promise<Started> {
  const before = process.env["TMPDIR"];
  process.env["TMPDIR"] = bench.newFolder("mail");
  try {
    return await start();
  } finally {
    process.env["TMPDIR"] = before;
  }
}

type State = "healthy" | "no daemon" | "memcached stopped" | "every host dead";

async function startWithPlugin(bench: Bench, state: State): Promise<Started> {
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
  const check: Started["check"] = (delivered) => {
    const written = dovecot.records().filter(({ event }) => event === "MessageNew").length;
    return written === delivered ? [] : [`${state}: ${delivered} mails delivered, ${written} records written`];
  };
  if (state === "no daemon") return { dovecot, check };
  const daemon = await startDaemon({
    folder: join(dovecot.folder, "daemon"),
    journal: dovecot.journalDir,
    resolver: memcached.config,
    mailUsers: [MAIL_UID],
  });
  bench.atEnd(() => daemon.stop("SIGKILL"));
  return { dovecot, daemon, check };
}

async function startWithOx(bench: Bench): Promise<Started> {
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
