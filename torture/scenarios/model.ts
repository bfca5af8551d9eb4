import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Proxy, type ProxyMode } from "../proxy.ts";
import { NnReceiver, type Receiver } from "../receivers.ts";
import { Registry } from "../registry.ts";
import type { Scenario } from "../scenario.ts";
import { isRoot, must, usersNamed, WRITER_UID, type World } from "../world.ts";
import { Writer } from "../writer.ts";
import { freePort } from "../../test/helpers/ports.ts";
import { appendAs } from "../../test/helpers/segments.ts";

const SET_CLOCK = resolve(import.meta.dirname, "../../test/helpers/set-clock.mjs");
/** Short, so that there are many segments, and none of them is near the time: the daemon may delete all but those in use. */
const BUCKET_SECONDS = 4;
const MAIL_USERS = isRoot ? [WRITER_UID, WRITER_UID + 1, WRITER_UID + 2] : [process.getuid?.() ?? 0];
const HOSTILE_UID = WRITER_UID + 3;
const MAX_HOSTS = 14;
/** The clock is set so far at most: what waits does not become too old by that, whose time to live is 10 minutes. */
const MOST_OFFSET_MS = 240_000;
/** No host is paused for so long that its connection is given up or idle, or two would hold what it reads next. */
const MOST_PAUSE_MS = 1_500;

/** Accidents that can happen to one part of the system, one after the other. */
type Accidents = Readonly<Record<string, () => Promise<void>>>;

export const model: Scenario = {
  name: "model",
  claim:
    "users, hosts, memcached, the clock and the daemon change and fail at random: who was registered is told, and nobody else",
  async run(world) {
    const { random, tally } = world;
    const memcached = await world.memcached();
    const proxy = new Proxy(await freePort(), memcached.port);
    await proxy.open();
    world.finally(() => proxy.close());
    // Those that are killed are in this process, where it is known what they have read.
    const mortal: Receiver[] = [];
    for (let count = 0; count < 5; count++) mortal.push(await world.receiver());
    const paused = [await world.nnReceiver(), await world.nnReceiver()];
    const hosts: Receiver[] = [...mortal, ...paused];

    const clock = new Clock(world);
    const users = usersNamed("u", 30);
    const registry = new Registry(world);
    for (const user of users) {
      for (const { address } of random.sample(hosts, random.between(1, 3))) await registry.register(user, address);
    }
    tally.destinations = { first: () => true, second: (user) => user.startsWith("u1") };
    world.configure({
      resolver: `--SERVER=127.0.0.1:${proxy.port} --POLL-TIMEOUT=400 --RETRY-TIMEOUT=1`,
      destination: { retry_first: "50ms", retry_most: "500ms", stall_timeout: "10s", idle_timeout: "2s" },
      destinations: { all: { backend: "first" }, some: { backend: "second", mailboxes: ["u1*"] } },
      mailUsers: MAIL_USERS,
      retention: "1s",
      drainTimeout: "1s",
      environment: { CLOCK_FILE: clock.file },
      preload: SET_CLOCK,
    });
    await world.start();
    const writers = MAIL_USERS.map(
      (uid) => new Writer(world.journal, tally, { uid, bucketSeconds: BUCKET_SECONDS, clock: () => clock.now }),
    );
    const writerOf = (user: string): Writer => writers[users.indexOf(user) % writers.length] as Writer;

    let end = performance.now() + world.size(8_000, 90_000);
    const goesOn = (): boolean => performance.now() < end;
    /** Does it together with the others, which all end before a fault of one of them is reported. */
    const together = async (works: readonly Promise<void>[]): Promise<void> => {
      for (const work of works) work.catch(() => (end = 0));
      const fault = (await Promise.allSettled(works)).find((result) => result.status === "rejected");
      if (fault !== undefined) throw fault.reason as Error;
    };
    const done: Record<string, number> = {};
    const happen = async (accidents: Accidents): Promise<void> => {
      while (goesOn()) {
        await delay(random.between(20, 400));
        const accident = random.pick(Object.keys(accidents));
        await accidents[accident]?.();
        done[accident] = (done[accident] ?? 0) + 1;
      }
    };
    const deliver = async (): Promise<void> => {
      while (goesOn()) {
        const burst = random.oneIn(50);
        for (let count = burst ? world.size(50, 200) : random.between(1, 6); count > 0; count--) {
          const user = random.pick(users);
          writerOf(user).write(Array.from({ length: burst ? 20 : random.between(1, 8) }, () => user));
        }
        await delay(random.between(2, 25));
      }
    };
    const move = async (): Promise<void> => {
      if (hosts.length >= MAX_HOSTS) return;
      const { address } = random.pick(hosts);
      const other = await world.receiver();
      hosts.push(other);
      mortal.push(other);
      for (const user of registry.usersOf(address)) {
        await registry.register(user, other.address);
        await registry.unregister(user, address);
      }
    };
    const dying = new Set<Receiver>();
    const die = async (host: Receiver, meanwhile: () => Promise<unknown>): Promise<void> => {
      if (dying.has(host)) return;
      dying.add(host);
      await host.stop();
      await meanwhile();
      await host.start();
      dying.delete(host);
    };

    await together([
      deliver(),
      happen({
        ...registrations(world, registry, users, hosts),
        "host moved": move,
        "host down, and registered anew": () => {
          const host = random.pick(mortal);
          return die(host, async () => {
            const some = random.sample(registry.usersOf(host.address), 5);
            for (const user of some) await registry.unregister(user, host.address);
            await delay(random.between(0, 300));
            for (const user of some) await registry.register(user, host.address);
            await delay(random.between(0, 300));
          });
        },
        async "memcached paused"() {
          memcached.pause();
          await delay(random.between(100, 1_200));
          memcached.resume();
        },
        async "memcached wrong"() {
          proxy.mode = random.pick<ProxyMode>(["half", "stuck", "garbage", "late"]);
          await delay(random.between(50, 1_200));
          proxy.mode = "pass";
        },
        async "memcached restarted"() {
          await proxy.close();
          await memcached.restart();
          await registry.refill();
          await proxy.open();
        },
        async "memcached restarted, and filled later"() {
          await memcached.restart();
          await delay(random.between(0, 2_000));
          await registry.refill();
        },
      }),
      happen({
        "host killed": () => die(random.pick(mortal), () => delay(random.between(0, 900))),
        async "all hosts killed"() {
          const ms = random.between(0, 900);
          await Promise.all(mortal.map((host) => die(host, () => delay(ms))));
        },
      }),
      happen({
        async "daemon killed"() {
          await world.daemon.kill();
          await delay(random.between(0, 400));
          await world.start();
        },
        async "daemon stopped"() {
          world.daemon.signal("SIGTERM");
          await world.daemon.ended();
          await world.start();
        },
        async "daemon paused"() {
          world.daemon.pause();
          await delay(random.between(50, 2_500));
          world.daemon.signal("SIGCONT");
        },
        "host paused": () => pause(world, random.pick(paused)),
        "clock set": () => Promise.resolve(clock.set(random.between(-MOST_OFFSET_MS, MOST_OFFSET_MS))),
        "line torn": () => Promise.resolve(random.pick(writers).tear(random.between(5, 60))),
        "lie told": () => Promise.resolve(lie(world, random.pick(users))),
      }),
    ]);
    // What was torn is on one line with what follows.
    for (const user of users) writerOf(user).write([user]);
    await world.arrival(30_000);
    await world.settled();
    for (const [name, status] of Object.entries(await world.statusOfAll())) {
      // Of a host that had unregistered before it was killed.
      const { unregistered: _, ...dropped } = status.dropped;
      must(Object.keys(dropped).length === 0, `${name} dropped ${JSON.stringify(dropped)}`);
      must(status.lostBytes === 0 && status.shrunk === 0, `${name} lost ${status.lostBytes} bytes`);
    }
    for (const { nobody, dropped } of Object.values(await world.statusOfAll())) {
      world.note(`nobody ${nobody}, unregistered ${dropped.unregistered ?? 0}`);
    }
    world.note(
      Object.entries(done)
        .map(([what, count]) => `${count} × ${what}`)
        .join(", "),
    );
  },
};

function registrations(
  { random }: World,
  registry: Registry,
  users: readonly string[],
  hosts: readonly Receiver[],
): Accidents {
  return {
    async registered() {
      await registry.register(random.pick(users), random.pick(hosts).address);
    },
    async unregistered() {
      const user = random.pick(users);
      const at = registry.hostsOf(user);
      if (at.length > 1) await registry.unregister(user, random.pick(at));
    },
  };
}

async function pause({ random }: World, host: NnReceiver): Promise<void> {
  host.pause();
  await delay(random.between(50, MOST_PAUSE_MS));
  host.resume();
  // It reads one connection to its end before the daemon is killed and makes another.
  await delay(200);
}

/** A uid that is trusted by nobody writes of somebody else. */
function lie(world: World, user: string): void {
  if (!isRoot) return;
  const record = { v: 1, ts: Date.now() * 1_000, event: "MessageNew", user, mailbox: "lie", sep: "/", uids: "666" };
  appendAs(HOSTILE_UID, world.journal, `${JSON.stringify(record)}\n`);
}

/** The clock of the daemon and of the writers. */
class Clock {
  readonly file: string;
  readonly #world: World;
  #offset = 0;

  constructor(world: World) {
    this.#world = world;
    this.file = join(world.folder, "clock");
    writeFileSync(this.file, "0");
  }

  /** Milliseconds of unix time. */
  get now(): number {
    return Date.now() + this.#offset;
  }

  set(offset: number): void {
    // What is written now may come into an older segment, which is read first when both are read again.
    if (offset < this.#offset) this.#world.tally.beginOrder();
    this.#offset = offset;
    writeFileSync(this.file, String(offset));
  }
}
