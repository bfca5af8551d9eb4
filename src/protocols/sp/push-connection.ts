import { connect, type LookupFunction, type Socket } from "node:net";
import { formatAddress, parseAddress, type SpAddress } from "./address.ts";
import { fromSystemError, SpError } from "./errors.ts";
import { encodeHandshake, HandshakeDecoder } from "./handshake.ts";
import type { SpTransport } from "./frame.ts";

const keepAliveMs = 60_000;

export interface ConnectOptions {
  readonly connectTimeoutMs: number;
  /** How the host's name is looked up; Node's own way by default. */
  readonly lookup?: LookupFunction | undefined;
}

/**
 * Connects to a PULL socket and shakes hands.
 *
 * `connectTimeoutMs` covers all of it: name look-up, connection and handshake, because the kernel accepts for a process
 * that is stopped. Rejects with an `SpError`, whatever goes wrong.
 */
export async function connectPush(address: string | SpAddress, options: ConnectOptions): Promise<PushConnection> {
  return shakeHands(typeof address === "string" ? parseAddress(address) : address, options);
}

function shakeHands(address: SpAddress, { connectTimeoutMs, lookup }: ConnectOptions): Promise<PushConnection> {
  const name = formatAddress(address);
  const { promise, resolve, reject } = deferred<PushConnection>();
  const socket = openSocket(address, lookup);
  const handshake = new HandshakeDecoder("PULL", name);
  const timer = setTimeout(() => {
    fail(new SpError("ERR_SP_TIMEOUT", `${name}: no connection and handshake within ${connectTimeoutMs} ms`));
  }, connectTimeoutMs);

  function release(): void {
    clearTimeout(timer);
    socket.removeAllListeners("connect").removeAllListeners("data").removeAllListeners("end");
    socket.removeAllListeners("error");
  }
  function fail(error: SpError): void {
    release();
    // A destroyed socket can still report an error that was on its way.
    socket.on("error", () => {});
    socket.destroy();
    reject(error);
  }
  socket.on("connect", () => socket.write(encodeHandshake("PUSH")));
  socket.on("error", (error) => fail(fromSystemError(error, name)));
  socket.on("end", () => fail(new SpError("ERR_SP_CLOSED", `${name}: the peer closed instead of shaking hands`)));
  socket.on("data", (chunk: Buffer) => {
    try {
      const rest = handshake.feed(chunk);
      if (rest === undefined) return;
      if (rest.length > 0) throw unexpectedData(name);
      release();
      resolve(new PushConnection(socket, address.transport, name));
    } catch (error) {
      fail(fromSystemError(error, name));
    }
  });
  return promise;
}

/**
 * A live connection to a PULL socket, after the handshake.
 *
 * SP has no acknowledgement: the most that a sender can know is that the kernel took the bytes while the peer was
 * connected. A PULL socket never sends a message, so data from the peer ends the connection with `ERR_SP_FRAME`; that
 * also keeps reading going, which is how a peer that closes is noticed at once.
 */
export class PushConnection {
  /** How the caller must frame what it writes. */
  readonly transport: SpTransport;
  /** The peer, as an address. */
  readonly address: string;
  readonly #socket: Socket;
  #bytesDrained = 0;
  #endedHere = false;
  #failure: SpError | undefined;
  #closed = false;
  #onClose: ((error: SpError | undefined) => void) | undefined;

  /** Made by `connectPush`. */
  constructor(socket: Socket, transport: SpTransport, address: string) {
    this.#socket = socket;
    this.transport = transport;
    this.address = address;
    socket.on("data", () => this.#fail(unexpectedData(address)));
    socket.on("end", () => this.#fail(new SpError("ERR_SP_CLOSED", `${address}: the peer closed the connection`)));
    socket.on("error", (error) => this.#fail(fromSystemError(error, address)));
    socket.on("close", () => this.#finish());
  }

  /** Bytes that the kernel has taken since the handshake. */
  get bytesDrained(): number {
    return this.#bytesDrained;
  }

  /** Whether the connection has ended; `onClose` tells why. */
  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Sends whole frames; `framed` must not change until `onDrained`, which is called when the kernel has taken all of it
   * and never when the connection ends before. Writes are taken in order.
   */
  write(framed: Buffer, onDrained: () => void): void {
    this.#socket.write(framed, (error) => {
      // A connection that failed counts nothing: the caller sends again whatever was not drained when it ended.
      if (error instanceof Error || this.#failure !== undefined || this.#closed) return;
      this.#bytesDrained += framed.length;
      onDrained();
    });
  }

  /**
   * `listener` is called exactly once, however the connection ends, also when it has ended already: without an error
   * when this side ended it. One listener per connection; no `onDrained` comes after it.
   */
  onClose(listener: (error: SpError | undefined) => void): void {
    this.#onClose = listener;
    if (this.#closed) queueMicrotask(() => this.#report());
  }

  /** Ends the connection once the kernel has taken what was written. */
  end(): void {
    this.#endedHere = true;
    this.#socket.destroySoon();
  }

  /** Ends the connection now; what the kernel has not taken is not sent. */
  destroy(): void {
    this.#endedHere = true;
    this.#socket.destroy();
  }

  #fail(error: SpError): void {
    if (!this.#endedHere) this.#failure ??= error;
    this.#socket.destroy();
  }

  #finish(): void {
    this.#closed = true;
    // Without an error and without a word from the peer, Node has closed the socket for a reason of its own.
    if (!this.#endedHere) this.#failure ??= new SpError("ERR_SP_CLOSED", `${this.address}: the connection closed`);
    this.#report();
  }

  #report(): void {
    const listener = this.#onClose;
    this.#onClose = undefined;
    listener?.(this.#failure);
  }
}

function openSocket(address: SpAddress, lookup: LookupFunction | undefined): Socket {
  if (address.transport === "ipc") return connect({ path: address.path });
  // Notifications are small and late ones are worthless, so Nagle's algorithm is off.
  return connect({
    host: address.host,
    port: address.port,
    ...(lookup !== undefined && { lookup }),
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: keepAliveMs,
  });
}

function unexpectedData(name: string): SpError {
  return new SpError("ERR_SP_FRAME", `${name} sent data, which a PULL socket never does`);
}

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: SpError) => void } {
  let resolve!: (value: T) => void;
  let reject!: (error: SpError) => void;
  const promise = new Promise<T>((fulfill, refuse) => {
    resolve = fulfill;
    reject = refuse;
  });
  return { promise, resolve, reject };
}
