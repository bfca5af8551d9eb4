import { connect, type LookupFunction, type Socket } from "node:net";

import { Queue } from "../../queue.ts";
import { MemcachedError } from "./errors.ts";
import { type ReplyLine, ResponseParser, type ValueItem } from "./parser.ts";
import type { Request } from "./request.ts";

/** Where a memcached listens. */
export type MemcachedAddress =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

export interface ConnectionOptions {
  /** For messages. */
  name: string;
  address: MemcachedAddress;
  /** Milliseconds until it must be connected, name resolution included. */
  connectTimeoutMs: number;
  /** Milliseconds in which the next value, line or part of a value over the limit must come. */
  pollTimeoutMs: number;
  /** Milliseconds in which a whole answer must be complete, from the end of the answer before it. */
  answerTimeoutMs: number;
  /** Bytes. */
  maxValueSize: number;
  /** How the host's name is looked up; undefined for Node's own way. */
  lookup: LookupFunction | undefined;
}

/** How a connection ended. */
export interface Loss {
  error: MemcachedError;
  /** The requests without an answer, oldest first. */
  unanswered: readonly Request[];
  /**
   * Whether this says something about the server. It does not when a connection that had worked before broke without a
   * byte of answer: the server closed it while it was idle, or was restarted.
   */
  blame: boolean;
}

/**
 * One connection to one memcached: requests are written at once and answered in order. It ends at the first
 * irregularity, with all that is pending, so that an answer can never be taken for that to another request. It keeps
 * the process alive only while a request is pending.
 */
export class MemcachedConnection {
  readonly #options: ConnectionOptions;
  readonly #onLost: (loss: Loss) => void;
  readonly #socket: Socket;
  readonly #parser: ResponseParser;
  readonly #connectTimer: NodeJS.Timeout;
  /** Set once connected. */
  #pollTimer: NodeJS.Timeout | undefined;
  /** Requests without an answer. */
  readonly #pending = new Queue<Request>();
  #hasAnswered = false;
  /** No byte arrived since the connection was last idle. */
  #silent = true;
  /** Counts completed values and lines. */
  #progress = 0;
  /** Milliseconds for which the answer that is under way has been awaited. */
  #awaitedMs = 0;
  /** Up to when that was counted, in ms of the process's clock. */
  #countedMs = 0;
  #lost = false;

  constructor(options: ConnectionOptions, onLost: (loss: Loss) => void) {
    this.#options = options;
    this.#onLost = onLost;
    this.#parser = new ResponseParser(
      { onValue: (item) => this.#onValue(item), onReply: (reply) => this.#onReply(reply) },
      { maxValueSize: options.maxValueSize },
    );
    const { address, lookup } = options;
    this.#connectTimer = setTimeout(() => this.#onConnectTimeout(), options.connectTimeoutMs);
    this.#socket =
      address.kind === "tcp"
        ? connect({
            host: address.host,
            port: address.port,
            noDelay: true,
            keepAlive: true,
            ...(lookup !== undefined && { lookup }),
          })
        : connect({ path: address.path });
    this.#socket
      .on("connect", () => this.#onConnect())
      .on("data", (chunk: Buffer) => this.#onData(chunk))
      .on("end", () => this.#fail(this.#broken("the server closed the connection")))
      .on("error", (cause) => this.#fail(this.#broken(describe(cause), cause)))
      .on("close", () => this.#fail(this.#broken("the connection closed")));
  }

  /** Writes the request; its `onReply` or `fail` is called later, never from within. */
  send(request: Request): void {
    if (this.#pending.length === 0) {
      this.#silent = true;
      this.#startAwaiting();
      this.#socket.ref();
      this.#pollTimer?.refresh().ref();
    }
    this.#pending.push(request);
    this.#socket.write(request.payload);
  }

  /** Ends it; what is pending fails with `error`. */
  close(error: MemcachedError): void {
    this.#fail(error, false);
  }

  #onConnect(): void {
    clearTimeout(this.#connectTimer);
    this.#startAwaiting();
    this.#pollTimer = setTimeout(() => this.#onPollTimeout(), this.#options.pollTimeoutMs);
  }

  #onConnectTimeout(): void {
    this.#fail(this.#timeout(`not connected within ${this.#options.connectTimeoutMs} ms`));
  }

  #onPollTimeout(): void {
    if (this.#pending.length === 0) {
      return;
    }
    // When this process was what stood still, the answer lies in the socket: look there before blaming the server.
    const progress = this.#progress;
    setImmediate(() => {
      if (this.#lost || this.#pending.length === 0) {
        return;
      }
      if (this.#progress !== progress) {
        this.#pollTimer?.refresh();
        return;
      }
      this.#fail(this.#timeout(`no answer within ${this.#options.pollTimeoutMs} ms`));
    });
  }

  #onData(chunk: Buffer): void {
    this.#silent = false;
    const progress = this.#progress;
    try {
      this.#parser.feed(chunk);
    } catch (cause) {
      this.#fail(this.#located(cause));
      return;
    }
    if (this.#lost) {
      return;
    }
    if (this.#pending.length === 0) {
      this.#socket.unref();
      this.#pollTimer?.unref();
    } else if (this.#awaitsTooLong()) {
      this.#fail(this.#timeout(`no whole answer within ${this.#options.answerTimeoutMs} ms`));
    } else if (this.#progress !== progress || this.#parser.skipping) {
      // A value over the limit may take longer than the poll timeout: it must not fail the keys after it.
      this.#pollTimer?.refresh();
    }
  }

  #startAwaiting(): void {
    this.#awaitedMs = 0;
    this.#countedMs = performance.now();
  }

  #awaitsTooLong(): boolean {
    const now = performance.now();
    // The poll timer fires at longer gaps, so this process was what stood still for the rest of it.
    this.#awaitedMs += Math.min(now - this.#countedMs, this.#options.pollTimeoutMs);
    this.#countedMs = now;
    return this.#awaitedMs > this.#options.answerTimeoutMs;
  }

  #timeout(what: string): MemcachedError {
    return new MemcachedError("ERR_MEMCACHED_TIMEOUT", `memcached ${this.#options.name}: ${what}`, { canRetry: true });
  }

  #onValue(item: ValueItem): void {
    this.#progress++;
    this.#oldest().onValue(item);
  }

  #onReply(reply: ReplyLine): void {
    this.#progress++;
    if (reply.type === "error") {
      const message = `the server refused: ERROR ${reply.text}`.trimEnd();
      throw new MemcachedError("ERR_MEMCACHED_PROTOCOL", message, { canRetry: true });
    }
    const request = this.#oldest();
    if (reply.type === "client-error") {
      // Memcached may take the data of a refused request for commands, so nothing that follows can be trusted.
      this.#pending.shift();
      const { name } = this.#options;
      const message = `memcached ${name}: CLIENT_ERROR ${reply.text}`;
      request.fail(new MemcachedError("ERR_MEMCACHED_CLIENT", message, { canRetry: false }));
      this.#fail(this.#broken("given up after a CLIENT_ERROR to the request before"), false);
    } else if (request.onReply(reply)) {
      this.#pending.shift();
      this.#hasAnswered = true;
      this.#startAwaiting();
    }
  }

  #oldest(): Request {
    const request = this.#lost ? undefined : this.#pending.first;
    if (request === undefined) {
      throw new MemcachedError("ERR_MEMCACHED_PROTOCOL", "an answer to no request", { canRetry: true });
    }
    return request;
  }

  #broken(what: string, cause?: unknown): MemcachedError {
    const code = this.#pollTimer === undefined ? "ERR_MEMCACHED_CONNECT" : "ERR_MEMCACHED_CONNECTION";
    const message = `memcached ${this.#options.name}: ${what}`;
    return new MemcachedError(code, message, { canRetry: true, cause });
  }

  #located(cause: unknown): MemcachedError {
    const message = `memcached ${this.#options.name}: ${cause instanceof Error ? cause.message : String(cause)}`;
    return new MemcachedError("ERR_MEMCACHED_PROTOCOL", message, { canRetry: true, cause });
  }

  #fail(error: MemcachedError, blame?: boolean): void {
    if (this.#lost) {
      return;
    }
    this.#lost = true;
    clearTimeout(this.#connectTimer);
    clearTimeout(this.#pollTimer);
    this.#socket.destroy();
    const unanswered = this.#pending.takeFirst(Infinity);
    const broke = error.code === "ERR_MEMCACHED_CONNECTION";
    const innocent = unanswered.length === 0 ? this.#hasAnswered : this.#hasAnswered && this.#silent && broke;
    this.#onLost({ error, unanswered, blame: blame ?? !innocent });
  }
}

/** The message of a socket's error; when several addresses were tried, Node has it in the parts. */
function describe(error: Error): string {
  if (error instanceof AggregateError) {
    return error.errors.map((part) => (part instanceof Error ? part.message : String(part))).join(", ");
  }
  return error.message;
}
