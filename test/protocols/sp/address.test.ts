import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { formatAddress, parseAddress } from "../../../src/protocols/sp/address.ts";
import { SpError } from "../../../src/protocols/sp/errors.ts";

describe("an address", () => {
  for (const [text, address] of [
    ["tcp://127.0.0.1:5000", { transport: "tcp", host: "127.0.0.1", port: 5000 }],
    ["tcp://[::1]:5000", { transport: "tcp", host: "::1", port: 5000 }],
    ["tcp://mail-1.example.com:65535", { transport: "tcp", host: "mail-1.example.com", port: 65_535 }],
    ["tcp://host1:9005", { transport: "tcp", host: "host1", port: 9005 }],
    ["ipc:///run/openchange.sock", { transport: "ipc", path: "/run/openchange.sock" }],
  ] as const) {
    it(`${text} is read and written alike`, () => {
      assert.deepEqual(parseAddress(text), address);
      assert.deepEqual(parseAddress(text, "bind"), address);
      assert.equal(formatAddress(address), text);
    });
  }

  it("may name every interface and any port for listening", () => {
    assert.deepEqual(parseAddress("tcp://*:0", "bind"), { transport: "tcp", host: "*", port: 0 });
    assert.deepEqual(parseAddress("tcp://127.0.0.1:0", "bind"), { transport: "tcp", host: "127.0.0.1", port: 0 });
  });

  for (const [text, reason] of [
    ["tcp://", /expected tcp:\/\/host:port/],
    ["tcp://*:1", /only for listening/],
    ["inproc://x", /only tcp:\/\/ and ipc:\/\//],
    ["ws://127.0.0.1:80", /only tcp:\/\/ and ipc:\/\//],
    ["127.0.0.1:5000", /only tcp:\/\/ and ipc:\/\//],
    ["", /only tcp:\/\/ and ipc:\/\//],
    ["ipc://relative/path", /absolute path/],
    ["ipc://", /absolute path/],
    ["ipc:///", /absolute path/],
    ["ipc:///a\0b", /absolute path/],
    [`ipc:///${"x".repeat(107)}`, /at most 107 bytes/],
    ["tcp://127.0.0.1:0", /1 to 65535/],
    ["tcp://127.0.0.1:70000", /1 to 65535/],
    ["tcp://127.0.0.1", /expected tcp:\/\/host:port/],
    ["tcp://127.0.0.1:", /expected tcp:\/\/host:port/],
    ["tcp://127.0.0.1:-1", /expected tcp:\/\/host:port/],
    ["tcp://127.0.0.1:http", /expected tcp:\/\/host:port/],
    ["tcp://eth0;127.0.0.1:5000", /interface;host:port is not supported/],
    ["tcp://::1:5000", /in brackets/],
    ["tcp://[127.0.0.1]:5000", /not an IPv6 address/],
    ["tcp://:5000", /the host must be/],
    ["tcp://10.0.0.300:5000", /the host must be/],
    ["tcp://a b:5000", /the host must be/],
    ["tcp://user@host:5000", /the host must be/],
  ] as const) {
    it(`${JSON.stringify(text)} is refused for connecting`, () => {
      assert.throws(() => parseAddress(text), { code: "ERR_SP_ADDRESS", canRetry: false, message: reason });
      assert.throws(() => parseAddress(text), { message: new RegExp(`^${escape(JSON.stringify(text))}`) });
    });
  }

  for (const [what, text, message] of [
    ["a host that is too long", `tcp://${"x".repeat(1_000_000)}:1`, /^"tcp:\/\/x{294}…" is not .* at most 1024 char/],
    [
      "a zone that is too long",
      `tcp://[fe80::1%${"x".repeat(1_024)}]:1`,
      /^"tcp:[^"]{297}" is not .* at most 1024 char/,
    ],
    ["a host that is no name", `tcp://${"x".repeat(1_000)}:1`, /^"tcp:\/\/x{294}…" is not .* the host must be a name/],
  ] as const) {
    it(`with ${what} is refused, with an error that shows the beginning of it`, () => {
      assert.throws(() => parseAddress(text), { code: "ERR_SP_ADDRESS", canRetry: false, message });
    });
  }

  it("is read or refused, whatever the text", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.string().map((rest) => `tcp://${rest}:1`),
        ),
        (text) => {
          try {
            assert.equal(formatAddress(parseAddress(text)), text);
          } catch (error) {
            assert.ok(error instanceof SpError);
          }
        },
      ),
    );
  });
});

function escape(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
}
