import type { LookupFunction } from "node:net";
import { Backoff } from "../../backoff.ts";
import type { SpAddress } from "../../protocols/sp/address.ts";
import { SpError } from "../../protocols/sp/errors.ts";
import { frameHeaderLength, writeFrameHeader } from "../../protocols/sp/frame.ts";
import { connectPush, type PushConnection } from "../../protocols/sp/push-connection.ts";
import { ChunkBuilder, type Chunk } from "./chunk.ts";
import type { Notification } from "./codec/extended.ts";
import { Lanes, type Current, type Lane } from "./lanes.ts";
import type { Job, Route } from "./route.ts";
import type { Share } from "./share.ts";

/** Bytes that are handed to the kernel at once, and the most that waits in this process for a host to take it. */
const CHUNK = 64 * 1024;
/** Room for the longest payload that a record of 64 KiB can make. */
const scratch = Buffer.allocUnsafe(CHUNK * 3);
const chunkBuilder = new ChunkBuilder();
/**
 * SP has no acknowledgement, and what a killed server had not read from its socket dies with it. So what was drained
 * is kept this long, and sent again when the connection breaks meanwhile. More than a server needs to read it.
 */
const CONFIRM_MS = 1_000;
/**
 * Bytes that a host certainly reads in a millisecond. After a burst the sockets hold much, nobody sees how much, so what
 * was drained is kept for as long as reading it would take at this pace.
 */
const CERTAIN_PACE = 1_000;
/** The same for a host that was slow: the sockets between were full, and it has all that yet to read. */
const SLOW_CONFIRM_MS = 10_000;
/** What the sockets between hold at most, or nearly. To take so much more, the host must have read what was before. */
const IN_SOCKETS = 8 * 1024 * 1024;
/** A host that takes nothing for so long stands still. */
const TAKES_MS = 1_000;
/** The same for one that has taken something after it was slow: the kernel frees a large buffer in large steps. */
const TAKES_SLOWLY_MS = 5_000;
/** A host that has taken nothing for so long is not worth waiting for any more. */
const MAY_TAKE_MS = 10_000;
/** A host that takes nothing for so long, or for which so many events wait, is slow. */
const SLOW_MS = 100;
const MANY = 4_096;
/** Notifications of one lane that are made before it is the next one's turn. */
const TURN = 64;

export interface EndpointSettings {
  readonly connectTimeoutMs: number;
  /** How the host's name is looked up; Node's own way by default. */
  readonly lookup?: LookupFunction;
  /** A connection that takes nothing for so long is given up and tried anew. */
  readonly stallTimeoutMs: number;
  /** A connection without anything to send is closed after this. */
  readonly idleTimeoutMs: number;
  readonly firstRetryMs: number;
  readonly mostRetryMs: number;
}

/** What an endpoint tells of its jobs and its connection. */
export interface EndpointEvents {
  /**
   * The notifications of a job, undefined when there is nothing (more) to send for it, or "later" when its event cannot
   * be read for now: then it is asked for again at the next tick.
   */
  notifications(job: Job): Iterator<Notification, void> | "later" | undefined;
  encodedLength(notification: Notification): number;
  /** Writes it at `offset` and returns the offset behind it. */
  write(target: Buffer, offset: number, notification: Notification): number;
  /** Whether one more connection may be opened now; if not, it is asked again at the next tick. */
  mayConnect(endpoint: Endpoint): boolean;
  /** A connection is being opened (1), or has failed or ended (-1). */
  connections(change: 1 | -1): void;
  /** All of a job has been encoded: its event is not needed any more unless it has to be sent again. */
  encoded(job: Job): void;
  /** One of a job's notifications cannot be encoded. @returns whether to go on with the next; else the job is settled */
  unencodable(job: Job, notification: Notification | undefined, error: unknown): boolean;
  /** The host has it. */
  sent(chunk: Chunk): void;
  /** Jobs that were sent wait to be sent again. */
  resending(count: number): void;
  /** After a failure, the host has taken something again. */
  recovered(endpoint: Endpoint): void;
  /** Connecting failed or the connection broke while there was something to send. */
  failed(endpoint: Endpoint, error: SpError): void;
  /** Nothing waits and nothing is connected. */
  idle(endpoint: Endpoint): void;
}

/** The process's clock in whole milliseconds: unlike fractions, they take no memory of their own. */
function clock(): number {
  return Math.ceil(performance.now());
}

/**
 * One server: its connection and what waits for it, in order. Everything that is handed over stays here until it is
 * sent or taken back by the caller (`takeIf`, `takeOldest`).
 */
export class Endpoint {
  readonly name: string;
  readonly #address: SpAddress;
  readonly #settings: EndpointSettings;
  readonly #events: EndpointEvents;
  /** Whether trusted writers tell it of something; then it is nobody's. */
  common = false;
  /** Otherwise, those who do. */
  readonly users = new Set<Share>();
  readonly #waiting = new Lanes();
  /** Jobs whose events cannot be read for now, and the later ones of the same users: until the next tick, others go first. */
  #aside: Job[] = [];
  readonly #asideRoutes = new Set<Route>();
  #sent: Chunk[] = [];
  #unconfirmed = 0;
  #connection: PushConnection | undefined;
  #connecting = false;
  #draining: Chunk | undefined;
  #drainingSince = 0;
  /** When the host took something last. */
  #drainedAt = 0;
  /** When the host will have read everything at the certain pace. */
  #readAt = 0;
  /** Until when the host may have much to read that was drained long ago. */
  #slowUntil = 0;
  readonly #backoff: Backoff;
  #retry: NodeJS.Timeout | undefined;
  #flushing: NodeJS.Immediate | undefined;
  #idleSince = 0;
  #closed = false;
  #failing = false;
  #slow = false;
  /** Since when every attempt was refused, in ms of the process's clock; undefined when the last was not. */
  refusedSince: number | undefined;

  constructor(name: string, address: SpAddress, settings: EndpointSettings, events: EndpointEvents) {
    this.name = name;
    this.#address = address;
    this.#settings = settings;
    this.#events = events;
    this.#backoff = new Backoff(settings.firstRetryMs, settings.mostRetryMs);
  }

  /** Events that wait, and those that were sent but may yet have to be sent again. */
  get size(): number {
    return this.waiting + this.#unconfirmed;
  }

  /** Events that were sent but may yet have to be sent again. */
  get unconfirmed(): number {
    return this.#unconfirmed;
  }

  get waiting(): number {
    return this.#waiting.length + this.#aside.length;
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

  /** Whether the host takes what is sent, be it slowly. One that has failed must first show that it does again. */
  takes(now: number): boolean {
    return this.#tookWithin(now < this.#slowUntil ? TAKES_SLOWLY_MS : TAKES_MS, now);
  }

  /** Whether it may yet: a slow host, or one that stands still, nobody knows. */
  mayTake(now: number): boolean {
    return this.#tookWithin(MAY_TAKE_MS, now);
  }

  push(job: Job): void {
    this.#waiting.push(job);
    this.#schedule();
  }

  /** Looks after what time brings: confirms, gives up a stalled connection, closes an idle one. */
  tick(now: number): void {
    this.#takeBackAside();
    this.#confirm(now);
    const draining = this.#draining !== undefined && now - this.#drainingSince > SLOW_MS;
    this.#slow = draining || this.waiting > MANY || (this.#connection === undefined && this.waiting > 0);
    if (this.#draining !== undefined && now - this.#drainingSince > this.#settings.stallTimeoutMs) {
      const seconds = this.#settings.stallTimeoutMs / 1000;
      const error = new SpError("ERR_SP_TIMEOUT", `${this.name}: the host has read nothing for ${seconds} s`);
      this.#connection?.destroy();
      this.#lost(error);
    }
    if (this.size > 0) {
      this.#idleSince = 0;
      if (this.waiting > 0 && this.#retry === undefined) this.#schedule();
    } else if (this.#idleSince === 0) {
      this.#idleSince = Math.ceil(now);
    } else if (now - this.#idleSince > this.#settings.idleTimeoutMs && !this.#connecting) {
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
    let left = this.#unconfirmed;
    let confirmed = 0;
    for (const chunk of this.#sent) {
      if (left <= most || chunk.drainedAt === 0) break;
      left -= chunk.length;
      confirmed++;
    }
    this.#confirmFirst(confirmed);
  }

  /** Takes back the oldest `count` that wait. */
  takeOldest(count: number): Job[] {
    this.#takeBackAside();
    return this.#waiting.takeOldest(count);
  }

  /** Takes back those that wait and for which `test` holds. */
  takeIf(test: (job: Job) => boolean): Job[] {
    this.#takeBackAside();
    return this.#waiting.takeIf(test);
  }

  /** Those that wait, oldest first. */
  waitingJobs(): Iterable<Job> {
    this.#takeBackAside();
    return this.#waiting;
  }

  /** Ends the connection once the kernel has what was written; nothing more is sent. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    clearImmediate(this.#flushing);
    this.hangUp();
  }

  #tookWithin(ms: number, now: number): boolean {
    return this.#connection !== undefined && !this.#failing && now - this.#drainedAt < ms;
  }

  #schedule(): void {
    // After the poll phase: everything of this turn goes out in one write.
    if (this.#flushing !== undefined || this.#draining !== undefined || this.#closed) return;
    this.#flushing = setImmediate(() => {
      this.#flushing = undefined;
      if (this.#connection !== undefined) this.#flush(this.#connection);
      else if (!this.#connecting && this.#retry === undefined) this.#connect();
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
    const now = clock();
    this.#forgetConnection();
    this.#draining = undefined;
    this.#readAt = 0;
    const again: Job[] = [];
    for (const chunk of this.#sent) {
      for (const job of chunk.jobs()) again.push(job);
    }
    again.push(...this.#waiting.takeBegun());
    this.#sent = [];
    this.#unconfirmed = 0;
    this.#takeBackAside();
    this.#waiting.putBack(again);
    if (again.length > 0) this.#events.resending(again.length);
    if (error === undefined || this.waiting === 0) return;
    this.refusedSince = error.code === "ERR_SP_REFUSED" ? (this.refusedSince ?? now) : undefined;
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#connect();
    }, this.#backoff.next());
    this.#failing = true;
    this.#slow = true;
    this.#events.failed(this, error);
  }

  #flush(connection: PushConnection): void {
    if (this.#draining !== undefined) return;
    const { length, notifications } = this.#fill(connection.transport);
    const chunk = chunkBuilder.build(notifications);
    if (length === 0) {
      this.#events.sent(chunk);
      return;
    }
    this.#draining = chunk;
    this.#drainingSince = clock();
    this.#sent.push(chunk);
    this.#unconfirmed += chunk.length;
    connection.write(Buffer.from(scratch.subarray(0, length)), () => {
      if (this.#connection !== connection) return;
      chunk.drainedAt = clock();
      this.#drainedAt = chunk.drainedAt;
      chunk.drainedBytes = connection.bytesDrained;
      this.#readAt = Math.max(this.#readAt, chunk.drainedAt) + length / CERTAIN_PACE;
      chunk.readAt = Math.ceil(this.#readAt);
      this.#draining = undefined;
      if (chunk.drainedAt - this.#drainingSince > SLOW_MS) this.#slowUntil = chunk.drainedAt + SLOW_CONFIRM_MS;
      if (this.waiting < MANY) this.#slow = false;
      if (this.waiting > 0) this.#schedule();
    });
  }

  /** Encodes into the scratch buffer until the chunk is full, and gathers the jobs that it completes. */
  #fill(transport: PushConnection["transport"]): { length: number; notifications: number } {
    const header = frameHeaderLength(transport);
    let at = 0;
    let notifications = 0;
    let turn = TURN;
    for (let lane = this.#waiting.first; lane !== undefined && at < CHUNK; lane = this.#waiting.first) {
      const current = lane.current ?? this.#begin(lane);
      if (current === undefined) continue;
      let dropped = false;
      let done = false;
      while (!dropped && turn > 0) {
        try {
          const notification = current.next ?? (current.rest.next().value as Notification | undefined);
          current.next = notification;
          done = notification === undefined;
          if (notification === undefined) break;
          const length = this.#events.encodedLength(notification);
          if (at > 0 && at + header + length > CHUNK) {
            this.#waiting.turn(lane);
            return { length: at, notifications };
          }
          writeFrameHeader(scratch, at, length, transport);
          at = this.#events.write(scratch, at + header, notification);
          notifications++;
          if (this.#waiting.several) turn--;
        } catch (error) {
          dropped = !this.#events.unencodable(current.job, current.next, error);
        }
        current.next = undefined;
      }
      if (done) {
        chunkBuilder.add(current.job);
        this.#events.encoded(current.job);
      }
      if (done || dropped) this.#waiting.end(lane);
      if (turn === 0) {
        this.#waiting.turn(lane);
        turn = TURN;
      }
    }
    return { length: at, notifications };
  }

  #begin(lane: Lane): Current | undefined {
    for (let job = this.#waiting.shift(lane); job !== undefined; job = this.#waiting.shift(lane)) {
      const rest = this.#asideRoutes.has(job.route) ? "later" : this.#events.notifications(job);
      if (rest === undefined) continue;
      if (rest === "later") {
        this.#aside.push(job);
        this.#asideRoutes.add(job.route);
        continue;
      }
      const current = { job, rest, next: undefined };
      this.#waiting.begin(lane, current);
      return current;
    }
    return undefined;
  }

  #takeBackAside(): void {
    if (this.#aside.length === 0) return;
    this.#waiting.putBack(this.#aside);
    this.#aside = [];
    this.#asideRoutes.clear();
  }

  #confirm(now: number): void {
    const stalled = this.#draining !== undefined && now - this.#drainingSince > SLOW_MS;
    const drained = this.#connection?.bytesDrained ?? 0;
    let confirmed = 0;
    for (const chunk of this.#sent) {
      if (chunk.drainedAt === 0) break;
      if (now - chunk.drainedAt < CONFIRM_MS) break;
      // While the host takes nothing, what it took last may still lie unread.
      const unread =
        stalled ||
        now - chunk.readAt < CONFIRM_MS ||
        (now < this.#slowUntil && now - chunk.drainedAt < SLOW_CONFIRM_MS);
      if (unread && drained - chunk.drainedBytes < IN_SOCKETS) break;
      confirmed++;
    }
    this.#confirmFirst(confirmed);
  }

  #confirmFirst(chunks: number): void {
    if (chunks === 0) return;
    for (const chunk of this.#sent.splice(0, chunks)) {
      this.#unconfirmed -= chunk.length;
      this.#events.sent(chunk);
    }
    this.#backoff.reset();
    this.refusedSince = undefined;
    if (this.#failing) this.#events.recovered(this);
    this.#failing = false;
  }
}
