import { setTimeout as delay } from "node:timers/promises";
import { badWays, startBadHost } from "../bad-hosts.ts";
import { Proxy, type ProxyMode } from "../proxy.ts";
import type { Scenario } from "../scenario.ts";
import { must, usersNamed } from "../world.ts";
import { freePort } from "../../test/helpers/ports.ts";

const SECONDS = 90;

export const mix: Scenario = {
  name: "mix",
  claim: "everything at once, as the seed has it",
  longOnly: true,
  async run(world) {
    const { random, tally } = world;
    const memcached = await world.memcached();
    const proxy = new Proxy(await freePort(), memcached.port);
    await proxy.open();
    world.finally(() => proxy.close());
    const receivers = [
      await world.nnReceiver(),
      await world.nnReceiver(),
      ...(await Promise.all(Array.from({ length: 6 }, () => world.receiver()))),
    ];
    const users = usersNamed("user", 500);
    for (const user of users) {
      tally.listens(
        user,
        random.sample(receivers, random.between(1, 4)).map(({ address }) => address),
      );
    }
    await world.register();
    world.configure({
      resolver: `--SERVER=127.0.0.1:${proxy.port} --POLL-TIMEOUT=500 --RETRY-TIMEOUT=1`,
      destination: { stall_timeout: "2s" },
    });
    await world.start();

    // What a socket took that is never read, is sent as far as anybody can know.
    const ways = badWays.filter((way) => way !== "never reads");
    const done: Record<string, number> = {};
    const accidents: Record<string, () => Promise<void>> = {
      async "daemon killed"() {
        await world.daemon.kill();
        await delay(random.between(0, 500));
        await world.start();
      },
      async "daemon stopped"() {
        world.daemon.signal("SIGTERM");
        if (random.oneIn(3)) world.daemon.signal("SIGTERM");
        await world.daemon.ended();
        await world.start();
      },
      async "memcached restarted"() {
        await proxy.close();
        await memcached.restart();
        await world.register();
        await proxy.open();
      },
      async "memcached paused"() {
        memcached.pause();
        await delay(random.between(50, 1_500));
        memcached.resume();
      },
      async "memcached wrong"() {
        proxy.mode = random.pick<ProxyMode>(["half", "stuck", "garbage", "late"]);
        await delay(random.between(50, 1_500));
        proxy.mode = "pass";
      },
      async "host restarted"() {
        const receiver = random.pick(receivers);
        await receiver.stop();
        await delay(random.between(0, 2_000));
        await receiver.start();
      },
      async "host replaced by a bad one"() {
        const receiver = random.pick(receivers);
        await receiver.stop();
        const bad = await startBadHost(Number(receiver.address.split(":").at(-1)), random.pick(ways));
        await delay(random.between(0, 3_000));
        await bad.stop();
        await receiver.start();
      },
    };
    await world.during(world.load(users, SECONDS * 2_000, 2_000), async () => {
      await delay(random.between(0, 700));
      const accident = random.pick(Object.keys(accidents));
      await accidents[accident]?.();
      done[accident] = (done[accident] ?? 0) + 1;
    });
    await world.arrival(30_000);
    const { dropped } = await world.settled();
    must(Object.keys(dropped).length === 0, `dropped ${JSON.stringify(dropped)}`);
    world.note(
      Object.entries(done)
        .map(([what, count]) => `${count} × ${what}`)
        .join(", "),
    );
  },
};
