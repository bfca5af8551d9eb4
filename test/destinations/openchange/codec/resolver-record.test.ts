import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { charset } from "../../../../src/destinations/openchange/codec/charset.ts";
import {
  decodeLastHosts,
  decodeResolverRecord,
  distinctHosts,
  encodeResolverRecord,
  maxHosts,
} from "../../../../src/destinations/openchange/codec/resolver-record.ts";

const utf8 = charset("utf8");

/** Also of hosts that are empty, which nobody writes. */
const record = (hosts: readonly string[]): Buffer => {
  const count = Buffer.alloc(9, 1);
  count.writeUInt32LE(hosts.length, 1);
  count.writeUInt32LE(hosts.length, 5);
  return Buffer.concat([count, ...hosts.map((each) => Buffer.from(`${each}\0`))]);
};

const failure = (decode: () => unknown): unknown => {
  try {
    decode();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
};

describe("the resolver record", () => {
  it("comes back as it went in, also with the same host twice", () => {
    const host = fc.string({ unit: "grapheme", minLength: 1 }).filter((each) => !each.includes("\0"));
    fc.assert(
      fc.property(fc.array(host), (hosts) => {
        assert.deepEqual(decodeResolverRecord(encodeResolverRecord(hosts, utf8), utf8), hosts);
      }),
    );
    const bytes = fc.uint8Array({ minLength: 1, min: 1 });
    fc.assert(
      fc.property(fc.array(bytes), (each) => {
        // Code page 850 has a character for each byte.
        const hosts = each.map((host) => charset("cp850").decode(host, "host"));
        assert.deepEqual(decodeResolverRecord(encodeResolverRecord(hosts)), hosts);
      }),
    );
    const twice = ["tcp://a:1", "tcp://b:1", "tcp://a:1"];
    assert.deepEqual(decodeResolverRecord(encodeResolverRecord(twice)), twice);
    assert.deepEqual(distinctHosts(twice), ["tcp://a:1", "tcp://b:1"]);
  });

  it("gives its last hosts, each once, and how many stand before them", () => {
    const host = fc.string({ unit: "grapheme-ascii", maxLength: 2 }).filter((each) => !each.includes("\0"));
    const name = fc.oneof(host, fc.constantFrom("tcp://a:1", "tcp://b:1"));
    fc.assert(
      fc.property(fc.array(name, { maxLength: 12 }), fc.integer({ min: 1, max: 14 }), (all, most) => {
        const { hosts, omitted } = decodeLastHosts(record(all), utf8, most);
        const distinct = [...new Set(all.toReversed())].toReversed();
        assert.deepEqual(hosts.toSorted(), distinct.slice(-most).toSorted());
        assert.equal(new Set([...all.slice(0, omitted), ...hosts]).size, distinct.length);
        assert.deepEqual([...new Set(all.slice(omitted))].toSorted(), hosts.toSorted());
      }),
    );
  });

  it("whose last hosts are wanted is refused as when all are", () => {
    const word = fc.constantFrom("\x01", "\x02\0\0\0\x02\0\0\0", "\x01\0\0\0\x01\0\0\0", "a\0", "\0", "b");
    fc.assert(
      fc.property(fc.array(word, { maxLength: 6 }), (words) => {
        const bytes = Buffer.from(`\x01${words.join("")}`, "latin1");
        const whole = failure(() => decodeResolverRecord(bytes));
        assert.equal(
          failure(() => decodeLastHosts(bytes, charset(), 1)),
          whole,
        );
      }),
      { numRuns: 2_000 },
    );
  });

  it("that claims four billion hosts is refused without room being made for them", () => {
    const record = Buffer.from("01ffffffffffffffff", "hex");
    const before = process.memoryUsage().arrayBuffers;
    assert.throws(() => decodeResolverRecord(record), { code: "ERR_NDR_COUNT", offset: 1 });
    assert.ok(process.memoryUsage().arrayBuffers - before < 1_000_000);
  });

  it("has at most 100,000 hosts", () => {
    const most = Array.from({ length: maxHosts }, (_, index) => `tcp://h:${index}`);
    assert.equal(decodeResolverRecord(encodeResolverRecord(most)).length, maxHosts);
    assert.throws(() => encodeResolverRecord([...most, "tcp://h:1"]), { code: "ERR_NDR_COUNT" });
  });

  it("that is cut anywhere, or goes on behind its end, is refused", () => {
    const record = encodeResolverRecord(["tcp://host1:9005", "tcp://host2:9006"]);
    for (let length = 0; length < record.length; length++) {
      assert.throws(() => decodeResolverRecord(record.subarray(0, length)), { code: "ERR_NDR_TRUNCATED" });
    }
    assert.throws(() => decodeResolverRecord(Buffer.concat([record, Buffer.of(0)])), { code: "ERR_NDR_TRAILING" });
  });

  it("has hosts in the dos charset", () => {
    const record = Buffer.concat([
      Buffer.from("010100000001000000", "hex"),
      Buffer.from("ipc:///run/\xd2\0", "latin1"),
    ]);
    assert.deepEqual(encodeResolverRecord(["ipc:///run/Ê"]), record);
    assert.deepEqual(decodeResolverRecord(record), ["ipc:///run/Ê"]);
    assert.deepEqual(decodeResolverRecord(record, charset("cp1252")), ["ipc:///run/Ò"]);
  });

  it("has hosts that are text", () => {
    for (const host of ["", "a\0b"]) {
      assert.throws(() => encodeResolverRecord([host]), { code: "ERR_RECORD_HOST" });
    }
    for (const host of ["\ud800", "ipc:///run/受信"]) {
      assert.throws(() => encodeResolverRecord([host]), { code: "ERR_CHARSET", message: /^host / });
    }
    const undefinedByte = Buffer.from("0101000000010000008100", "hex");
    for (const strings of [utf8, charset("cp1252")]) {
      assert.throws(() => decodeResolverRecord(undefinedByte, strings), {
        code: "ERR_CHARSET",
        message: /^host 0 81 /,
      });
    }
  });
});
