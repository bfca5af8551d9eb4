import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { describe, test, type TestContext } from "node:test";
import type { Outcome } from "../../../src/delivery/destination.ts";
import { encodeResolverRecord } from "../../../src/destinations/openchange/codec/resolver-record.ts";
import { Faults } from "../../../src/destinations/openchange/faults.ts";
import { HostFinder } from "../../../src/destinations/openchange/host-finder.ts";
import { Ledger } from "../../../src/destinations/openchange/ledger.ts";
import type { Job } from "../../../src/destinations/openchange/route.ts";
import type { MailboxEvent } from "../../../src/events/event.ts";
import { NameLookups } from "../../../src/name-lookups.ts";
import { answersOf } from "../../helpers/answers.ts";
import { collectLog, OWN_UID, writerOf, type LogLine } from "../../helpers/journal.ts";
import { waitFor } from "../../helpers/wait.ts";

const TIME_TO_LIVE_MS = 60_000;
const HOSTS = ["tcp://10.0.0.5:1", "tcp://10.0.0.6:1"];
const writer = writerOf(OWN_UID);

interface Site {
  readonly finder: HostFinder;
  readonly ledger: Ledger;
  readonly lines: readonly LogLine[];
  /** `user hosts`, as they were found. */
  readonly found: string[];
  readonly outcomes: Outcome[];
  /** How often there was room again. */
  rooms(): number;
  parked(): number;
  /** Looks for the hosts of `user` for a change that is this old. */
  find(user: string, ageMs?: number): void;
}

/** A resolver whose memcached does with each `get` what `answer` says. */
async function site(t: TestContext, answer: (socket: Socket, key: string) => void): Promise<Site> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      for (const line of chunk.toString().split("\r\n")) {
        if (line === "version") socket.write("VERSION 1\r\n");
        if (line.startsWith("get ")) answer(socket, line.slice("get ".length));
      }
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const outcomes: Outcome[] = [];
  const found: string[] = [];
  let rooms = 0;
  let parked = 0;
  const ledger = new Ledger(
    answersOf({
      done: (_stretch, _index, outcome) => outcomes.push(outcome),
      dropped: () => outcomes.push("dropped"),
      park: () => parked++,
    }),
  );
  const { log, lines } = collectLog();
  const finder = new HostFinder(
    {
      resolver: `--SERVER=127.0.0.1:${port} --RETRY-TIMEOUT=0 --POLL-TIMEOUT=60000`,
      resolvers: [],
      cn: "username",
      charset: "cp850",
      restartGraceMs: 0,
      names: new NameLookups(),
      timeToLiveMs: TIME_TO_LIVE_MS,
    },
    ledger,
    new Faults(log),
    { found: (job: Job, { hosts }) => found.push(`${job.route.cn} ${hosts.length}`), hasRoom: () => rooms++ },
  );
  t.after(() => {
    finder.close();
    server.close();
  });
  const find = (user: string, ageMs = 0): void => {
    const nowMs = performance.now();
    const stretch = { writer, segment: { name: "" }, happenedAt: nowMs - ageMs, seenAt: nowMs };
    finder.find({ stretch, index: 0, offset: 0, event: undefined }, { user } as MailboxEvent, nowMs);
  };
  return { finder, ledger, lines, found, outcomes, rooms: () => rooms, parked: () => parked, find };
}

function reply(socket: Socket, key: string): void {
  const value = encodeResolverRecord(HOSTS);
  socket.write(Buffer.concat([Buffer.from(`VALUE ${key} 0 ${value.length}\r\n`), value, Buffer.from("\r\nEND\r\n")]));
}

describe("a record whose user is looked up", () => {
  test("is handed on with the hosts of its user", async (t) => {
    const w = await site(t, reply);
    w.find("jdoe");
    assert.equal(w.finder.lookingUp, 1);
    await waitFor("the hosts", () => w.found.length === 1);
    assert.deepEqual(w.found, ["jdoe 2"]);
    assert.equal(w.finder.lookingUp, 0);
    assert.equal(w.parked(), 0);
  });

  test("is dropped when no key can name the user", async (t) => {
    const w = await site(t, reply);
    w.find("x".repeat(300));
    assert.deepEqual([w.outcomes, w.ledger.dropped], [["dropped"], { "bad-resolver": 1 }]);
    assert.equal(w.lines.length, 1);
    assert.equal(w.finder.lookingUp, 0);
  });

  test("is dropped when the user's record cannot be decoded", async (t) => {
    const w = await site(t, (socket, key) => socket.write(`VALUE ${key} 0 3\r\nabc\r\nEND\r\n`));
    w.find("jdoe");
    w.find("jdoe");
    await waitFor("the outcomes", () => w.outcomes.length === 2);
    assert.deepEqual([w.outcomes, w.ledger.dropped], [["dropped", "dropped"], { "bad-record": 2 }]);
    assert.equal(w.lines.length, 1);
    assert.equal(w.finder.lookingUp, 0);
  });

  test("waits when the memcached fails, put away, and is dropped only after its time to live", async (t) => {
    let works = false;
    const w = await site(t, (socket, key) => (works ? reply(socket, key) : socket.destroy()));
    w.find("young");
    w.find("old", TIME_TO_LIVE_MS + 1);
    await waitFor("the drop", () => w.outcomes.length === 1);
    assert.deepEqual([w.outcomes, w.ledger.dropped], [["dropped"], { expired: 1 }]);
    assert.ok(w.parked() >= 1);
    assert.equal(w.finder.lookingUp, 1);
    assert.ok(w.ledger.counts.lookupFailures >= 1);
    works = true;
    await waitFor("the other", () => w.found.length === 1);
    assert.deepEqual(w.found, ["young 2"]);
    assert.deepEqual(
      w.lines.map(({ level, msg }) => `${level} ${msg.slice(0, 30)}`),
      [
        "warn the resolver does not answer, ",
        "error notifications given up: the re",
        "info the resolver answers again",
      ],
    );
  });

  test("is dropped after its time to live and 30 s of waiting, though the memcached neither replies nor fails", async (t) => {
    let asked = 0;
    const w = await site(t, () => asked++);
    w.find("asked");
    await waitFor("the request", () => asked === 1);
    w.find("young");
    w.find("old", TIME_TO_LIVE_MS + 1);
    const nowMs = performance.now();
    w.finder.tick(nowMs + 29_000);
    assert.equal(w.outcomes.length, 0);
    w.finder.tick(nowMs + 30_001);
    assert.deepEqual([w.outcomes, w.ledger.dropped], [["dropped"], { expired: 1 }]);
    assert.equal(w.finder.lookingUp, 2);
  });

  test("keeps the journal waiting while 100,000 do, until half of them are done", async (t) => {
    let release: (() => void) | undefined;
    const w = await site(t, (socket, key) => (release ??= () => reply(socket, key)));
    for (let n = 0; n < 99_999; n++) w.find("jdoe");
    assert.equal(w.finder.full, false);
    w.find("jdoe");
    assert.equal(w.finder.full, true);
    await waitFor("the request", () => release !== undefined);
    release?.();
    await waitFor("room", () => w.rooms() === 1);
    assert.equal(w.finder.full, false);
    assert.equal(w.finder.lookingUp, 0);
    await waitFor("all", () => w.found.length === 100_000);
  });
});
