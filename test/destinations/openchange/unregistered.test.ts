import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Endpoint } from "../../../src/destinations/openchange/endpoint.ts";
import { encodeResolverRecord } from "../../../src/destinations/openchange/codec/resolver-record.ts";
import { Resolver } from "../../../src/destinations/openchange/resolver.ts";
import type { Job } from "../../../src/destinations/openchange/route.ts";
import { Unregistered } from "../../../src/destinations/openchange/unregistered.ts";
import { MemcachedServer } from "../../../src/protocols/memcached/server.ts";
import { startMemcached, type TestMemcached } from "../../helpers/memcached.ts";
import { memcachedStat } from "../../helpers/ocnotify.ts";
import { waitFor } from "../../helpers/wait.ts";

const HOST = "tcp://10.0.0.5:1";

describe("what waits for a host that refuses", () => {
  let memcached: TestMemcached;
  let resolver: Resolver;
  before(async () => {
    memcached = await startMemcached();
    resolver = new Resolver(memcached.config);
    await resolver.register("here", HOST);
    await resolver.register("elsewhere", "tcp://10.0.0.6:1");
  });
  after(async () => {
    resolver.close();
    await memcached.stop();
  });

  /** An endpoint for which these users wait; it tells when it was looked through. */
  const endpointOf = (...cns: string[]): { endpoint: Endpoint; asked: () => boolean } => endpointAt(HOST, ...cns);
  const endpointAt = (name: string, ...cns: string[]): { endpoint: Endpoint; asked: () => boolean } => {
    const jobs = cns.map((cn) => ({ route: { cn, resolver } }) as Job);
    let isAsked = false;
    const takeIf = (test: (job: Job) => boolean): Job[] => {
      isAsked = true;
      return jobs.filter(test);
    };
    return { endpoint: { name, waitingJobs: () => jobs, takeIf } as unknown as Endpoint, asked: () => isAsked };
  };

  test("is taken back of users for whom the host is registered no more", async () => {
    const taken: string[] = [];
    const unregistered = new Unregistered(0, (_, jobs) => taken.push(...jobs.map(({ route }) => route.cn)));
    const { endpoint } = endpointOf("here", "elsewhere", "nowhere");
    unregistered.ask(endpoint);
    await waitFor("the answer", () => taken.length > 0);
    assert.deepEqual(taken, ["elsewhere", "nowhere"]);
  });

  test("is looked up once for each user, however many hosts of the user's record refuse", async () => {
    const hosts = Array.from({ length: 2_000 }, (_, index) => `tcp://10.1.${index >> 8}.${index & 255}:1`);
    const server = new MemcachedServer(memcached.address);
    await server.set("resolver:many", encodeResolverRecord(hosts.slice(0, 1_500)));
    server.close();
    const before = await memcachedStat(memcached.port, "cmd_get");
    const taken: string[] = [];
    const unregistered = new Unregistered(0, ({ name }, jobs) => taken.push(`${name} ${jobs.length}`));
    const began = process.cpuUsage();
    for (const host of hosts) unregistered.ask(endpointAt(host, "many", "nowhere").endpoint);
    await waitFor("the answer", () => taken.length === hosts.length);
    assert.deepEqual(
      taken,
      hosts.map((host, index) => `${host} ${index < 1_500 ? 1 : 2}`),
    );
    assert.equal((await memcachedStat(memcached.port, "cmd_get")) - before, 2);
    assert.ok(process.cpuUsage(began).user < 2_000_000, "seconds of the processor");
  });

  test("is kept while a memcached is so new that the host may only not have registered again", async () => {
    const taken: unknown[] = [];
    const unregistered = new Unregistered(30_000, (_, jobs) => taken.push(...jobs));
    const { endpoint, asked } = endpointOf("here", "elsewhere", "nowhere");
    unregistered.ask(endpoint);
    await waitFor("the answer", asked);
    assert.deepEqual(taken, []);
  });
});
