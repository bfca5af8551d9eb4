import type { Socket } from "node:net";
import { fromSystemError, SpError } from "./errors.ts";
import { FrameDecoder, type SpTransport } from "./frame.ts";
import { encodeHandshake, HandshakeDecoder } from "./handshake.ts";

/** What a `PullPeer` needs to know and whom it tells. */
export interface PullPeerOptions {
  readonly transport: SpTransport;
  /** Names the peer in errors. */
  readonly name: string;
  /** Bytes. */
  readonly maxMessageSize: number;
  readonly handshakeTimeoutMs: number;
  readonly onMessage: (message: Buffer) => void;
  /** After each chunk: the bytes that an unfinished message now holds, and whether the chunk completed a message. */
  readonly onUnfinished: (bytes: number, completed: boolean) => void;
  /** Once; without an error when the peer closed between two messages, or `destroy` was called. */
  readonly onClose: (error: SpError | undefined) => void;
}

/** One accepted connection of a PULL socket: handshake, then messages. */
export class PullPeer {
  readonly name: string;
  readonly #socket: Socket;
  readonly #options: PullPeerOptions;
  readonly #frames: FrameDecoder;
  readonly #timer: NodeJS.Timeout;
  #handshake: HandshakeDecoder | undefined;
  #paused = false;
  /** Whether the chunk that is being read has completed a message. */
  #completed = false;
  #failure: SpError | undefined;
  #destroyedHere = false;

  constructor(socket: Socket, options: PullPeerOptions) {
    this.name = options.name;
    this.#socket = socket;
    this.#options = options;
    this.#frames = new FrameDecoder(options.transport, options.maxMessageSize);
    this.#handshake = new HandshakeDecoder("PUSH", options.name);
    this.#timer = setTimeout(
      () =>
        this.#fail(new SpError("ERR_SP_TIMEOUT", `${this.name}: no handshake within ${options.handshakeTimeoutMs} ms`)),
      options.handshakeTimeoutMs,
    );
    socket.write(encodeHandshake("PULL"));
    socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    socket.on("end", () => this.#onEnd());
    socket.on("error", (error) => this.#fail(fromSystemError(error, this.name)));
    socket.on("close", () => {
      clearTimeout(this.#timer);
      this.#options.onClose(this.#destroyedHere ? undefined : this.#failure);
    });
  }

  /** Stops reading messages; a handshake still goes on, or the peer would be dropped for being slow. */
  pause(): void {
    this.#paused = true;
    if (this.#handshake === undefined) this.#socket.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#socket.resume();
  }

  destroy(): void {
    this.#destroyedHere = true;
    this.#socket.destroy();
  }

  /** Ends the connection for a fault of the peer, which `onClose` then names. */
  drop(error: SpError): void {
    this.#fail(error);
  }

  #onData(chunk: Buffer): void {
    try {
      const rest = this.#handshake === undefined ? chunk : this.#shakeHands(this.#handshake, chunk);
      if (rest === undefined || rest.length === 0) return;
      this.#completed = false;
      this.#frames.feed(rest, this.#onMessage);
      this.#options.onUnfinished(this.#frames.reserved, this.#completed);
    } catch (error) {
      this.#fail(this.#named(error));
    }
  }

  readonly #onMessage = (message: Buffer): void => {
    this.#completed = true;
    this.#options.onMessage(message);
  };

  #shakeHands(handshake: HandshakeDecoder, chunk: Buffer): Buffer | undefined {
    const rest = handshake.feed(chunk);
    if (rest === undefined) return undefined;
    this.#handshake = undefined;
    clearTimeout(this.#timer);
    if (this.#paused) this.#socket.pause();
    return rest;
  }

  #onEnd(): void {
    if (this.#handshake !== undefined) {
      this.#fail(new SpError("ERR_SP_CLOSED", `${this.name} closed instead of shaking hands`));
    } else if (this.#frames.buffered > 0) {
      this.#fail(new SpError("ERR_SP_CLOSED", `${this.name} closed in the middle of a message`));
    }
  }

  #fail(error: SpError): void {
    this.#failure ??= error;
    this.#socket.destroy();
  }

  /** A decoder does not know whose bytes it reads. */
  #named(error: unknown): SpError {
    if (error instanceof SpError && !error.message.startsWith(this.name)) {
      return new SpError(error.code, `${this.name}: ${error.message}`, { cause: error });
    }
    return fromSystemError(error, this.name);
  }
}
