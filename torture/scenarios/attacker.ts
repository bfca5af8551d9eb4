import { fork } from "node:child_process";
import { once } from "node:events";
import { chmodSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { BUCKET_SECONDS } from "../../src/journal/segment.ts";
import type { Site } from "../attacker.ts";
import { attacks, type AttackName } from "../attacks.ts";
import type { Stoppable } from "../bad-hosts.ts";
import { FakeGetent } from "../fake-getent.ts";
import type { Scenario } from "../scenario.ts";
import type { Tally } from "../tally.ts";
import { isRoot, must, WRITER_UID, type World } from "../world.ts";
import { Writer } from "../writer.ts";

const PROCESS = resolve(import.meta.dirname, "../attacker-process.ts");
/** So long the others' mails may take: from the record to the notification, without what this process itself was late. */
const MOST_LATENCY_MS = 2_000;
/** What the daemon may need more than before the first attack. */
const MOST_GROWTH_MIB = 250;
/** What one attack, or all of them together, may add to the log. */
const MOST_LINES = 300;
const ATTACKER_UID = 61_300;
const SYSTEM_USERS = { anna: 61_301, berta: 61_302, carla: 61_303 } as const;
const MAIL_USERS = ["dora", "emma", "frieda"] as const;
const MAILBOX = "of-the-attacker";
const EVERY_MS = 100;

const names = Object.keys(attacks) as AttackName[];
/** Those that the short version does one after the other, before it does all together. */
const SHORT: readonly AttackName[] = [
  "many-strings",
  "endless-answers",
  "silent-resolver",
  "large-rings",
  "refusing-hosts",
  "unread-hosts",
];

/** `ATTACKS=name,name`: only these, one after the other and then together. */
function chosenAttacks(): AttackName[] | undefined {
  // make passes on what it was not given as an empty text.
  const chosen = (process.env["ATTACKS"] || undefined)?.split(",");
  const known = chosen?.filter((name): name is AttackName => name in attacks);
  must(known?.length === chosen?.length, `ATTACKS is some of ${names.join(", ")}`);
  return known;
}

export const attacker: Scenario = {
  name: "attacker",
  claim:
    "a user whom nobody trusts does all he can, one thing after the other and all together: no other's mail waits for it",
  async run(world) {
    if (!isRoot) return { skipped: "only root can let others write" };
    const { tally } = world;
    // A value of memcached can hold 40,000 hosts.
    const memcached = await world.memcached(["-I", "2m", "-m", "64"]);
    // Processes of their own, which leave out what he may tell them of himself: this one has enough to do.
    const hosts = [await world.nnReceiver(MAILBOX), await world.nnReceiver(MAILBOX)].map(({ address }) => address);
    const systemUsers = Object.keys(SYSTEM_USERS);
    for (const [index, user] of [...systemUsers, ...MAIL_USERS].entries()) {
      tally.listens(user, index % 3 === 2 ? hosts : [hosts[index % 2] ?? ""]);
      tally.timed(user);
    }
    await world.register();
    const getent = new FakeGetent(world.folder);
    getent.setUsers({ ...SYSTEM_USERS, mallory: ATTACKER_UID });
    world.configure({
      destination: { max_connections: 500 },
      environment: getent.environment,
    });
    chmodSync(world.folder, 0o755);
    const daemon = await world.start();

    // Dovecot's configuration has a string that the daemon's has not, so it comes with the records of users of the system.
    const fields = { resolver: `--SERVER=127.0.0.1:${memcached.port} --POLL-TIMEOUT=1500` };
    let aheadMs = 0;
    const mail = new Writer(world.journal, tally, { uid: WRITER_UID, clock: () => Date.now() + aheadMs });
    const writers = Object.entries(SYSTEM_USERS).map(
      ([user, uid]) => [user, new Writer(world.journal, tally, { uid })] as const,
    );
    const newcomers: string[] = [];
    const delivering = setInterval(() => {
      mail.write(MAIL_USERS);
      if (newcomers.length === 0) return;
      for (const [user, writer] of writers) writer.write([user], fields);
      mail.write(newcomers.slice(-1));
    }, EVERY_MS);
    world.finally(() => clearInterval(delivering));
    await delay(1_000);

    const memory = daemon.memory().now;
    const site: Site = {
      journal: world.journal,
      uid: ATTACKER_UID,
      user: "mallory",
      mailbox: MAILBOX,
      resolver: world.resolver,
      hosts,
      mailUid: WRITER_UID,
      long: world.long,
    };
    const suffer = async (what: string, doing: readonly AttackName[], ms: number): Promise<void> => {
      const lines = daemon.lines;
      daemon.forgetMostMemory();
      tally.forgetLatency();
      const lateness = monitorEventLoopDelay();
      lateness.enable();
      const process = await attack(world, site, doing);
      // Whoever rightly names a string, or has a host to which nothing is connected, may come after the attacker.
      newcomers.push(await newcomer(world, what));
      // The next segment's time has come.
      if (doing.includes("segments-in-advance")) aheadMs += BUCKET_SECONDS * 1_000;
      await delay(ms);
      await hasArrived(tally, MOST_LATENCY_MS + 500);
      const growth = daemon.memory().most - memory;
      const added = daemon.lines - lines;
      const waiting = tally.longestWait();
      await process.stop();
      lateness.disable();
      const late = Math.round(lateness.max / 1e6);
      const latency = Math.max(tally.latency().most, waiting);
      const figures = `${what}: ${latency} ms, ${growth} MiB, ${added} lines`;
      world.note(`${figures}${late > 500 ? ` (this process was ${late} ms late)` : ""}`);
      must(daemon.running, `${what}: the daemon ended`);
      must(latency - late < MOST_LATENCY_MS, `${what}: a mail of somebody else waited ${latency} ms`);
      must(growth < MOST_GROWTH_MIB, `${what}: the daemon took ${growth} MiB`);
      must(added < MOST_LINES, `${what}: ${added} lines in the log`);
    };
    const chosen = chosenAttacks();
    for (const name of chosen ?? (world.long ? names : SHORT)) await suffer(name, [name], world.size(500, 8_000));
    const together = chosen ?? names;
    if (together.length > 1) await suffer("all-together", together, world.size(2_500, 30_000));
    clearInterval(delivering);
    await world.arrival(MOST_LATENCY_MS);
    const obeyed = /(?!\n)\p{Cc}|\u202E/u.exec(daemon.text);
    must(obeyed === null, `the log has a control character: ${JSON.stringify(obeyed?.[0])}`);
    return undefined;
  },
};

/** A user with a host of his own. */
async function newcomer(world: World, user: string): Promise<string> {
  const { address } = await world.receiver();
  world.tally.listens(user, [address]);
  world.tally.timed(user);
  await world.register([user]);
  return user;
}

/** Waits until what is written by now has come to those who are timed. */
async function hasArrived(tally: Tally, mostMs: number): Promise<void> {
  const start = performance.now();
  const age = (): number => performance.now() - start;
  while (tally.longestWait() > age() && age() < mostMs) await delay(20);
}

/** A process that does this; it is under way when this resolves. */
async function attack(world: World, site: Site, doing: readonly AttackName[]): Promise<Stoppable> {
  const child = fork(PROCESS, { execArgv: ["--import", "tsx"] });
  const ended = once(child, "close");
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await ended;
  };
  world.finally(stop);
  await once(child, "message");
  child.send({ site, names: doing });
  const [said] = (await Promise.race([once(child, "message"), ended])) as unknown[];
  must(said === "under way", `the attacker ended (${doing.join(", ")})`);
  return { stop };
}
