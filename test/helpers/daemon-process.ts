import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { pauseProcess } from "./pause.ts";

/** The program as `make build` leaves it. */
export const CLI = resolve(import.meta.dirname, "../../dist/cli.js");
/** Generous, because tests run beside each other. */
const READY_TIMEOUT_MS = 30_000;
const TICKS_PER_SECOND = 100;

export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** How `ocnotify run` is started. */
export interface DaemonProcessOptions {
  /** Arguments after `run`. */
  readonly args: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** A module that is loaded before the program. */
  readonly preload?: string | undefined;
  /** Further arguments of Node.js. */
  readonly nodeArgs?: readonly string[];
  /** What the daemon's command line is given to as further arguments. */
  readonly wrapper?: readonly string[] | undefined;
}

/** `ocnotify run`: it can be watched, and broken before it is ready. */
export class DaemonProcess {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  readonly #becomesReady: Promise<unknown>;
  #log = "";

  constructor({ args, environment, preload, nodeArgs = [], wrapper = [] }: DaemonProcessOptions) {
    const node = preload === undefined ? nodeArgs : [...nodeArgs, "--import", preload];
    const [program, ...before] = [...wrapper, process.execPath];
    this.#child = spawn(program, [...before, ...node, CLI, "run", ...args, "--log-format", "json"], {
      stdio: ["ignore", "inherit", "pipe"],
      env: { ...process.env, ...environment },
    });
    this.#ended = once(this.#child, "close");
    this.#becomesReady = new Promise((resolve) => {
      let isReady = false;
      this.#child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
        this.#log += chunk;
        isReady ||= this.#log.includes('"msg":"ready"');
        if (isReady) resolve("ready");
      });
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get log(): LogLine[] {
    const lines = this.#log.split("\n").filter((line) => line.startsWith("{"));
    return lines.map((line) => JSON.parse(line) as LogLine);
  }

  /** The log as it was written. */
  get text(): string {
    return this.#log;
  }

  /** Lines of the log so far. */
  get lines(): number {
    return this.#log.split("\n").length - 1;
  }

  /** Resolves when its log says that it is ready. */
  async ready(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise((resolve) => (timer = setTimeout(resolve, READY_TIMEOUT_MS)));
    const first = await Promise.race([this.#becomesReady, this.#ended, late]);
    clearTimeout(timer);
    if (first === "ready") return;
    throw new Error(`the daemon ${this.running ? "is not ready" : "ended"}:\n${this.#log}`);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** SIGSTOP; it goes on with SIGCONT. */
  pause(): void {
    pauseProcess(this.pid);
  }

  /** Waits for its end; the exit code, or -1 when a signal ended it. */
  async ended(): Promise<number> {
    await this.#ended;
    return this.#child.exitCode ?? -1;
  }

  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.#ended;
  }

  /** Resident memory in MiB: now, and the most so far. */
  memory(): { now: number; most: number } {
    const status = readFileSync(`/proc/${this.pid}/status`, "latin1");
    const field = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) / 1024;
    return { now: Math.round(field("VmRSS")), most: Math.round(field("VmHWM")) };
  }

  /** From now on, the most is that since now. */
  forgetMostMemory(): void {
    writeFileSync(`/proc/${this.pid}/clear_refs`, "5");
  }

  /** Seconds of processor time so far. */
  cpu(): number {
    const fields = readFileSync(`/proc/${this.pid}/stat`, "latin1")
      .replace(/^.*\) /, "")
      .split(" ");
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  }
}
