import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { SpError } from "../../../src/protocols/sp/errors.ts";
import { encodeFrame, FrameDecoder, frameHeaderLength, writeFrameHeader } from "../../../src/protocols/sp/frame.ts";

function decode(decoder: FrameDecoder, chunks: readonly Uint8Array[]): string[] {
  const messages: Buffer[] = [];
  for (const chunk of chunks) decoder.feed(Buffer.from(chunk), (message) => messages.push(message));
  return messages.map((message) => message.toString("hex"));
}

for (const transport of ["tcp", "ipc"] as const) {
  describe(`frames over ${transport}`, () => {
    const messages = ["", "6f", "00", "0102", "ff".repeat(20), ""];
    const stream = Buffer.concat(messages.map((hex) => encodeFrame(Buffer.from(hex, "hex"), transport)));

    it("are written as nanomsg does", () => {
      const prefix = transport === "ipc" ? "01" : "";
      assert.equal(encodeFrame(Buffer.from("abc"), transport).toString("hex"), `${prefix}0000000000000003616263`);
      const target = Buffer.alloc(20, 0xee);
      const end = writeFrameHeader(target, 2, 0x1_0000_0002, transport);
      assert.equal(end, 2 + frameHeaderLength(transport));
      assert.equal(target.subarray(2, end).toString("hex"), `${prefix}0000000100000002`);
      assert.equal(target[end], 0xee);
    });

    it("come out the same at every split in two and in three", () => {
      for (let one = 0; one <= stream.length; one++) {
        for (let two = one; two <= stream.length; two++) {
          const chunks = [stream.subarray(0, one), stream.subarray(one, two), stream.subarray(two)];
          assert.deepEqual(decode(new FrameDecoder(transport), chunks), messages, `split at ${one} and ${two}`);
        }
      }
    });

    it("come out the same byte by byte, and nothing is kept behind", () => {
      const decoder = new FrameDecoder(transport);
      const bytes = Array.from(stream, (byte) => Buffer.of(byte));
      assert.deepEqual(decode(decoder, bytes), messages);
      assert.equal(decoder.buffered, 0);
    });

    it("over the limit are refused from the header alone", () => {
      const header = Buffer.alloc(frameHeaderLength(transport));
      const atLimit = writeFrameHeader(header, 0, 100, transport);
      assert.equal(atLimit, header.length);
      assert.deepEqual(decode(new FrameDecoder(transport, 100), [header]), []);
      writeFrameHeader(header, 0, 101, transport);
      assert.throws(() => decode(new FrameDecoder(transport, 100), [header]), { code: "ERR_SP_MESSAGE_SIZE" });
      header.writeBigUInt64BE(2n ** 63n, header.length - 8);
      assert.throws(() => decode(new FrameDecoder(transport), [header]), {
        code: "ERR_SP_MESSAGE_SIZE",
        message: /9223372036854775808 bytes/,
      });
    });

    it("survive arbitrary bytes, keeping no more than arrived", () => {
      fc.assert(
        fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), (chunks) => {
          const decoder = new FrameDecoder(transport, 64);
          let fed = 0;
          try {
            for (const chunk of chunks) {
              fed += chunk.length;
              decode(decoder, [chunk]);
              assert.ok(decoder.buffered <= fed);
              assert.ok(decoder.buffered < 64 + frameHeaderLength(transport));
            }
          } catch (error) {
            assert.ok(error instanceof SpError);
          }
        }),
      );
    });
  });
}

describe("a frame over ipc", () => {
  it("of an unknown type is refused at its first byte", () => {
    assert.throws(() => decode(new FrameDecoder("ipc"), [Buffer.of(2)]), { code: "ERR_SP_FRAME" });
  });
});

describe("a large message in single bytes", () => {
  it("takes time in proportion to its size", () => {
    const message = Buffer.alloc(1024 * 1024, 0x61);
    const frame = encodeFrame(message, "tcp");
    const decoder = new FrameDecoder("tcp");
    let received: Buffer | undefined;
    for (let index = 0; index < frame.length; index++) {
      decoder.feed(frame.subarray(index, index + 1), (each) => (received = each));
    }
    assert.ok(received?.equals(message));
  });
});
