import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import type { Outcome, Writer } from "../../../src/delivery/destination.ts";
import type { JobEncoder } from "../../../src/destinations/openchange/encode-chunk.ts";
import { Faults } from "../../../src/destinations/openchange/faults.ts";
import { Hosts, type HostsSettings } from "../../../src/destinations/openchange/hosts.ts";
import { Ledger } from "../../../src/destinations/openchange/ledger.ts";
import type { Job, Route } from "../../../src/destinations/openchange/route.ts";
import { NameLookups } from "../../../src/name-lookups.ts";
import { bindPull } from "../../../src/protocols/sp/pull-socket.ts";
import { answersOf } from "../../helpers/answers.ts";
import { collectLog, OWN_UID, STRANGE_UID, writerOf, type LogLine } from "../../helpers/journal.ts";
import { waitFor } from "../../helpers/wait.ts";

const TIME_TO_LIVE_MS = 60_000;
const trusted = writerOf(OWN_UID);

interface Site {
  readonly hosts: Hosts;
  readonly ledger: Ledger;
  readonly lines: readonly LogLine[];
  readonly outcomes: Outcome[];
  /** Hosts that are to be taken out of a user's record, as `user host`. */
  readonly removed: string[];
  send(addresses: readonly string[], options?: { writer?: Writer; ageMs?: number; cn?: string }): void;
}

function site(t: TestContext, settings: Partial<HostsSettings> = {}): Site {
  const outcomes: Outcome[] = [];
  const removed: string[] = [];
  const { log, lines } = collectLog();
  const ledger = new Ledger(
    answersOf({
      split() {},
      done: (_stretch, _index, outcome) => outcomes.push(outcome),
      dropped: () => outcomes.push("dropped"),
      park() {},
    }),
  );
  const encoder: JobEncoder = {
    notifications: ({ route }) =>
      [{ type: "NewMail" as const, backend: "", eml: route.cn, folder: "", separator: "" }].values(),
    encodedLength: ({ eml }) => Buffer.byteLength(eml),
    write: (target, offset, { eml }) => offset + target.write(eml, offset),
    encoded: (job) => ledger.encoded(job),
    unencodable: () => assert.fail(),
  };
  const hosts = new Hosts(
    {
      timeToLiveMs: TIME_TO_LIVE_MS,
      restartGraceMs: 0,
      removeRefusedAfterMs: undefined,
      maxConnections: 100,
      endpoint: {
        connectTimeoutMs: 5_000,
        stallTimeoutMs: 30_000,
        idleTimeoutMs: 60_000,
        firstRetryMs: 20,
        mostRetryMs: 50,
      },
      names: new NameLookups(),
      ...settings,
    },
    {
      encoder,
      ledger,
      faults: new Faults(log),
      removals: { add: ({ cn }, host) => removed.push(`${cn} ${host}`) },
      hasRoom: () => assert.fail(),
    },
  );
  t.after(() => hosts.close());
  // Nobody can be asked whether a host is still registered: it always is.
  const resolver = { unregistered: async () => new Map() };
  return {
    hosts,
    ledger,
    lines,
    outcomes,
    removed,
    send(addresses, { writer = trusted, ageMs = 0, cn = "jdoe" } = {}) {
      const stretch = { writer, segment: { name: "" }, happenedAt: performance.now() - ageMs, seenAt: 0 };
      const route = { cn, hosts: addresses, key: cn, resolver } as unknown as Route;
      const job: Job = { record: { stretch, index: 0, offset: 0, event: undefined }, route, unencoded: 0 };
      hosts.send(job, route);
    },
  };
}

/** A receiver on a free port, and what it got. */
async function receiver(t: TestContext): Promise<{ address: string; received: string[] }> {
  const pull = await bindPull("tcp://127.0.0.1:0");
  t.after(() => pull.close());
  const received: string[] = [];
  void (async () => {
    for await (const message of pull) received.push(message.toString());
  })();
  return { address: pull.address, received };
}

/** An address where nothing listens. */
async function refusing(): Promise<string> {
  const pull = await bindPull("tcp://127.0.0.1:0");
  await pull.close();
  return pull.address;
}

describe("a job", () => {
  test("goes to each host of its user, and is settled once each", async (t) => {
    const w = site(t);
    const [a, b] = await Promise.all([receiver(t), receiver(t)]);
    w.send([a.address, b.address]);
    assert.equal(w.ledger.unsettled, 2);
    await waitFor("both", () => a.received.length + b.received.length === 2);
    w.hosts.tick(performance.now() + 500);
    assert.deepEqual(w.outcomes, []);
    await waitFor("the confirmation", () => {
      w.hosts.tick(performance.now() + 3_000);
      return w.outcomes.length === 2;
    });
    assert.deepEqual(w.outcomes, ["notified", "notified"]);
    assert.deepEqual([w.hosts.size, w.hosts.connected, w.ledger.unsettled], [2, 2, 0]);
  });

  test("of a user without hosts is answered at once", (t) => {
    const w = site(t);
    w.send([]);
    assert.deepEqual(w.outcomes, ["nobody"]);
  });

  test("is dropped for a host whose address cannot be used, and goes to the others", async (t) => {
    const w = site(t);
    const { address, received } = await receiver(t);
    w.send(["http://10.0.0.5", address]);
    assert.deepEqual(w.ledger.dropped, { "bad-address": 1 });
    await waitFor("the other", () => received.length === 1);
    assert.equal(w.lines.length, 1);
  });

  test("of a writer who is not trusted is dropped when too many of it wait, or for one host too many", (t) => {
    const w = site(t);
    const writer = { uid: STRANGE_UID, trusted: false, pending: 8_190 };
    w.send(["ipc:///nowhere/1", "ipc:///nowhere/2", "ipc:///nowhere/3"], { writer });
    assert.deepEqual([w.outcomes, w.ledger.dropped], [["dropped"], { overflow: 3 }]);
    writer.pending = 1;
    w.send(
      Array.from({ length: 66 }, (_, n) => `ipc:///nowhere/${n}`),
      { writer },
    );
    assert.deepEqual(w.ledger.dropped, { overflow: 5 });
    assert.equal(w.ledger.unsettled, 64);
    assert.equal(w.lines.filter(({ uid }) => uid === STRANGE_UID).length, 2);
    w.send(["ipc:///nowhere/66"], { writer: writerOf(STRANGE_UID) });
    assert.deepEqual(w.ledger.dropped, { overflow: 6 }, "the same uid, which began anew, has no further hosts");
    w.send(["ipc:///nowhere/65"], { writer: trusted });
    assert.equal(w.ledger.unsettled, 65);
  });
});

describe("a host that refuses", () => {
  test("gets what is young when it is there; what is older than its time to live was tried once", async (t) => {
    const w = site(t);
    const address = await refusing();
    w.send([address], { cn: "young" });
    w.send([address], { cn: "old", ageMs: TIME_TO_LIVE_MS + 1 });
    await waitFor("the drop", () => w.outcomes.length === 1);
    assert.deepEqual(w.ledger.dropped, { expired: 1 });
    assert.ok(w.ledger.counts.hostFailures >= 1);
    const pull = await bindPull(address);
    t.after(() => pull.close());
    const { value } = await pull[Symbol.asyncIterator]().next();
    assert.equal((value as Buffer).toString(), "young");
    await waitFor("the confirmation", () => {
      w.hosts.tick(performance.now() + 3_000);
      return w.outcomes.at(-1) === "notified";
    });
    assert.deepEqual(
      w.lines.map(({ level }) => level),
      ["warn", "error", "info"],
    );
    assert.match(w.lines.at(-1)?.msg ?? "", /host is back/);
  });

  test("for too long goes out of the records of all for whom something waits", async (t) => {
    const w = site(t, { removeRefusedAfterMs: 100 });
    const address = await refusing();
    for (const cn of ["jdoe", "anna"]) w.send([address], { cn });
    await waitFor("the removal", () => w.removed.length === 2);
    assert.deepEqual(w.removed, [`jdoe ${address}`, `anna ${address}`]);
    assert.deepEqual(w.ledger.dropped, { "host-removed": 2 });
    assert.equal(w.ledger.unsettled, 0);
  });

  test("is forgotten when it was idle, and what it used of a writer's share with it", async (t) => {
    const w = site(t);
    const { address, received } = await receiver(t);
    w.send([address], { writer: writerOf(STRANGE_UID) });
    await waitFor("the notification", () => received.length === 1);
    await waitFor("the confirmation", () => {
      w.hosts.tick(performance.now() + 3_000);
      return w.outcomes.length === 1;
    });
    // Idle from the first tick at which nothing was left.
    w.hosts.tick(performance.now() + 4_000);
    w.hosts.tick(performance.now() + 70_000);
    assert.deepEqual([w.hosts.size, w.hosts.connected], [0, 0]);
  });
});
