import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { Faults, type FaultyHost } from "../../../src/destinations/openchange/faults.ts";
import type { Job, Route } from "../../../src/destinations/openchange/route.ts";
import { SpError } from "../../../src/protocols/sp/errors.ts";
import type { MailboxEvent } from "../../../src/events/event.ts";
import { collectLog, OWN_UID, STRANGE_UID, writerOf, type LogLine } from "../../helpers/journal.ts";

const trusted = writerOf(OWN_UID);
const strange = writerOf(STRANGE_UID);
const refused = new SpError("ERR_SP_REFUSED", "refused");
const job = { route: { cn: "jdoe" } as Route } as Job;

let lines: LogLine[];
let faults: Faults;
beforeEach(() => {
  const collected = collectLog();
  lines = collected.lines;
  faults = new Faults(collected.log);
});

const hostOf = (name: string, ...uids: number[]): FaultyHost => ({
  name,
  common: uids.length === 0,
  users: new Set(uids.map((uid) => ({ uid }))),
});
const levels = (): string[] => lines.map(({ level }) => level);

describe("a fault", () => {
  it("of a host is logged once until it is over, and that it is over once", () => {
    const host = hostOf("tcp://10.0.0.5:1");
    faults.hostRecovered(host);
    for (let n = 0; n < 3; n++) faults.hostFailed(host, refused, 5, job);
    faults.hostRecovered(host);
    faults.hostRecovered(host);
    faults.hostFailed(host, refused, 6, undefined);
    assert.deepEqual(
      lines.map(({ level, host, waiting, user }) => [level, host, waiting, user]),
      [
        ["warn", host.name, 5, "jdoe"],
        ["info", host.name, undefined, undefined],
        ["warn", host.name, 6, undefined],
      ],
    );
  });

  it("that only the operator can mend is an error", () => {
    const wrong = new SpError("ERR_SP_HANDSHAKE", "no PULL socket");
    assert.equal(wrong.canRetry, false);
    faults.hostFailed(hostOf("tcp://10.0.0.5:1"), wrong, 1, job);
    assert.deepEqual(levels(), ["error"]);
  });

  it("of a host that was forgotten is logged anew, without a line that it is back", () => {
    const host = hostOf("tcp://10.0.0.5:1");
    faults.hostFailed(host, refused, 1, job);
    faults.hostForgotten(host);
    faults.hostRecovered(host);
    faults.hostFailed(host, refused, 1, job);
    assert.deepEqual(levels(), ["warn", "warn"]);
  });

  it("of a memcached is logged once until it is over, and that it is over once", () => {
    const memcached = { server: { name: "10.0.0.1:11211" }, blamed: undefined };
    for (let n = 0; n < 3; n++) faults.memcachedFailed(memcached, new Error("down"), 9);
    faults.memcachedRecovered(memcached);
    faults.memcachedRecovered(memcached);
    assert.deepEqual(
      lines.map(({ level, waiting }) => [level, waiting]),
      [
        ["warn", 9],
        ["info", undefined],
      ],
    );
  });

  it("of a restarted memcached says for how long users are looked up again, at each start", () => {
    const memcached = { server: { name: "10.0.0.1:11211" }, blamed: undefined };
    faults.memcachedRestarted(memcached, 4_400, 30_000);
    faults.memcachedRestarted(memcached, 1_000, 30_000);
    assert.match(lines[0]?.msg ?? "", /started 4 s ago.*looked up again for 26 s/);
    assert.equal(lines.length, 2);
  });
});

describe("a writer who is not trusted", () => {
  /** Every way to make up causes. */
  const causes: Record<string, (n: number) => void> = {
    hosts: (n) => faults.hostFailed(hostOf(`tcp://10.0.0.5:${n}`, STRANGE_UID), refused, 1, job),
    "hosts that unregister": (n) => faults.hostUnregistered(hostOf(`tcp://10.0.0.5:${n}`, STRANGE_UID), 1),
    addresses: (n) => faults.badAddress("bad", { cn: "x" } as Route, strange, new Error(`bad ${n}`)),
    memcacheds: (n) => faults.memcachedFailed({ server: { name: `m${n}` }, blamed: strange.uid }, new Error("down"), 1),
    "memcacheds that restart": (n) =>
      faults.memcachedRestarted({ server: { name: `m${n}` }, blamed: strange.uid }, 1, 30_000),
    "memcacheds without age": (n) => faults.memcachedAgeless({ server: { name: `m${n}` }, blamed: strange.uid }),
    users: (n) => faults.badResolver({ user: `u${n}` } as MailboxEvent, strange, new Error("bad")),
    records: (n) => faults.badRecord({ cn: `u${n}` } as Route, strange, new Error("bad")),
    "records of many hosts": (n) => faults.tooManyHosts({ cn: `u${n}`, hosts: [""] } as unknown as Route, strange, 3),
    names: (n) =>
      faults.unencodable(
        { record: { stretch: { writer: strange } }, route: { cn: "x" } } as unknown as Job,
        undefined,
        new Error(`${n}`),
      ),
  };
  for (const [what, make] of Object.entries(causes)) {
    it(`fills no more than 100 lines of the log with ${what}, and takes none from others`, () => {
      for (let n = 0; n < 300; n++) make(n);
      assert.equal(lines.length, 100);
      faults.badRecord({ cn: "other" } as Route, trusted, new Error("bad"));
      faults.hostFailed(hostOf("tcp://10.0.0.6:1", STRANGE_UID, STRANGE_UID + 1), refused, 1, job);
      faults.hostFailed(hostOf("tcp://10.0.0.6:2"), refused, 1, job);
      assert.equal(lines.length, 103);
    });
  }
});

describe("what is given up", () => {
  it("is one line for a reason at first, and then one each ten seconds for all hosts", () => {
    faults.givenUp("a", 5, "expired", "refused");
    for (const host of ["a", "b", "c"]) faults.givenUp(host, 2, "expired", "refused");
    faults.givenUp("a", 1, "overflow", "too many");
    faults.tick(performance.now());
    assert.deepEqual(
      lines.map(({ reason, dropped }) => [reason, dropped]),
      [
        ["expired", 5],
        ["overflow", 1],
      ],
    );
    faults.tick(performance.now() + 10_001);
    assert.deepEqual(
      lines.slice(2).map(({ reason, dropped, hosts }) => [reason, dropped, hosts]),
      [["expired", 6, 3]],
    );
  });
});
