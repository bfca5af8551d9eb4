import { createServer, type Server, type Socket } from "node:net";
import { formatAddress, parseAddress, type SpAddress } from "./address.ts";
import { SpError } from "./errors.ts";
import { FairQueue } from "./fair-queue.ts";
import { defaultMaxMessageSize } from "./frame.ts";
import { listen } from "./listen.ts";
import { PullPeer } from "./pull-peer.ts";

/** What `bindPull` can be told. */
export interface PullOptions {
  /** Bytes; a peer that sends a larger message is dropped. Default 1 MiB, as in libnanomsg. */
  maxMessageSize?: number;
  /** Messages that wait for the consumer before reading from the peers stops. Default 1000. */
  highWaterMark?: number;
  /** How long a peer may take for its handshake. Default 10 s. */
  handshakeTimeoutMs?: number;
  /** Connections at the same time; more are dropped. Default 10,000. */
  maxPeers?: number;
}

/** Large messages reach this before they reach the high-water mark. */
const maxQueuedBytes = 16 * 1024 * 1024;
/**
 * Bytes of memory that the unfinished messages of all peers may hold together. Beyond it the peer whose message was begun
 * first is dropped: a whole message of 1 MiB comes within moments, so that is one which never ends its message.
 */
const maxUnfinishedBytes = 64 * 1024 * 1024;
const defaults = { highWaterMark: 1000, handshakeTimeoutMs: 10_000, maxPeers: 10_000 };

/**
 * Listens at `address` (`tcp://host:port`, `tcp://*:port`, `ipc:///path`; port 0 is any) for PUSH sockets.
 * Rejects with `ERR_SP_ADDRESS`, `ERR_SP_IN_USE`, or what else the system says.
 */
export async function bindPull(address: string, options: PullOptions = {}): Promise<PullSocket> {
  const server = createServer({ noDelay: true, keepAlive: true });
  server.maxConnections = options.maxPeers ?? defaults.maxPeers;
  const bound = await listen(server, parseAddress(address, "bind"));
  return new PullSocket(server, bound, options);
}

/**
 * Receives from any number of PUSH sockets. Iterate over it for the messages, each of them a Buffer: in order per peer,
 * the peers in turn. When the consumer lags, reading stops and the senders feel it; memory stays bounded. A peer that
 * breaks the protocol is dropped and the others go on.
 */
export class PullSocket implements AsyncIterable<Buffer> {
  /** Where it listens, with the real port. */
  readonly address: string;
  readonly #server: Server;
  readonly #options: PullOptions;
  readonly #queue = new FairQueue<PullPeer, Buffer>();
  readonly #peers = new Set<PullPeer>();
  /** Bytes that an unfinished message holds, by its peer; the one that was begun first comes first. */
  readonly #unfinished = new Map<PullPeer, number>();
  #unfinishedBytes = 0;
  readonly #waiting: ((result: IteratorResult<Buffer, undefined>) => void)[] = [];
  readonly #errorListeners: ((error: SpError, peer: string) => void)[] = [];
  readonly #transport: SpAddress["transport"];
  readonly #highWaterMark: number;
  #paused = false;
  #closing: Promise<void> | undefined;

  /** Made by `bindPull`. */
  constructor(server: Server, address: SpAddress, options: PullOptions) {
    this.address = formatAddress(address);
    this.#transport = address.transport;
    this.#server = server;
    this.#options = options;
    this.#highWaterMark = options.highWaterMark ?? defaults.highWaterMark;
    server.on("connection", (socket) => this.#accept(socket));
    server.on("drop", () =>
      this.#report(new SpError("ERR_SP_CLOSED", `${this.address}: too many connections`), this.address),
    );
    // Running out of file descriptors must not end the process: accepting goes on when there are some again.
    server.on("error", (error) =>
      this.#report(new SpError("ERR_SP_IO", `${this.address}: ${error.message}`, { cause: error }), this.address),
    );
  }

  /** Connections at this moment. */
  get peerCount(): number {
    return this.#peers.size;
  }

  /** `listener` hears why a peer was dropped: garbage, a wrong socket type, a message over the limit, a broken connection. */
  onPeerError(listener: (error: SpError, peer: string) => void): void {
    this.#errorListeners.push(listener);
  }

  /** Leaving a loop over it takes nothing more and leaves it open; several loops share the messages. */
  [Symbol.asyncIterator](): AsyncIterator<Buffer, undefined> {
    return {
      next: () => this.#next(),
      return: () => Promise.resolve({ done: true, value: undefined }),
    };
  }

  /**
   * Stops listening and drops the peers; iterating still yields what was received and then ends. Resolves when the
   * address is free again, for ipc also its file is gone.
   */
  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      this.#server.close(() => resolve());
      for (const peer of this.#peers) peer.destroy();
      for (const resolveNext of this.#waiting.splice(0)) resolveNext({ done: true, value: undefined });
    });
    return this.#closing;
  }

  #accept(socket: Socket): void {
    const peer = new PullPeer(socket, {
      transport: this.#transport,
      name: peerName(socket, this.address),
      maxMessageSize: this.#options.maxMessageSize ?? defaultMaxMessageSize,
      handshakeTimeoutMs: this.#options.handshakeTimeoutMs ?? defaults.handshakeTimeoutMs,
      onMessage: (message) => this.#receive(peer, message),
      onUnfinished: (bytes, completed) => this.#keep(peer, bytes, completed),
      onClose: (error) => {
        this.#peers.delete(peer);
        this.#keep(peer, 0, true);
        if (error !== undefined) this.#report(error, peer.name);
      },
    });
    this.#peers.add(peer);
    if (this.#paused) peer.pause();
  }

  #receive(peer: PullPeer, message: Buffer): void {
    if (this.#closing !== undefined) return;
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) {
      waiting({ done: false, value: message });
      return;
    }
    this.#queue.push(peer, message);
    if (!this.#paused && (this.#queue.size >= this.#highWaterMark || this.#queue.bytes >= maxQueuedBytes)) {
      this.#paused = true;
      for (const each of this.#peers) each.pause();
    }
  }

  /** Takes note of what a peer's unfinished message holds, and keeps all of them within their bound. */
  #keep(peer: PullPeer, bytes: number, completed: boolean): void {
    const before = this.#unfinished.get(peer) ?? 0;
    if (before === 0 && bytes === 0) return;
    this.#unfinishedBytes += bytes - before;
    if (completed) this.#unfinished.delete(peer);
    if (bytes > 0) this.#unfinished.set(peer, bytes);
    for (const [oldest, held] of this.#unfinished) {
      if (this.#unfinishedBytes <= maxUnfinishedBytes) break;
      this.#unfinished.delete(oldest);
      this.#unfinishedBytes -= held;
      const limit = maxUnfinishedBytes / 1024 ** 2;
      const message = `${oldest.name}: dropped, its message is unfinished for longest and all of them hold over ${limit} MiB`;
      oldest.drop(new SpError("ERR_SP_MESSAGE_SIZE", message));
    }
  }

  async #next(): Promise<IteratorResult<Buffer, undefined>> {
    const message = this.#queue.shift();
    if (message !== undefined) {
      this.#resumeWhenLow();
      return { done: false, value: message };
    }
    if (this.#closing !== undefined) return { done: true, value: undefined };
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Half of the mark, so that the sockets are not switched on and off for each message. */
  #resumeWhenLow(): void {
    if (!this.#paused) return;
    if (this.#queue.size > this.#highWaterMark / 2 || this.#queue.bytes > maxQueuedBytes / 2) return;
    this.#paused = false;
    for (const peer of this.#peers) peer.resume();
  }

  #report(error: SpError, peer: string): void {
    for (const listener of this.#errorListeners) listener(error, peer);
  }
}

function peerName(socket: Socket, address: string): string {
  const { remoteAddress: host, remotePort: port } = socket;
  if (host === undefined || port === undefined) return address;
  return formatAddress({ transport: "tcp", host, port });
}
