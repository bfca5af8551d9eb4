import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { charset } from "../../../src/destinations/openchange/codec/charset.ts";
import { encodeResolverRecord } from "../../../src/destinations/openchange/codec/resolver-record.ts";
import { HostLists } from "../../../src/destinations/openchange/host-lists.ts";

describe("the hosts of resolver records", () => {
  it("are each host once, and the same array for users who have the same", () => {
    const lists = new HostLists(charset());
    const hosts = ["tcp://10.0.0.5:1", "tcp://10.0.0.6:1", "tcp://10.0.0.5:1"];
    const first = lists.of("jdoe", encodeResolverRecord(hosts));
    assert.deepEqual(first.hosts, ["tcp://10.0.0.5:1", "tcp://10.0.0.6:1"]);
    assert.equal(lists.of("anna", encodeResolverRecord(hosts)), first);
    assert.deepEqual(lists.of("jdoe", encodeResolverRecord([])).hosts, []);
  });

  it("are right however many records there are", () => {
    const lists = new HostLists(charset());
    const addresses = Array.from({ length: 40_000 }, (_, n) => `tcp://10.0.${n >> 8}.${n & 255}:49152`);
    for (let time = 0; time < 2; time++) {
      for (const address of addresses) {
        assert.deepEqual(lists.of("jdoe", encodeResolverRecord([address])).hosts, [address]);
      }
    }
    const long = addresses.slice(0, 1_000);
    assert.deepEqual(lists.of("jdoe", encodeResolverRecord(long)).hosts, long);
  });

  it("are the last 1,024 of a long record, which no route remembers", () => {
    const lists = new HostLists(charset());
    const hosts = Array.from({ length: 5_000 }, (_, n) => `tcp://10.0.${n >> 8}.${n & 255}:49152`);
    const long = lists.of("jdoe", encodeResolverRecord(hosts));
    assert.deepEqual(long, { hosts: hosts.slice(-1_024), omitted: 5_000 - 1_024, short: false });
    assert.equal(lists.of("jdoe", encodeResolverRecord(hosts.slice(0, 2))).short, true);
  });

  it("are an error that names the user each time a record does not decode", () => {
    const lists = new HostLists(charset());
    for (const cn of ["jdoe", "anna"]) {
      assert.throws(() => lists.of(cn, Buffer.from("garbage")), {
        code: "ERR_RESOLVER_RECORD",
        message: new RegExp(cn),
      });
    }
  });
});
