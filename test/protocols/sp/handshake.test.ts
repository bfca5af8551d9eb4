import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { SpError } from "../../../src/protocols/sp/errors.ts";
import { encodeHandshake, HandshakeDecoder } from "../../../src/protocols/sp/handshake.ts";

describe("the handshake", () => {
  it("is eight bytes that name the protocol", () => {
    assert.equal(encodeHandshake("PUSH").toString("hex"), "0053500000500000");
    assert.equal(encodeHandshake("PULL").toString("hex"), "0053500000510000");
  });

  it("is read at every split, and what follows is handed back", () => {
    const bytes = Buffer.concat([encodeHandshake("PULL"), Buffer.from("rest")]);
    for (let split = 0; split <= bytes.length; split++) {
      const decoder = new HandshakeDecoder("PULL", "peer");
      const first = decoder.feed(bytes.subarray(0, split));
      const rest =
        first === undefined ? decoder.feed(bytes.subarray(split)) : Buffer.concat([first, bytes.subarray(split)]);
      assert.equal(rest?.toString(), "rest", `split at ${split}`);
    }
  });

  it("names the peer and what it is when it is not what it should be", () => {
    assert.throws(() => new HandshakeDecoder("PULL", "tcp://h:1").feed(encodeHandshake("SUB")), {
      code: "ERR_SP_PEER_PROTOCOL",
      message: "tcp://h:1 is a SUB socket, and a PULL socket was expected",
    });
    assert.throws(() => new HandshakeDecoder("PULL", "x").feed(Buffer.from("0053500012340000", "hex")), {
      code: "ERR_SP_PEER_PROTOCOL",
      message: /0x1234/,
    });
  });

  it("refuses garbage at the first byte that is wrong", () => {
    assert.throws(() => new HandshakeDecoder("PULL", "x").feed(Buffer.from("HTTP")), { code: "ERR_SP_HANDSHAKE" });
    assert.throws(() => new HandshakeDecoder("PULL", "x").feed(Buffer.from("005351", "hex")), {
      code: "ERR_SP_HANDSHAKE",
    });
  });

  it("survives arbitrary bytes in arbitrary pieces", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 12 })), (chunks) => {
        const decoder = new HandshakeDecoder("PUSH", "x");
        try {
          for (const chunk of chunks) if (decoder.feed(Buffer.from(chunk)) !== undefined) return;
        } catch (error) {
          assert.ok(error instanceof SpError);
        }
      }),
    );
  });
});
