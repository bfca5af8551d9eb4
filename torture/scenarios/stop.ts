import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { loadCursor } from "../../src/journal/cursor.ts";
import type { Scenario } from "../scenario.ts";
import { must, usersNamed } from "../world.ts";

const DRAIN_MS = 2_000;

export const stop: Scenario = {
  name: "stop",
  claim:
    "SIGTERM drains and saves the cursor, so nothing is sent twice; a second signal, or a dead host, does not hold it",
  async run(world) {
    const { tally, random } = world;
    await world.memcached();
    const receiver = await world.receiver();
    const users = usersNamed("user", 20);
    for (const user of users) tally.listens(user, [receiver.address]);
    const address = await world.address();
    tally.listens("blocked", [address]);
    await world.register();
    world.configure({ drainTimeout: `${DRAIN_MS}ms` });

    let slowest = 0;
    const end = async (signals: number): Promise<{ code: number; ms: number }> => {
      const start = performance.now();
      world.daemon.signal("SIGTERM");
      if (signals > 1) {
        const stopping = (): boolean => world.daemon.log.some(({ msg }) => msg.startsWith("stopping"));
        await world.until("the daemon to say that it stops", stopping);
        world.daemon.signal("SIGTERM");
      }
      const code = await world.daemon.ended();
      const ms = Math.round(performance.now() - start);
      slowest = Math.max(slowest, ms);
      return { code, ms };
    };

    for (let round = 0; round < world.size(3, 20); round++) {
      await world.start();
      const load = world.load(users, world.size(1_000, 4_000), 4_000);
      await world.until("some of it", () => tally.missing > 0 || tally.counts().received > 0);
      await delay(random.between(0, 500));
      const { code, ms } = await end(1);
      must(code === 0, `SIGTERM ended it with ${code}`);
      must(ms < DRAIN_MS + 1_500, `${ms} ms until it ended`);
      await load;
    }
    await world.start();
    await world.arrival();
    must(tally.counts().duplicated === 0, `${tally.counts().duplicated} were sent again after a clean stop`);

    world.writer.write(["blocked"]);
    await world.until("the host to be tried", async () => (await world.status()).hostFailures > 0);
    const blocked = await end(1);
    must(blocked.code === 0, `SIGTERM with a dead host ended it with ${blocked.code}`);
    must(blocked.ms >= DRAIN_MS - 100 && blocked.ms < DRAIN_MS + 1_500, `${blocked.ms} ms until it ended`);
    const cursor = await loadCursor(join(world.stateDir, "openchange.cursor"));
    must(cursor !== undefined && cursor.size > 0, "no cursor was saved");

    await world.start();
    await world.until("the host to be tried", async () => (await world.status()).hostFailures > 0);
    const twice = await end(2);
    must(twice.code === 1, `the second SIGTERM ended it with ${twice.code}`);
    must(twice.ms < 1_500, `${twice.ms} ms until it ended after the second signal`);

    await world.receiver(address);
    await world.start();
    await world.arrival();
    world.note(`slowest stop ${slowest} ms, with the blocked host ${blocked.ms} ms, two signals ${twice.ms} ms`);
  },
};
