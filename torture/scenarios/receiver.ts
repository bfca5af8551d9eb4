import { setTimeout as delay } from "node:timers/promises";
import type { Scenario } from "../scenario.ts";
import { must, usersNamed } from "../world.ts";

/**
 * SP knows no acknowledgement. What a killed receiver has taken from its socket it has received; what it has not, the
 * daemon must send again.
 */
export const receiverRestart: Scenario = {
  name: "receiver",
  claim: "receivers of libnanomsg are killed and started again on the same port under load",
  async run(world) {
    const { random, tally } = world;
    await world.memcached();
    const killed = [await world.nnReceiver(), await world.nnReceiver()];
    const steady = await world.receiver();
    const users = usersNamed("user", 100);
    for (const user of users) tally.listens(user, [random.pick(killed).address, steady.address]);
    await world.register();
    world.configure();
    await world.start();

    let kills = 0;
    await world.during(world.load(users, world.size(10_000, 200_000), 4_000), async () => {
      await delay(random.between(0, 700));
      const receiver = random.pick(killed);
      await receiver.stop();
      kills++;
      await delay(random.between(0, random.oneIn(4) ? 2_000 : 300));
      await receiver.start();
    });
    await world.arrival();
    const { resent } = await world.checkStatus();
    must(resent > 0, "nothing was sent again");
    world.note(`${kills} kills, ${resent} sent again`);
  },
};

/** Of a host that reads less, or rests for longer, it is not claimed. On a quiet machine it reads six times as much. */
const LEAST_BYTES_PER_SECOND = 1_000_000;
const LONGEST_GAP_MS = 500;

/**
 * The worst case of the above: it has more to read than it can, so the sockets' buffers are full when it dies. A limit
 * of the protocol remains, so this is claimed of hosts that read a megabyte in a second: what lies in the sockets for
 * longer than that takes, without filling them, counts as received.
 */
export const receiverBusy: Scenario = {
  name: "busy",
  claim: "a receiver is killed in the middle of a burst that fills the sockets between it and the daemon",
  async run(world) {
    const { random, tally } = world;
    await world.memcached();
    const receiver = await world.nnReceiver();
    tally.listens("user", [receiver.address]);
    await world.register();
    world.configure();
    await world.start();
    const burst = world.size(40_000, 150_000);
    const rounds = world.size(2, 5);
    for (let round = 0; round < rounds; round++) {
      const before = tally.counts().received;
      receiver.measure();
      world.writer.write(Array.from({ length: burst }, () => "user"));
      const share = random.between(10, 60) / 100;
      await world.until("the first of the burst", () => tally.counts().received > before + burst * share);
      const { bytesPerSecond, longestGapMs } = receiver.pace;
      await receiver.stop();
      await receiver.start();
      await world.arrival();
      if (bytesPerSecond >= LEAST_BYTES_PER_SECOND && longestGapMs <= LONGEST_GAP_MS) continue;
      const lost = tally.excuse(receiver.address);
      if (lost === 0) continue;
      world.note(`${lost} not judged: read ${bytesPerSecond} bytes a second, and nothing for ${longestGapMs} ms`);
    }
    await world.checkStatus();
    world.note(`${rounds} bursts of ${burst}, ${world.daemon.memory().most} MiB`);
  },
};
