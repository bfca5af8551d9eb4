import { setTimeout as delay } from "node:timers/promises";
import { badWays, startBadHost, startBlackhole, type Stoppable } from "../bad-hosts.ts";
import type { Scenario } from "../scenario.ts";
import { must, usersNamed } from "../world.ts";
import { freePort } from "../../test/helpers/ports.ts";

/** On a quiet machine it is a tenth of it. */
const MOST_LATENCY_MS = 5_000;

export const badHosts: Scenario = {
  name: "hosts",
  claim:
    "hosts refuse, hang, speak another protocol or garbage, close, reset; once they are good, all arrives in order",
  async run(world) {
    const { tally } = world;
    await world.memcached();
    const steady = await world.receiver();
    const bad: { address: string; host: Stoppable }[] = [];
    const spoil = async (start: (port: number) => Promise<Stoppable>): Promise<void> => {
      const port = await freePort();
      const host = await start(port);
      bad.push({ address: `tcp://127.0.0.1:${port}`, host });
      world.finally(() => host.stop());
    };
    await spoil(() => Promise.resolve({ stop: () => Promise.resolve() }));
    await spoil(startBlackhole);
    // What a socket took that is never read, is sent as far as anybody can know: see the scenario "stalled".
    for (const way of badWays.filter((way) => way !== "never reads")) await spoil((port) => startBadHost(port, way));

    const good = usersNamed("good", 20);
    for (const user of good) {
      tally.listens(user, [steady.address]);
      tally.timed(user);
    }
    // Each of these has a good host beside the bad one.
    const victims = bad.map(({ address }, index) => {
      tally.listens(`victim${index}`, [address, steady.address]);
      return `victim${index}`;
    });
    await world.register();
    world.configure({ destination: { stall_timeout: "2s" } });
    await world.start();
    const load = world.load([...good, ...victims], world.size(3_000, 40_000), world.size(1_000, 2_000));
    const before = performance.now();
    await load;
    const latency = tally.latency();
    must(latency.count > 0 && latency.most < MOST_LATENCY_MS, `good hosts waited ${latency.most} ms`);
    await delay(Math.max(0, 3_000 - (performance.now() - before)));
    const { hostFailures } = await world.status();
    must(hostFailures > bad.length, `only ${hostFailures} failures of hosts`);
    for (const { address, host } of bad) {
      await host.stop();
      await world.receiver(address);
    }
    await world.arrival();
    await world.checkStatus();
    world.note(`${bad.length} bad hosts, ${hostFailures} failures, others' p99 ${latency.p99} ms`);
  },
};

export const deadHosts: Scenario = {
  name: "crowd",
  claim: "1,000 dead hosts registered for one user delay nobody else, and take no processor time while all is dead",
  async run(world) {
    const { tally } = world;
    await world.memcached();
    const steady = await world.receiver();
    const port = await freePort();
    const hole = await startBlackhole(port);
    world.finally(() => hole.stop());
    // Half of them refuse at once, half run into the timeout; all on addresses of the loopback network.
    const dead = Array.from({ length: 1_000 }, (_, index) => {
      const host = `127.9.${Math.floor(index / 250)}.${(index % 250) + 1}`;
      return `tcp://${host}:${index % 2 === 0 ? port : 9}`;
    });
    tally.listens("crowd", [...dead, steady.address]);
    const good = usersNamed("good", 20);
    for (const user of good) {
      tally.listens(user, [steady.address]);
      tally.timed(user);
    }
    await world.register();
    const timeToLive = world.size(5, 20);
    world.configure({ destination: { time_to_live: `${timeToLive}s`, retry_most: "2s" } });
    const daemon = await world.start();
    const events = world.size(100, 190);
    for (let event = 0; event < events; event += 10) {
      world.writer.write(Array.from({ length: 10 }, () => "crowd"));
      await world.load(good, 50, 500);
    }
    // Until each is known to be dead, and is tried as seldom as it will be.
    await world.load(good, 200, 100);
    const { hostFailures } = await world.status();
    const cpu = daemon.cpu();
    const start = performance.now();
    await world.load(good, world.size(200, 1_000), 100);
    const busy = (daemon.cpu() - cpu) / ((performance.now() - start) / 1000);
    const latency = tally.latency();
    await world.until(
      "the dead hosts' notifications to expire",
      async () => (await world.status()).waiting === 0,
      60_000,
    );
    for (const host of dead) tally.excuse(host);
    await world.arrival();
    await world.checkStatus({ dropped: dead.length * events, reason: "expired" });
    must(latency.most < MOST_LATENCY_MS, `others waited ${latency.most} ms`);
    // With waits that double from 0.1 s to 2 s there are six tries in that time.
    must(hostFailures < 6 * dead.length, `${hostFailures} tries before all were known to be dead`);
    must(busy < 0.6, `${Math.round(busy * 100)} % of a processor while the hosts are dead`);
    const lines = daemon.log.length;
    must(lines < 2 * dead.length + 100, `${lines} lines in the log`);
    world.note(
      `others' p99 ${latency.p99} ms, ${Math.round(busy * 100)} % processor, ${hostFailures} failures at first, ${lines} log lines, ${daemon.memory().most} MiB`,
    );
  },
};

export const dead: Scenario = {
  name: "dead",
  claim: "memcached and every host are dead with work waiting: the daemon waits without spinning",
  async run(world) {
    const { tally } = world;
    const memcached = await world.memcached();
    const addresses = await Promise.all(Array.from({ length: 10 }, () => world.address()));
    const users = usersNamed("user", 50);
    users.forEach((user, index) => tally.listens(user, [addresses[index % addresses.length] ?? ""]));
    await world.register();
    world.configure();
    const daemon = await world.start();
    world.writer.write(Array.from({ length: 5_000 }, () => world.random.pick(users)));
    await world.until("all to wait for hosts", async () => (await world.status()).waiting === 5_000);
    await memcached.stop();
    world.writer.write(Array.from({ length: 5_000 }, () => world.random.pick(users)));
    await world.until("the rest to wait for memcached", async () => (await world.status()).lookingUp === 5_000);
    const seconds = world.size(3, 15);
    const cpu = daemon.cpu();
    await delay(seconds * 1000);
    const share = (daemon.cpu() - cpu) / seconds;
    world.note(`${Math.round(share * 100)} % processor`);
    must(share < 0.15, `${Math.round(share * 100)} % of a processor while all is dead`);
    for (const address of addresses) await world.receiver(address);
    await memcached.restart();
    // Nobody has asked in this moment: the first try after the restart is up to 5 s away.
    await world.register();
    await world.arrival();
    await world.settled();
  },
};
