import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { pauseProcess } from "../test/helpers/pause.ts";
import { waitFor } from "../test/helpers/wait.ts";

/** The program as `make build` leaves it. */
const CLI = resolve(import.meta.dirname, "../dist/cli.js");
const TICKS_PER_SECOND = 100;

interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** `ocnotify run`, to be broken: unlike the tests' helper it can be killed before it is ready. */
export class DaemonProcess {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  #log = "";

  /** @param preload a module that is loaded before the program */
  constructor(configFile: string, environment: Record<string, string> = {}, preload?: string) {
    const node = preload === undefined ? [] : ["--import", preload];
    const args = [...node, CLI, "run", "--config", configFile, "--log-format", "json"];
    this.#child = spawn(process.execPath, args, {
      stdio: ["ignore", "inherit", "pipe"],
      env: { ...process.env, ...environment },
    });
    this.#ended = once(this.#child, "close");
    this.#child.stderr?.setEncoding("utf8").on("data", (chunk: string) => (this.#log += chunk));
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

  async ready(): Promise<void> {
    const ready = (): boolean => {
      if (!this.running) throw new Error(`the daemon ended:\n${this.#log}`);
      return this.#log.includes('"msg":"ready"');
    };
    await waitFor("the daemon to be ready", ready, 30_000);
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
