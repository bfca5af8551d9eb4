import { parseAddress, type SpAddress } from "./address.ts";
import { SpError } from "./errors.ts";
import { defaultMaxMessageSize, encodeFrame } from "./frame.ts";
import { connectPush, type PushConnection } from "./push-connection.ts";

/** What `createPush` can be told. */
export interface PushOptions {
  /** For connection and handshake together. Default 5 s. */
  connectTimeoutMs?: number;
  /** How long `close` waits for the peer to take what was sent. Default 5 s. */
  closeTimeoutMs?: number;
  /** Bytes; the receiver's limit. Default 1 MiB, as in libnanomsg. */
  maxMessageSize?: number;
}

const defaultTimeoutMs = 5000;

/** A connection and the sends that wait for it to take their bytes. */
interface Link {
  readonly connection: PushConnection;
  readonly waiting: Set<(error: SpError) => void>;
  readonly closed: Promise<void>;
}

/**
 * A PUSH socket for the PULL socket at `address`. It connects with the first message; after a failure, with the next.
 * Throws `ERR_SP_ADDRESS`.
 */
export function createPush(address: string, options: PushOptions = {}): PushSocket {
  return new PushSocket(parseAddress(address), address, options);
}

/** Sends messages to one PULL socket, in order. */
export class PushSocket {
  /** As it was given. */
  readonly address: string;
  readonly #target: SpAddress;
  readonly #options: PushOptions;
  #link: Promise<Link> | undefined;
  #closing: Promise<void> | undefined;

  /** Made by `createPush`. */
  constructor(target: SpAddress, address: string, options: PushOptions) {
    this.address = address;
    this.#target = target;
    this.#options = options;
  }

  /**
   * Resolves when the kernel has taken the message for a live peer, which is all that SP can tell; a peer that does not
   * read delays it. Rejects with an `SpError` when that did not happen: the message was perhaps sent in part, never
   * twice, and `canRetry` says whether to send it again.
   */
  async send(payload: Uint8Array): Promise<void> {
    if (this.#closing !== undefined) throw this.#closedError();
    const limit = this.#options.maxMessageSize ?? defaultMaxMessageSize;
    if (payload.length > limit) {
      throw new SpError("ERR_SP_MESSAGE_SIZE", `a message of ${payload.length} bytes is over the limit of ${limit}`);
    }
    // Framed, and so copied, at once: the caller may use its buffer again.
    const frame = encodeFrame(payload, this.#target.transport);
    // All sends wait for the same promise, so they go on in the order of the calls.
    const { connection, waiting } = await (this.#link ??= this.#connect());
    await new Promise<void>((resolve, reject) => {
      if (connection.closed) {
        reject(this.#closedError());
        return;
      }
      waiting.add(reject);
      connection.write(frame, () => {
        waiting.delete(reject);
        resolve();
      });
    });
  }

  /** Waits until what was sent is taken, at most `closeTimeoutMs`, and disconnects; sends that wait longer reject. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #connect(): Promise<Link> {
    try {
      const connectTimeoutMs = this.#options.connectTimeoutMs ?? defaultTimeoutMs;
      return this.#watch(await connectPush(this.#target, { connectTimeoutMs }));
    } catch (error) {
      this.#link = undefined;
      throw error;
    }
  }

  #watch(connection: PushConnection): Link {
    const waiting = new Set<(error: SpError) => void>();
    const closed = new Promise<void>((resolve) => {
      connection.onClose((error) => {
        this.#link = undefined;
        for (const reject of waiting) reject(error ?? this.#closedError());
        waiting.clear();
        resolve();
      });
    });
    return { connection, waiting, closed };
  }

  async #close(): Promise<void> {
    const link = await this.#link?.catch(() => undefined);
    if (link === undefined) return;
    // The sends that waited for the connection write first: their turn came before this one's.
    const timer = setTimeout(() => link.connection.destroy(), this.#options.closeTimeoutMs ?? defaultTimeoutMs);
    link.connection.end();
    await link.closed;
    clearTimeout(timer);
  }

  #closedError(): SpError {
    return new SpError("ERR_SP_CLOSED", `${this.address}: the connection was closed`);
  }
}
