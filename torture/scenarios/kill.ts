import { setTimeout as delay } from "node:timers/promises";
import type { Scenario } from "../scenario.ts";
import { must, usersNamed } from "../world.ts";

export const kill: Scenario = {
  name: "kill",
  claim: "the daemon is killed with SIGKILL again and again under load, also while it starts",
  async run(world) {
    const { random, tally } = world;
    await world.memcached();
    const receivers = [await world.receiver(), await world.receiver(), await world.nnReceiver()];
    const addresses = receivers.map(({ address }) => address);
    const users = usersNamed("user", 200);
    for (const user of users) tally.listens(user, random.sample(addresses, random.between(1, 3)));
    await world.register();
    world.configure();

    let kills = 0;
    await world.during(world.load(users, world.size(6_000, 150_000), 2_500), async () => {
      const daemon = world.launch();
      if (!random.oneIn(4)) await daemon.ready();
      await delay(random.between(0, random.oneIn(3) ? 2_500 : 400));
      await daemon.kill();
      kills++;
    });
    await world.start();
    await world.arrival();
    const { dropped } = await world.settled();
    must(Object.keys(dropped).length === 0, `dropped ${JSON.stringify(dropped)}`);
    world.note(`${kills} kills`);
  },
};
