import { setTimeout as delay } from "node:timers/promises";
import type { Scenario } from "../scenario.ts";
import { must, usersNamed } from "../world.ts";

const SECONDS = 120;
const MOST_GROWTH_MIB = 15;

export const flat: Scenario = {
  name: "flat",
  claim: "memory stays where it is under a steady load with random failures for two minutes",
  longOnly: true,
  async run(world) {
    const { random, tally } = world;
    const memcached = await world.memcached();
    const receivers = [await world.nnReceiver(), await world.receiver(), await world.receiver()];
    const users = usersNamed("user", 2_000);
    for (const user of users) {
      tally.listens(
        user,
        random.sample(receivers, random.between(1, 2)).map(({ address }) => address),
      );
    }
    await world.register();
    world.configure();
    const daemon = await world.start();
    const samples: number[] = [];
    const sampling = setInterval(() => samples.push(daemon.memory().now), 500);
    await world.during(world.load(users, SECONDS * 3_000, 3_000), async () => {
      await delay(random.between(500, 2_000));
      if (random.oneIn(3)) {
        memcached.pause();
        await delay(random.between(100, 1_500));
        memcached.resume();
      } else {
        const receiver = random.pick(receivers);
        await receiver.stop();
        await delay(random.between(0, 1_500));
        await receiver.start();
      }
    });
    clearInterval(sampling);
    await world.arrival();
    await world.checkStatus();
    // A garbage collector lets memory rise and fall: compared are the middles of the second and the last quarter.
    const quarter = Math.floor(samples.length / 4);
    const middle = (from: number): number =>
      samples.slice(from, from + quarter).toSorted((a, b) => a - b)[quarter >> 1] ?? 0;
    const [early, late] = [middle(quarter), middle(quarter * 3)];
    world.note(`${early} MiB, later ${late} MiB, most ${daemon.memory().most} MiB`);
    must(late - early < MOST_GROWTH_MIB, `memory has grown from ${early} to ${late} MiB`);
  },
};
