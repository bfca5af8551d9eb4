import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Endpoint } from "../../../src/destinations/openchange/endpoint.ts";
import { Resolver } from "../../../src/destinations/openchange/resolver.ts";
import type { Job } from "../../../src/destinations/openchange/route.ts";
import { Unregistered } from "../../../src/destinations/openchange/unregistered.ts";
import { startMemcached, type TestMemcached } from "../../helpers/memcached.ts";
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
  const endpointOf = (...cns: string[]): { endpoint: Endpoint; asked: () => boolean } => {
    const jobs = cns.map((cn) => ({ route: { cn, resolver } }) as Job);
    let isAsked = false;
    const takeIf = (test: (job: Job) => boolean): Job[] => {
      isAsked = true;
      return jobs.filter(test);
    };
    return { endpoint: { name: HOST, waitingJobs: () => jobs, takeIf } as unknown as Endpoint, asked: () => isAsked };
  };

  test("is taken back of users for whom the host is registered no more", async () => {
    const taken: string[] = [];
    const unregistered = new Unregistered(0, (_, jobs) => taken.push(...jobs.map(({ route }) => route.cn)));
    const { endpoint } = endpointOf("here", "elsewhere", "nowhere");
    unregistered.ask(endpoint);
    await waitFor("the answer", () => taken.length > 0);
    assert.deepEqual(taken, ["elsewhere", "nowhere"]);
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
