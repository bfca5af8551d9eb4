import { setImmediate as turn, setTimeout as delay } from "node:timers/promises";
import type { Scenario } from "../scenario.ts";
import { isRoot, must, usersNamed, WRITER_UID } from "../world.ts";
import { Writer } from "../writer.ts";

const MOST_MIB = 150;
/** The receivers of the backlog are in this process, which is busy with them. */
const MOST_LATENCY_MS = 5_000;

export const backlog: Scenario = {
  name: "backlog",
  claim:
    "what was written while the daemon was down is worked off in order; fresh records of another writer go between",
  async run(world) {
    const { tally, random } = world;
    await world.memcached();
    const receivers = [await world.receiver(), await world.receiver()];
    const users = usersNamed("user", 500);
    for (const user of users) tally.listens(user, [random.pick(receivers).address]);
    const fresh = usersNamed("fresh", 10);
    const steady = await world.receiver();
    for (const user of fresh) {
      tally.listens(user, [steady.address]);
      tally.timed(user);
    }
    await world.register();
    world.configure();
    const records = world.size(50_000, 1_000_000);
    for (let written = 0; written < records; written += 10_000) {
      world.writer.write(Array.from({ length: 10_000 }, () => random.pick(users)));
      await turn();
    }
    const start = performance.now();
    const daemon = await world.start();
    const other = new Writer(world.journal, tally, isRoot ? { uid: WRITER_UID } : {});
    let writtenFresh = 0;
    while (tally.missing > 0) {
      if (writtenFresh < world.size(200, 5_000)) {
        other.write([random.pick(fresh)]);
        writtenFresh++;
      }
      await delay(5);
      must(daemon.running, "the daemon ended");
      must(performance.now() - start < 180_000, "not done after three minutes");
    }
    const seconds = (performance.now() - start) / 1000;
    const status = await world.settled();
    must(Object.keys(status.dropped).length === 0, `dropped ${JSON.stringify(status.dropped)}`);
    const { most } = daemon.memory();
    const latency = tally.latency();
    world.note(`${Math.round(records / seconds)}/s, ${most} MiB`);
    world.note(isRoot ? `fresh p99 ${latency.p99} ms` : "fresh records of another uid need root: not judged");
    must(most < MOST_MIB, `${most} MiB resident`);
    must(!isRoot || latency.p99 < MOST_LATENCY_MS, `fresh records waited ${latency.p99} ms`);
  },
};

/** A host that is slower than the journal is read, and alive, must get everything: it is the journal that waits. */
export const slow: Scenario = {
  name: "slow",
  claim: "a backlog for a receiver that reads slowly is not given up",
  async run(world) {
    const { tally } = world;
    await world.memcached();
    const receiver = await world.slowReceiver(20_000);
    tally.listens("user", [receiver.address]);
    await world.register();
    world.configure();
    const records = world.size(60_000, 400_000);
    for (let written = 0; written < records; written += 10_000) {
      world.writer.write(Array.from({ length: 10_000 }, () => "user"));
    }
    const daemon = await world.start();
    await world.arrival();
    await world.checkStatus();
    const { most } = daemon.memory();
    world.note(`${most} MiB`);
    must(most < MOST_MIB, `${most} MiB resident`);
  },
};
