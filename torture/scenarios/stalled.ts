import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { startBadHost } from "../bad-hosts.ts";
import type { Scenario } from "../scenario.ts";
import { must, usersNamed } from "../world.ts";

const MOST_MIB = 150;
/** On a quiet machine it is a tenth of it. */
const MOST_LATENCY_MS = 5_000;
/** What the sockets took counts as read after a second in which they were not full. */
const MOST_FILLING_MS = 800;
const FULL_MS = 300;

export const stalled: Scenario = {
  name: "stalled",
  claim: "a host accepts and never reads; its backlog costs little memory and nobody else's time",
  async run(world) {
    const { tally } = world;
    await world.memcached();
    const address = await world.address();
    const port = Number(address.split(":").at(-1));
    const bad = await startBadHost(port, "never reads");
    world.finally(() => bad.stop());
    const steady = await world.receiver();
    // A long name makes a long notification, so that they do not all fit into the sockets between.
    const victim = "v".repeat(200);
    tally.listens(victim, [address]);
    const users = usersNamed("user", 50);
    for (const user of users) {
      tally.listens(user, [steady.address]);
      tally.timed(user);
    }
    await world.register();
    world.configure({ destination: { stall_timeout: "5s" } });

    // Written before, so that the sockets between are full within the second after which what they took counts as read.
    const records = world.size(60_000, 200_000);
    world.writer.write(Array.from({ length: records }, () => victim));
    await world.start();
    const filled = fillingTime(port);
    await world.load(users, world.size(1_500, 12_000), 600);
    const latency = tally.latency();
    world.note(`others' latency p50 ${latency.p50} ms, p99 ${latency.p99} ms, most ${latency.most} ms`);

    // Its successor on the same port gets all of it.
    const fillingMs = await filled;
    await bad.stop();
    const good = await world.receiver(address);
    must(good.address === address, "another port");
    await world.arrival();
    if (fillingMs > MOST_FILLING_MS && tally.missing > 0) {
      const lost = tally.excuse(address);
      world.note(`${lost} not judged: the daemon took ${fillingMs} ms to fill the sockets`);
    }
    await world.checkStatus();
    const { most } = world.daemon.memory();
    world.note(`${records} for the stalled host, ${most} MiB`);
    must(latency.most < MOST_LATENCY_MS, `others waited ${latency.most} ms`);
    must(most < MOST_MIB, `${most} MiB resident`);
  },
};

/** How many milliseconds the sockets at this port take until they are full. */
async function fillingTime(port: number): Promise<number> {
  let bytes = 0;
  let begunAt = 0;
  let grownAt = 0;
  for (let now = performance.now(); begunAt === 0 || now - grownAt < FULL_MS; now = performance.now()) {
    const queued = queuedAt(port);
    if (queued > bytes) {
      grownAt = now;
      if (begunAt === 0) begunAt = now;
    }
    bytes = queued;
    await delay(20);
  }
  return Math.round(grownAt - begunAt);
}

/** Bytes that connections to this port have sent and that nobody has read, as proc(5) has them. */
function queuedAt(port: number): number {
  const end = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  let bytes = 0;
  for (const line of readFileSync("/proc/net/tcp", "latin1").split("\n").slice(1)) {
    const [, local = "", remote = "", , queues = ""] = line.trim().split(/\s+/);
    const [unsent = 0, unread = 0] = queues.split(":").map((queue) => Number.parseInt(queue, 16));
    if (local.endsWith(end)) bytes += unread;
    if (remote.endsWith(end)) bytes += unsent;
  }
  return bytes;
}
