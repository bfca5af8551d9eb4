import { once } from "node:events";
import { setImmediate as turn, setTimeout as delay } from "node:timers/promises";
import { bindPull, type PullSocket } from "../src/protocols/sp/pull-socket.ts";
import { startNnPull, type NnPrograms, type Peer } from "../test/helpers/nanocat.ts";
import { pauseProcess } from "../test/helpers/pause.ts";
import type { Tally } from "./tally.ts";

/** A host that takes what comes. */
export interface Receiver {
  readonly address: string;
  /** Begins to listen, again at the same address. */
  start(): Promise<void>;
  /** Ends at once, as a crash does. */
  stop(): Promise<void>;
}

/** In this process: cheap, and as fast as it gets. */
export class PullReceiver implements Receiver {
  readonly address: string;
  readonly #tally: Tally;
  readonly #name: string;
  readonly #perSecond: number | undefined;
  #socket: PullSocket | undefined;

  constructor(
    address: string,
    tally: Tally,
    options: { registered?: string | undefined; perSecond?: number | undefined } = {},
  ) {
    this.address = address;
    this.#tally = tally;
    this.#name = options.registered ?? address;
    this.#perSecond = options.perSecond;
  }

  async start(): Promise<void> {
    const socket = await bindPull(this.address);
    this.#socket = socket;
    void this.#take(socket);
  }

  async #take(socket: PullSocket): Promise<void> {
    const start = performance.now();
    let taken = 0;
    for await (const message of socket) {
      this.#tally.receive(this.#name, message);
      taken++;
      if (this.#perSecond !== undefined && taken % 100 === 0) {
        await delay(start + (taken / this.#perSecond) * 1000 - performance.now());
      }
    }
  }

  async stop(): Promise<void> {
    // What has lain in its sockets for a second counts as received, and this process may not have run for so long. So it
    // reads once what has come before it dies.
    await turn();
    await turn();
    await this.#socket?.close();
    this.#socket = undefined;
  }
}

/** A process of the real libnanomsg, which dies with what it has not read. */
export class NnReceiver implements Receiver {
  readonly address: string;
  readonly #tally: Tally;
  readonly #programs: NnPrograms;
  readonly #leftOut: string | undefined;
  #peer: Peer | undefined;
  #taking: NodeJS.Timeout | undefined;
  #measuredSince = 0;
  #tookAt = 0;
  #longestGapMs = 0;
  #bytes = 0;

  /** @param leftOut messages in which this stands are read and count for nothing */
  constructor(address: string, tally: Tally, programs: NnPrograms, leftOut?: string) {
    this.address = address;
    this.#tally = tally;
    this.#programs = programs;
    this.#leftOut = leftOut;
  }

  async start(): Promise<void> {
    const peer = await startNnPull(this.#programs, this.address, this.#leftOut);
    this.#peer = peer;
    this.#taking = setInterval(() => this.#take(peer), 5);
  }

  async stop(): Promise<void> {
    const peer = this.#peer;
    if (peer === undefined) return;
    this.#peer = undefined;
    // What it had received is still in the pipe.
    const closed = once(peer.process, "close");
    await peer.stop();
    await closed;
    clearInterval(this.#taking);
    this.#take(peer);
  }

  /** SIGSTOP: the kernel goes on taking what is sent. */
  pause(): void {
    pauseProcess(this.#peer?.process.pid ?? 0);
  }

  resume(): void {
    this.#peer?.process.kill("SIGCONT");
  }

  /** Begins to measure how fast it reads, with what comes now. */
  measure(): void {
    this.#measuredSince = performance.now();
    this.#tookAt = 0;
    this.#longestGapMs = 0;
    this.#bytes = 0;
  }

  /** Since `measure`, while something came. */
  get pace(): { bytesPerSecond: number; longestGapMs: number } {
    const seconds = (this.#tookAt - this.#measuredSince) / 1_000;
    return { bytesPerSecond: Math.round(this.#bytes / seconds), longestGapMs: Math.round(this.#longestGapMs) };
  }

  #take(peer: Peer): void {
    const messages = peer.messages.splice(0);
    if (messages.length === 0) return;
    const now = performance.now();
    if (this.#tookAt === 0) this.#measuredSince = now;
    else this.#longestGapMs = Math.max(this.#longestGapMs, now - this.#tookAt);
    this.#tookAt = now;
    for (const message of messages) {
      this.#bytes += message.length;
      this.#tally.receive(this.address, message);
    }
  }
}
