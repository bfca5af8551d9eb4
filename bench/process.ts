import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** USER_HZ, which is 100 on every Linux that Node.js runs on. */
const TICKS_PER_SECOND = 100;
const END_PATIENCE_MS = 15_000;

/** CPU time of a process so far, user and system of all its threads, in seconds. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  // The name of the program, in brackets, may have spaces; utime is field 14, stime 15.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Nanoseconds that a process of one thread has run so far (Documentation/scheduler/sched-stats). */
export function runNs(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/schedstat`, "latin1").split(" ", 1)[0]);
}

export function childrenOf(pid: number, name: string): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim().split(" ").map(Number);
  return children.filter((child) => readFileSync(`/proc/${child}/comm`, "latin1").trim() === name);
}

/** Resident memory in MiB: now and at its most so far. */
export function residentMiB(pid: number): { now: number; most: number } {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) / 1024;
  return { now: field("VmRSS"), most: field("VmHWM") };
}

/** How many files a process may open at once, after it has raised its limit as far as it may. */
export function mostOpenFiles(): number {
  return Number(/^Max open files +\S+ +(\d+)/m.exec(readFileSync("/proc/self/limits", "latin1"))?.[1] ?? Infinity);
}

/** Nanoseconds of CLOCK_MONOTONIC, which the C programs read too. A double holds them exactly for 104 days of uptime. */
export function nowNs(): number {
  return Number(process.hrtime.bigint());
}

/**
 * The first core is for who sends, the others for all else, so that both senders have one core each in turn. Empty
 * for a machine with one core.
 */
export const SENDER_CORE = availableParallelism() > 1 ? ["taskset", "-c", "0"] : [];
export const OTHER_CORES = availableParallelism() > 1 ? ["taskset", "-c", `1-${availableParallelism() - 1}`] : [];

/** A child that answers lines with lines. */
export class Program {
  readonly child: ChildProcess;
  readonly #name: string;
  readonly #lines: string[] = [];
  #waiting: { resolve: (line: string) => void; reject: (error: Error) => void } | undefined;
  #ended = false;

  /** Resolves once it has printed "ready". */
  static async start(command: readonly string[]): Promise<Program> {
    const program = new Program(command);
    await program.line();
    return program;
  }

  private constructor(command: readonly string[]) {
    const [file = "", ...args] = command;
    this.#name = command.find((part) => part.includes("/build/"))?.replace(/.*\//, "") ?? file;
    this.child = spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] });
    this.child.stdin?.on("error", () => {});
    if (this.child.stdout === null) throw new Error("no stdout");
    createInterface({ input: this.child.stdout }).on("line", (line) => {
      if (this.#waiting === undefined) this.#lines.push(line);
      else this.#waiting.resolve(line);
      this.#waiting = undefined;
    });
    this.child.on("close", () => this.#end(new Error(`${this.#name} ended`)));
    this.child.on("error", (error) => this.#end(error));
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** The next line that it prints. */
  line(): Promise<string> {
    const line = this.#lines.shift();
    if (line !== undefined) return Promise.resolve(line);
    if (this.#ended) return Promise.reject(new Error(`${this.#name} has ended`));
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  say(text: string): void {
    this.child.stdin?.write(`${text}\n`);
  }

  async ask<T>(text: string): Promise<T> {
    this.say(text);
    return JSON.parse(await this.line()) as T;
  }

  async stop(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    await endOf(this.child, signal);
  }

  #end(error: Error): void {
    this.#ended = true;
    this.#waiting?.reject(error);
    this.#waiting = undefined;
  }
}

/** Sends the signal, and SIGKILL to one that does not heed it, and waits for the end. */
export async function endOf(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "close");
  child.kill(signal);
  const last = setTimeout(() => child.kill("SIGKILL"), END_PATIENCE_MS);
  await ended;
  clearTimeout(last);
}

/** A C program of this folder, as make has built it. */
export function built(name: string): string {
  return join(import.meta.dirname, "build", name);
}
