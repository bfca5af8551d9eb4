import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { charset } from "../../../../src/destinations/openchange/codec/charset.ts";
import {
  decodeResolverRecord,
  distinctHosts,
  encodeResolverRecord,
  maxHosts,
} from "../../../../src/destinations/openchange/codec/resolver-record.ts";

const utf8 = charset("utf8");

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
