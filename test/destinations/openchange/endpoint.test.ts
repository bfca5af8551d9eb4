import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Endpoint, type EndpointEvents } from "../../../src/destinations/openchange/endpoint.ts";
import type { Job, Route } from "../../../src/destinations/openchange/route.ts";
import type { EventRecord } from "../../../src/delivery/destination.ts";
import { parseAddress } from "../../../src/protocols/sp/address.ts";
import { bindPull, type PullSocket } from "../../../src/protocols/sp/pull-socket.ts";
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

describe("a host whose connection breaks", () => {
  it("gets again what it was sent in the last second, first and in order, after one failure and one recovery", async (t) => {
    const received: string[] = [];
    const seen: string[] = [];
    const receive = async (address: string): Promise<PullSocket> => {
      const pull = await bindPull(address);
      void (async () => {
        for await (const message of pull) received.push(message.toString());
      })();
      return pull;
    };
    let pull = await receive("tcp://127.0.0.1:0");
    const { address } = pull;
    const endpoint = new Endpoint(address, parseAddress(address), SETTINGS, {
      encoder: {
        notifications: ({ record }) =>
          [{ type: "NewMail" as const, backend: "", eml: String(record.offset), folder: "", separator: "" }].values(),
        encodedLength: ({ eml }) => Buffer.byteLength(eml),
        write: (target, offset, { eml }) => offset + target.write(eml, offset),
        encoded() {},
        unencodable: () => assert.fail("all can be encoded"),
      },
      mayConnect: () => true,
      connections: (change) => seen.push(`connections ${change}`),
      sent: (chunk) => seen.push(`sent ${Array.from(chunk.jobs(), ({ record }) => record.offset).join(" ")}`),
      resending: (count) => seen.push(`resending ${count}`),
      recovered: () => seen.push("recovered"),
      failed: (_endpoint, error) => seen.push(error.code),
      idle() {},
    });
    t.after(async () => {
      endpoint.close();
      await pull.close();
    });
    const push = (offset: number): void =>
      endpoint.push({
        record: { stretch: { writer }, index: 0, offset } as unknown as EventRecord,
        route: {} as Route,
        unencoded: 1,
      });
    const confirm = (count: number): Promise<unknown> =>
      waitFor("the confirmation", () => {
        endpoint.tick(performance.now() + 3_000);
        return seen.filter((line) => line.startsWith("sent")).length === count;
      });

    push(1);
    await waitFor("the first", () => received.length === 1);
    await confirm(1);
    push(2);
    push(3);
    await waitFor("the others", () => received.length === 3);
    assert.equal(endpoint.unconfirmed, 2);
    await pull.close();
    await waitFor("the failure", () => seen.includes("resending 2"));
    assert.deepEqual([endpoint.unconfirmed, endpoint.waiting, endpoint.slow], [0, 2, true]);
    assert.equal(endpoint.takes(performance.now()), false);
    push(4);
    pull = await receive(address);
    await waitFor("all", () => received.length === 6);
    assert.deepEqual(received, ["1", "2", "3", "2", "3", "4"]);
    await confirm(2);
    assert.equal(seen.filter((line) => line === "recovered").length, 1);
    assert.equal(seen.indexOf("sent 1"), 1);
    assert.equal(seen.at(-2), "sent 2 3 4");
    assert.equal(seen.at(-1), "recovered");
    assert.equal(endpoint.refusedSinceMs, undefined);
    assert.deepEqual([endpoint.size, endpoint.slow], [0, false]);
  });
});
