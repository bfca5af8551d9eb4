import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  keepBounds,
  MANY_WAITING,
  MAX_WAITING,
  type BoundedHost,
} from "../../../src/destinations/openchange/bounds.ts";
import type { Job } from "../../../src/destinations/openchange/route.ts";

const MAX_UNCONFIRMED = 150_000;

class FakeHost implements BoundedHost {
  common = true;
  waiting = 0;
  unconfirmed = 0;
  taking = false;
  mayYetTake = false;

  constructor(fields: Partial<Omit<FakeHost, "takes" | "mayTake" | "confirmEarly" | "takeOldest">> = {}) {
    Object.assign(this, fields);
  }

  takes(): boolean {
    return this.taking;
  }

  mayTake(): boolean {
    return this.mayYetTake;
  }

  confirmEarly(most: number): void {
    this.unconfirmed = Math.min(this.unconfirmed, most);
  }

  takeOldest(count: number): Job[] {
    const taken = Math.min(count, this.waiting);
    this.waiting -= taken;
    return Array.from({ length: taken }, () => ({}) as Job);
  }
}

/** What is given up, by host. */
function overflowOf(hosts: readonly FakeHost[]): number[] {
  const { overflow } = keepBounds(hosts, 0);
  return hosts.map((host) => overflow.reduce((sum, one) => sum + (one.host === host ? one.jobs.length : 0), 0));
}

describe("the journal", () => {
  it("is read on while no more than 75,000 wait for hosts that take what is sent", () => {
    const hosts = [new FakeHost({ taking: true, waiting: MANY_WAITING }), new FakeHost({ waiting: 10_000 })];
    assert.deepEqual(keepBounds(hosts, 0), { hold: false, overflow: [] });
    (hosts[0] as FakeHost).waiting++;
    assert.deepEqual(keepBounds(hosts, 0), { hold: true, overflow: [] });
  });

  it("waits for no host that only writers who are not trusted use", () => {
    const hosts = [new FakeHost({ taking: true, waiting: MANY_WAITING + 1, common: false })];
    assert.deepEqual(keepBounds(hosts, 0), { hold: false, overflow: [] });
  });

  it("waits, and nothing is given up, while the host with the most may yet take something", () => {
    const hosts = [new FakeHost({ waiting: MAX_WAITING, mayYetTake: true }), new FakeHost({ waiting: 1 })];
    assert.deepEqual(keepBounds(hosts, 0), { hold: true, overflow: [] });
  });
});

describe("hosts that take nothing", () => {
  it("keep 200,000 jobs in all", () => {
    const hosts = [new FakeHost({ waiting: MAX_WAITING - 5 }), new FakeHost({ waiting: 5 })];
    assert.deepEqual(keepBounds(hosts, 0), { hold: false, overflow: [] });
  });

  it("give up what is more, first those with the most, but none is spared for being a little shorter", () => {
    const hosts = [
      new FakeHost({ waiting: 150_000 }),
      new FakeHost({ waiting: 140_000 }),
      new FakeHost({ waiting: 1_000, taking: true }),
    ];
    const [first = 0, second = 0, third] = overflowOf(hosts);
    assert.equal(first + second, 91_000);
    assert.ok(first >= 10_000 && second >= 10_000, `${first} and ${second}`);
    assert.equal(third, 0);
    assert.equal(
      hosts.reduce((sum, { waiting }) => sum + waiting, 0),
      MAX_WAITING,
    );
  });
});

describe("what may yet have to be sent again", () => {
  it("is 150,000 jobs in all; of more, the oldest of the hosts with the most count as received", () => {
    const hosts = [
      new FakeHost({ unconfirmed: 120_000 }),
      new FakeHost({ unconfirmed: 100_000 }),
      new FakeHost({ unconfirmed: 10 }),
    ];
    assert.deepEqual(keepBounds(hosts, 0), { hold: false, overflow: [] });
    const left = hosts.map(({ unconfirmed }) => unconfirmed);
    assert.equal(left[2], 10);
    assert.ok(left.reduce((sum, each) => sum + each, 0) <= MAX_UNCONFIRMED);
    assert.ok(Math.min(left[0] ?? 0, left[1] ?? 0) >= 50_000, String(left));
  });

  it("is more when no host can be confirmed", () => {
    const stuck = new FakeHost({ unconfirmed: 200_000 });
    stuck.confirmEarly = () => {};
    assert.deepEqual(keepBounds([stuck], 0), { hold: false, overflow: [] });
  });
});
