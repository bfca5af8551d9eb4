import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Endpoint } from "../../../src/destinations/openchange/endpoint.ts";
import { Share } from "../../../src/destinations/openchange/share.ts";

interface FakeEndpoint {
  open: boolean;
  size: number;
  readonly users: Set<Share>;
  hangUp(): void;
}

/** A host to which nothing is connected and for which nothing waits. */
function host(fields: { open?: boolean; size?: number } = {}): FakeEndpoint & Endpoint {
  const endpoint: FakeEndpoint = {
    open: fields.open ?? false,
    size: fields.size ?? 0,
    users: new Set(),
    hangUp() {
      endpoint.open = false;
    },
  };
  return endpoint as FakeEndpoint & Endpoint;
}

describe("the share of one who is not trusted", () => {
  it("has 64 hosts; one that was not used for a minute and for which nothing waits makes room", () => {
    const share = new Share(33, 16_384);
    const hosts = Array.from({ length: 64 }, (_, index) => host({ size: index === 0 ? 0 : 1 }));
    for (const each of hosts) assert.ok(share.use(each, 0));
    const [first, second] = hosts as [Endpoint, Endpoint];
    const more = host({ size: 1 });
    assert.equal(share.use(more, 59_000), false);
    assert.equal(more.users.size, 0);
    assert.equal(share.use(second, 59_000), true, "one that it has");
    assert.equal(share.use(more, 61_000), true);
    assert.equal(first.users.size, 0, "forgotten");
    assert.equal(share.use(first, 200_000), false, "for all others something waits");
    share.release(second);
    assert.equal(share.use(first, 200_000), true);
  });

  for (const [max, most] of [
    [16_384, 16],
    [40, 5],
    [1, 1],
  ] as const) {
    it(`has ${most} of ${max} connections, and closes what it does not need`, () => {
      const share = new Share(33, max);
      const busy = Array.from({ length: most }, () => host({ open: true, size: 1 }));
      for (const each of busy.slice(1)) share.use(each, 0);
      assert.equal(share.mayConnect, true);
      const [last] = busy as [FakeEndpoint & Endpoint];
      share.use(last, 0);
      assert.equal(share.mayConnect, false);
      assert.ok(busy.every(({ open }) => open));
      (last as FakeEndpoint).size = 0;
      assert.equal(share.mayConnect, false, "not before it is closed");
      assert.equal(last.open, false);
      assert.equal(share.mayConnect, true);
    });
  }
});
