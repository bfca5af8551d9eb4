import type { LookupFunction } from "node:net";
import { Retry, type RetrySettings } from "../../delivery/retry.ts";
import type { SpAddress } from "../../protocols/sp/address.ts";
import { SpError } from "../../protocols/sp/errors.ts";
import { connectPush, type PushConnection } from "../../protocols/sp/push-connection.ts";
import type { Chunk } from "./chunk.ts";
import { Confirmation } from "./confirmation.ts";
import { encodeChunk, type JobEncoder } from "./encode-chunk.ts";
import { Lanes } from "./lanes.ts";
import type { Job } from "./route.ts";
import type { Share } from "./share.ts";

/** A host for which this many jobs wait is slow. */
const MANY = 4_096;

export interface EndpointSettings extends RetrySettings {
  readonly connectTimeoutMs: number;
  /** How the host's name is looked up; Node's own way by default. */
  readonly lookup?: LookupFunction;
  /** A connection that takes nothing for this long is given up and made anew. */
  readonly stallTimeoutMs: number;
  /** A connection without anything to send is closed after this. */
  readonly idleTimeoutMs: number;
}

/** What an endpoint asks for, and what it reports of its jobs and its connection. */
export interface EndpointEvents {
  readonly encoder: JobEncoder;
  /** Whether one more connection may be opened now; if not, it is asked again at the next tick. */
  mayConnect(endpoint: Endpoint): boolean;
  /** A connection is being opened (1), or has failed or ended (-1). */
  connections(change: 1 | -1): void;
  /** The host has it. */
  sent(chunk: Chunk): void;
  /** Jobs that were sent wait to be sent again. */
  resending(count: number): void;
  /** After a failure, the host has taken something again. */
  recovered(endpoint: Endpoint): void;
  /** Connecting failed, or the connection broke, while there was something to send. */
  failed(endpoint: Endpoint, error: SpError): void;
  /** Nothing waits and nothing is connected. */
  idle(endpoint: Endpoint): void;
}

/** The process's clock in whole milliseconds: unlike fractions, they take no memory of their own. */
function clockMs(): number {
  return Math.ceil(performance.now());
}

/**
 * One server: its connection and what waits for it, in order. Everything that is pushed stays here until it is sent or
 * taken back by the caller (`takeIf`, `takeOldest`).
 */
export class Endpoint {
  readonly name: string;
  readonly #address: SpAddress;
  readonly #settings: EndpointSettings;
  readonly #events: EndpointEvents;
  /** Whether records of trusted writers go to it; then it is nobody's. */
  common = false;
  /** Otherwise, the writers whose records do. */
  readonly users = new Set<Share>();
  readonly #lanes = new Lanes();
  readonly #confirmation = new Confirmation();
  readonly #retry: Retry<SpError>;
  #connection: PushConnection | undefined;
  #connecting = false;
  #flushing: NodeJS.Immediate | undefined;
  #idleSinceMs = 0;
  #closed = false;
  #slow = false;
  /** Since when every attempt was refused, in milliseconds of the process's clock; undefined when the last was not. */
  refusedSinceMs: number | undefined;

  constructor(name: string, address: SpAddress, settings: EndpointSettings, events: EndpointEvents) {
    this.name = name;
    this.#address = address;
    this.#settings = settings;
    this.#events = events;
    this.#retry = new Retry(settings, {
      again: () => this.#connect(),
      failed: (error) => events.failed(this, error),
      recovered: () => events.recovered(this),
    });
  }

  /** Jobs that wait, and those that were sent but may yet have to be sent again. */
  get size(): number {
    return this.waiting + this.unconfirmed;
  }

  /** Jobs that were sent but may yet have to be sent again. */
  get unconfirmed(): number {
    return this.#confirmation.unconfirmed;
  }

  /** Jobs that wait to be sent. */
  get waiting(): number {
    return this.#lanes.length;
  }

  /**
   * Whether what is pushed now will have to wait for long: the host is not there, takes nothing, or less than comes.
   * As the last tick saw it: a host that is only busy for a moment is not slow.
   */
  get slow(): boolean {
    return this.#slow;
  }

  get connected(): boolean {
    return this.#connection !== undefined;
  }

  /** Whether it is connected or about to be. */
  get open(): boolean {
    return this.connected || this.#connecting;
  }

  /** Whether the host takes what is sent, even slowly. One that has failed must first show that it does again. */
  takes(nowMs: number): boolean {
    return this.#works && this.#confirmation.takes(nowMs);
  }

  /** True within 10 s of the host's last progress: until then nobody knows whether it is slow or stuck. */
  mayTake(nowMs: number): boolean {
    return this.#works && this.#confirmation.mayTake(nowMs);
  }

  push(job: Job): void {
    this.#lanes.push(job);
    this.#schedule();
  }

  /** Does what is due: confirms, gives up a stalled connection, closes an idle one. */
  tick(nowMs: number): void {
    const { stallTimeoutMs } = this.#settings;
    this.#lanes.takeBackAside();
    this.#told(this.#confirmation.takeConfirmed(this.#connection?.bytesDrained ?? 0, nowMs));
    this.#slow = this.#confirmation.stalls(nowMs) || this.waiting > MANY || (!this.connected && this.waiting > 0);
    if (this.#confirmation.drainingForMs(nowMs) > stallTimeoutMs) {
      const message = `${this.name}: the host has read nothing for ${stallTimeoutMs / 1000} s`;
      this.#connection?.destroy();
      this.#lost(new SpError("ERR_SP_TIMEOUT", message));
    }
    if (this.size > 0) {
      this.#idleSinceMs = 0;
      if (this.waiting > 0 && !this.#retry.waiting) this.#schedule();
    } else if (this.#idleSinceMs === 0) {
      this.#idleSinceMs = Math.ceil(nowMs);
    } else if (nowMs - this.#idleSinceMs > this.#settings.idleTimeoutMs && !this.#connecting) {
      this.hangUp();
      this.#events.idle(this);
    }
  }

  /** Ends the connection; another is opened when there is something to send again. */
  hangUp(): void {
    this.#connection?.end();
    this.#forgetConnection();
  }

  /** Takes the oldest that were sent as received, before their time, until there are no more than `most`. */
  confirmEarly(most: number): void {
    this.#told(this.#confirmation.takeEarly(most));
  }

  /** Takes back the oldest `count` that wait. */
  takeOldest(count: number): Job[] {
    return this.#lanes.takeOldest(count);
  }

  /** Takes back those that wait and for which `test` holds. */
  takeIf(test: (job: Job) => boolean): Job[] {
    return this.#lanes.takeIf(test);
  }

  /** Those that wait, oldest first. */
  waitingJobs(): Iterable<Job> {
    return this.#lanes;
  }

  /** Ends the connection; nothing more is sent. What the kernel did not take until now it may never take. */
  close(): void {
    this.#closed = true;
    this.#retry.close();
    clearImmediate(this.#flushing);
    if (this.#confirmation.draining) this.#connection?.destroy();
    this.hangUp();
  }

  get #works(): boolean {
    return this.connected && !this.#retry.failing;
  }

  #schedule(): void {
    // After the poll phase: everything of this turn goes out in one write.
    if (this.#flushing !== undefined || this.#confirmation.draining || this.#closed) return;
    this.#flushing = setImmediate(() => {
      this.#flushing = undefined;
      if (this.#connection !== undefined) this.#flush(this.#connection);
      else if (!this.#connecting && !this.#retry.waiting) this.#connect();
    });
  }

  #connect(): void {
    if (this.#closed || this.waiting === 0 || !this.#events.mayConnect(this)) return;
    this.#connecting = true;
    this.#events.connections(1);
    connectPush(this.#address, this.#settings).then(
      (connection) => {
        this.#connecting = false;
        if (this.#closed) return connection.end();
        this.#connection = connection;
        connection.onClose((error) => {
          if (this.#connection === connection) this.#lost(error);
        });
        this.#flush(connection);
      },
      (error: SpError) => {
        this.#connecting = false;
        this.#events.connections(-1);
        if (!this.#closed) this.#lost(error);
      },
    );
  }

  #forgetConnection(): void {
    if (this.#connection !== undefined) this.#events.connections(-1);
    this.#connection = undefined;
  }

  #lost(error: SpError | undefined): void {
    this.#forgetConnection();
    const again = [...this.#confirmation.lost(), ...this.#lanes.takeBegun()];
    this.#lanes.takeBackAside();
    this.#lanes.putBack(again);
    if (again.length > 0) this.#events.resending(again.length);
    if (error === undefined || this.waiting === 0) return;
    this.refusedSinceMs = error.code === "ERR_SP_REFUSED" ? (this.refusedSinceMs ?? clockMs()) : undefined;
    this.#slow = true;
    this.#retry.failed(error);
  }

  #flush(connection: PushConnection): void {
    if (this.#confirmation.draining) return;
    const { bytes, chunk } = encodeChunk(this.#lanes, connection.transport, this.#events.encoder);
    if (bytes.length === 0) {
      this.#events.sent(chunk);
      return;
    }
    this.#confirmation.handOver(chunk, clockMs());
    connection.write(bytes, () => {
      if (this.#connection !== connection) return;
      this.#confirmation.drained(bytes.length, connection.bytesDrained, clockMs());
      if (this.waiting < MANY) this.#slow = false;
      if (this.waiting > 0) this.#schedule();
    });
  }

  /** These count as received, so the host works. */
  #told(chunks: readonly Chunk[]): void {
    if (chunks.length === 0) return;
    for (const chunk of chunks) this.#events.sent(chunk);
    this.refusedSinceMs = undefined;
    this.#retry.succeeded();
  }
}
