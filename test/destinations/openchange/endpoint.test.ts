import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Endpoint, type EndpointEvents } from "../../../src/destinations/openchange/endpoint.ts";
import type { Job, Route } from "../../../src/destinations/openchange/route.ts";
import type { EventRecord } from "../../../src/delivery/destination.ts";
import { parseAddress } from "../../../src/protocols/sp/address.ts";
import { bindPull } from "../../../src/protocols/sp/pull-socket.ts";
import { writerOf } from "../../helpers/journal.ts";
import { waitFor } from "../../helpers/wait.ts";

const writer = writerOf(0);

const SETTINGS = {
  connectTimeoutMs: 5_000,
  stallTimeoutMs: 30_000,
  idleTimeoutMs: 60_000,
  firstRetryMs: 50,
  mostRetryMs: 200,
};

describe("what waits for a host and cannot be read from the journal for now", () => {
  it("holds up its user's later events and nobody else's, and is tried once a tick", async (t) => {
    const pull = await bindPull("tcp://127.0.0.1:0");
    t.after(() => pull.close());
    const received: string[] = [];
    void (async () => {
      for await (const message of pull) received.push(message.toString());
    })();
    const routes = { anna: {} as Route, bert: {} as Route };
    const unreadable = new Set(["anna 1"]);
    const asked: string[] = [];
    const names = new Map<Job, string>();
    const events: EndpointEvents = {
      encoder: {
        notifications(job) {
          const name = names.get(job) ?? "";
          asked.push(name);
          if (unreadable.has(name)) return "later";
          return [{ type: "NewMail" as const, backend: "", eml: name, folder: "", separator: "" }].values();
        },
        encodedLength: ({ eml }) => Buffer.byteLength(eml),
        write: (target, offset, { eml }) => offset + target.write(eml, offset),
        encoded() {},
        unencodable: () => assert.fail("all can be encoded"),
      },
      mayConnect: () => true,
      connections() {},
      sent() {},
      resending() {},
      recovered() {},
      failed: (_endpoint, error) => assert.fail(error),
      idle() {},
    };
    const address = pull.address;
    const endpoint = new Endpoint(address, parseAddress(address), SETTINGS, events);
    t.after(() => endpoint.close());
    const push = (user: "anna" | "bert", n: number): void => {
      const job: Job = { record: { stretch: { writer } } as unknown as EventRecord, route: routes[user], unencoded: 1 };
      names.set(job, `${user} ${n}`);
      endpoint.push(job);
    };
    push("anna", 1);
    push("bert", 1);
    push("anna", 2);
    push("bert", 2);
    await waitFor("the other user's", () => received.length === 2);
    assert.deepEqual(received, ["bert 1", "bert 2"]);
    assert.equal(endpoint.waiting, 2);
    assert.deepEqual(
      [...endpoint.waitingJobs()].map((job) => names.get(job)),
      ["anna 1", "anna 2"],
    );

    endpoint.tick(performance.now());
    await waitFor("another try", () => asked.filter((name) => name === "anna 1").length === 2);
    push("bert", 3);
    await waitFor("the other user's next", () => received.includes("bert 3"));
    assert.deepEqual(asked, ["anna 1", "bert 1", "bert 2", "anna 1", "bert 3"], "no try before the next tick");
    unreadable.clear();
    endpoint.tick(performance.now());
    await waitFor("all", () => received.length === 5);
    assert.deepEqual(received.slice(3), ["anna 1", "anna 2"]);
    assert.equal(endpoint.waiting, 0);
  });
});
