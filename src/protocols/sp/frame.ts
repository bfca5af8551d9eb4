import { SpError } from "./errors.ts";
import type { SpAddress } from "./address.ts";

/** How messages are framed: `tcp` as `u64 BE length · body`, `ipc` the same with a byte `01` in front. */
export type SpTransport = SpAddress["transport"];

/** The largest message that libnanomsg's receiver takes by default (NN_RCVMAXSIZE), in bytes. */
export const defaultMaxMessageSize = 1024 * 1024;

const lengthBytes = 8;
/** ipc's frame type for a message in the stream; nanomsg has no other in use. */
const ipcInline = 0x01;

/** Bytes in front of each message. */
export function frameHeaderLength(transport: SpTransport): number {
  return transport === "ipc" ? lengthBytes + 1 : lengthBytes;
}

/** Writes the header for a message of `length` bytes at `offset`; returns the offset after it. */
export function writeFrameHeader(target: Buffer, offset: number, length: number, transport: SpTransport): number {
  let at = offset;
  if (transport === "ipc") target[at++] = ipcInline;
  // Two halves, because a bigint for each message would cost more than the rest of the header.
  at = target.writeUInt32BE(Math.floor(length / 0x1_0000_0000), at);
  return target.writeUInt32BE(length >>> 0, at);
}

/** The message with its header, in a new buffer. */
export function encodeFrame(message: Uint8Array, transport: SpTransport): Buffer {
  const frame = Buffer.allocUnsafe(frameHeaderLength(transport) + message.length);
  frame.set(message, writeFrameHeader(frame, 0, message.length, transport));
  return frame;
}

/**
 * Cuts a stream into messages. Keeps at most one unfinished message, and never allocates on the word of a length:
 * what is kept is at most twice what has arrived.
 */
export class FrameDecoder {
  readonly #transport: SpTransport;
  readonly #maxMessageSize: number;
  readonly #headerLength: number;
  /** The frame that has begun, in its first `#buffered` bytes. */
  #partial = Buffer.alloc(0);
  #buffered = 0;

  constructor(transport: SpTransport, maxMessageSize: number = defaultMaxMessageSize) {
    this.#transport = transport;
    this.#maxMessageSize = maxMessageSize;
    this.#headerLength = frameHeaderLength(transport);
  }

  /** Bytes of an unfinished message that are kept. */
  get buffered(): number {
    return this.#buffered;
  }

  /** Bytes of memory that an unfinished message holds: up to twice `buffered`. */
  get reserved(): number {
    return this.#partial.length;
  }

  /**
   * Hands each message that `chunk` completes to `onMessage`; a message inside one chunk is a view on it. Throws
   * `ERR_SP_MESSAGE_SIZE` for a message over the limit and `ERR_SP_FRAME` for an ipc frame of an unknown type, both
   * as soon as the header says so; the stream cannot go on after that.
   */
  feed(chunk: Buffer, onMessage: (message: Buffer) => void): void {
    let offset = 0;
    if (this.#buffered > 0) {
      offset += this.#collect(chunk, offset, this.#headerLength);
      if (this.#buffered < this.#headerLength) return;
      const frameLength = this.#headerLength + this.#readLength(this.#partial, 0);
      offset += this.#collect(chunk, offset, frameLength);
      if (this.#buffered < frameLength) return;
      const message = this.#partial.subarray(this.#headerLength, frameLength);
      this.#partial = Buffer.alloc(0);
      this.#buffered = 0;
      onMessage(message);
    }
    while (chunk.length - offset >= this.#headerLength) {
      const start = offset + this.#headerLength;
      const end = start + this.#readLength(chunk, offset);
      if (end > chunk.length) break;
      offset = end;
      onMessage(chunk.subarray(start, end));
    }
    if (offset < chunk.length) {
      // A type byte that is wrong must not wait for the length to arrive.
      this.#checkType(chunk, offset);
      this.#collect(chunk, offset, Number.POSITIVE_INFINITY);
    }
  }

  /** Keeps bytes of `chunk` until `target` bytes are kept; returns how many it took. */
  #collect(chunk: Buffer, offset: number, target: number): number {
    const taken = Math.max(0, Math.min(target - this.#buffered, chunk.length - offset));
    const needed = this.#buffered + taken;
    if (needed > this.#partial.length) {
      // Doubling, so that a peer that sends single bytes costs neither much memory nor much copying.
      const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#partial.length * 2));
      this.#partial.copy(grown, 0, 0, this.#buffered);
      this.#partial = grown;
    }
    chunk.copy(this.#partial, this.#buffered, offset, offset + taken);
    this.#buffered = needed;
    return taken;
  }

  /** The length in the header at `offset`, checked. */
  #readLength(bytes: Buffer, offset: number): number {
    this.#checkType(bytes, offset);
    const at = offset + this.#headerLength - lengthBytes;
    // Inexact from 2^53 on, which is far over any limit.
    const length = bytes.readUInt32BE(at) * 0x1_0000_0000 + bytes.readUInt32BE(at + 4);
    if (length > this.#maxMessageSize) {
      throw new SpError(
        "ERR_SP_MESSAGE_SIZE",
        `a message of ${bytes.readBigUInt64BE(at)} bytes is over the limit of ${this.#maxMessageSize}`,
      );
    }
    return length;
  }

  #checkType(bytes: Buffer, offset: number): void {
    if (this.#transport === "ipc" && bytes[offset] !== ipcInline) {
      throw new SpError("ERR_SP_FRAME", `an ipc frame begins with type ${bytes[offset]}, and only 1 (inline) is known`);
    }
  }
}
