import type { Scenario } from "../scenario.ts";
import { must } from "../world.ts";

export const expired: Scenario = {
  name: "expired",
  claim: "what a dead host does not take within the time to live is dropped and counted; the cursor moves on",
  async run(world) {
    const { tally } = world;
    await world.memcached();
    const steady = await world.receiver();
    const address = await world.address();
    tally.listens("dead", [address]);
    tally.listens("good", [steady.address]);
    await world.register();
    world.configure({ destination: { time_to_live: "1s", retry_most: "300ms" } });
    const daemon = await world.start();
    const each = world.size(500, 20_000);
    const rounds = world.size(2, 5);
    for (let round = 1; round <= rounds; round++) {
      for (let count = 0; count < each; count += 100) {
        world.writer.write(Array.from({ length: 100 }, () => ["dead", "good"]).flat());
      }
      const all = each * round;
      const gone = async (): Promise<boolean> => (await world.status()).dropped.expired === all;
      await world.until("the dead host's notifications to expire", gone, 30_000);
      tally.excuse(address);
      await world.arrival();
      await world.settled();
    }
    const status = await world.checkStatus({ dropped: each * rounds, reason: "expired" });
    must(status.lagRecords === 0, "the cursor has not moved on");
    // The host lives: what comes now is told, and what was given up is not.
    await world.receiver(address);
    world.writer.write(["dead", "good"]);
    await world.arrival();
    await daemon.kill();
    await world.start();
    world.writer.write(["dead", "good"]);
    await world.arrival();
    world.note(`${each * rounds} expired`);
  },
};
