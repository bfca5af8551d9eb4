import { SpError } from "./errors.ts";

/** The protocol numbers of nanomsg's socket types (nanomsg/pipeline.h and its siblings). */
export const spProtocols = {
  PAIR: 0x10,
  PUB: 0x20,
  SUB: 0x21,
  REQ: 0x30,
  REP: 0x31,
  PUSH: 0x50,
  PULL: 0x51,
  SURVEYOR: 0x62,
  RESPONDENT: 0x63,
  BUS: 0x70,
} as const;

/** A name of `spProtocols`. */
export type SpProtocol = keyof typeof spProtocols;

const handshakeLength = 8;
/** NUL, "SP", and version 0 (SP over TCP, draft-sp-tcp-mapping). */
const magic = Buffer.from([0x00, 0x53, 0x50, 0x00]);

/** What both sides send first: `00 53 50 00 · u16 BE protocol · 00 00`. */
export function encodeHandshake(protocol: SpProtocol): Buffer {
  const bytes = Buffer.alloc(handshakeLength);
  magic.copy(bytes);
  bytes.writeUInt16BE(spProtocols[protocol], magic.length);
  return bytes;
}

/** Reads the peer's handshake from chunks of any size. */
export class HandshakeDecoder {
  readonly #expected: SpProtocol;
  readonly #peer: string;
  #received = Buffer.alloc(0);

  /** `expected` is what the peer must be; `peer` names it in errors. */
  constructor(expected: SpProtocol, peer: string) {
    this.#expected = expected;
    this.#peer = peer;
  }

  /**
   * Returns the bytes after the handshake when it is complete, `undefined` while it is not; not to be called again
   * after that. Throws `ERR_SP_HANDSHAKE` at the first byte that is not SP's, `ERR_SP_PEER_PROTOCOL` for a peer of
   * another type. The last two bytes are reserved and, as in nanomsg, not looked at.
   */
  feed(chunk: Buffer): Buffer | undefined {
    const missing = handshakeLength - this.#received.length;
    this.#received = Buffer.concat([this.#received, chunk.subarray(0, missing)]);
    const comparable = Math.min(this.#received.length, magic.length);
    if (!this.#received.subarray(0, comparable).equals(magic.subarray(0, comparable))) {
      throw new SpError(
        "ERR_SP_HANDSHAKE",
        `${this.#peer} is not a nanomsg socket: it began with ${this.#received.toString("hex")}`,
      );
    }
    if (this.#received.length < handshakeLength) return undefined;
    const protocol = this.#received.readUInt16BE(magic.length);
    if (protocol !== spProtocols[this.#expected]) {
      throw new SpError(
        "ERR_SP_PEER_PROTOCOL",
        `${this.#peer} is a ${protocolName(protocol)} socket, and a ${this.#expected} socket was expected`,
      );
    }
    return chunk.subarray(missing);
  }
}

function protocolName(protocol: number): string {
  const known = Object.entries(spProtocols).find(([, number]) => number === protocol);
  return known?.[0] ?? `0x${protocol.toString(16).padStart(4, "0")}`;
}
