import { setTimeout as delay } from "node:timers/promises";
import { Proxy, type ProxyMode } from "../proxy.ts";
import type { Scenario } from "../scenario.ts";
import { must, usersNamed } from "../world.ts";
import { freePort } from "../../test/helpers/ports.ts";

export const memcachedRestart: Scenario = {
  name: "memcached",
  claim: "memcached is restarted empty, filled again after seconds, stopped and continued, under load",
  async run(world) {
    const { random, tally } = world;
    const memcached = await world.memcached();
    const receivers = [await world.receiver(), await world.receiver()];
    const users = usersNamed("user", 100);
    for (const user of users) tally.listens(user, [random.pick(receivers).address]);
    await world.register();
    world.configure({ resolver: `--SERVER=127.0.0.1:${memcached.port} --POLL-TIMEOUT=500 --RETRY-TIMEOUT=1` });
    await world.start();

    let restarts = 0;
    let stops = 0;
    await world.during(world.load(users, world.size(6_000, 150_000), 2_500), async () => {
      await delay(random.between(50, 500));
      if (random.oneIn(2)) {
        await memcached.restart();
        await delay(random.between(0, world.size(500, 3_000)));
        await world.register();
        restarts++;
      } else {
        memcached.pause();
        await delay(random.between(50, random.oneIn(3) ? 1_500 : 300));
        memcached.resume();
        stops++;
      }
    });
    await world.arrival();
    await world.checkStatus();
    world.note(`${restarts} restarts, ${stops} stops`);
  },
};

export const memcachedAnswers: Scenario = {
  name: "answers",
  claim: "memcached gives half an answer, garbage, an answer after the timeout; one of three is down",
  async run(world) {
    const { random, tally } = world;
    const memcacheds = [await world.memcached(), await world.memcached(), await world.memcached()];
    const proxies = await Promise.all(memcacheds.map(async ({ port }) => new Proxy(await freePort(), port)));
    for (const proxy of proxies) {
      await proxy.open();
      world.finally(() => proxy.close());
    }
    const [first, , third] = proxies;
    if (first === undefined || third === undefined) throw new Error("no proxy");
    const receiver = await world.receiver();
    // The default placement goes by the key and the number of servers only, so it is the same before and behind.
    const users = usersNamed("user", 90);
    for (const user of users) tally.listens(user, [receiver.address]);
    await world.register(users, servers(memcacheds));
    const options = "--POLL-TIMEOUT=400 --CONNECT-TIMEOUT=400 --RETRY-TIMEOUT=1";
    world.configure({ resolver: `${servers(proxies)} ${options}` });
    await world.start();

    const modes: ProxyMode[] = ["half", "stuck", "garbage", "late"];
    for (let round = 0; round < world.size(1, 6); round++) {
      for (const mode of modes) {
        const load = world.load(users, world.size(300, 2_000), 1_000);
        random.pick(proxies).mode = mode;
        await delay(random.between(200, 900));
        for (const proxy of proxies) proxy.mode = "pass";
        await load;
      }
    }
    await world.arrival();
    must(tally.missing === 0, "not everything came after bad answers");

    await third.close();
    const before = tally.counts().received;
    world.writer.write(users);
    const own = world.serversOf(users, servers(memcacheds)).filter((server) => server !== 2).length;
    must(own < users.length, "no key on the third server");
    await world.until("the keys of the other servers to be told", () => tally.counts().received === before + own);
    world.note(`${own} of ${users.length} users told while one of three servers is down`);
    await third.open();
    await world.arrival();
    await world.checkStatus();
  },
};

function servers(at: readonly { port: number }[]): string {
  return at.map(({ port }) => `--SERVER=127.0.0.1:${port}`).join(" ");
}
