import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { waitFor } from "./dovecot.ts";

/** The program as `make build` leaves it. */
const CLI = resolve(import.meta.dirname, "../../dist/cli.js");

export interface CliResult {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs `ocnotify` with these arguments to its end. */
export async function ocnotify(args: readonly string[], input = ""): Promise<CliResult> {
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ["pipe", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (stdout += chunk));
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (stderr += chunk));
  child.stdin.end(input);
  const [code] = (await once(child, "close")) as [number | null];
  return { code: code ?? -1, stdout, stderr };
}

/** A child process that is stopped by its pid. */
export interface RunningProcess {
  readonly pid: number;
  /** Sends the signal and waits for the end; the exit code, or -1 when a signal ended it. */
  stop(signal?: NodeJS.Signals): Promise<number>;
}

export interface RunningDaemon extends RunningProcess {
  /** The log so far, a parsed object a line. */
  log(): { level: string; msg: string; [field: string]: unknown }[];
}

export interface DaemonOptions {
  journal: string;
  stateDir: string;
  /** Further arguments of `ocnotify run`. */
  args?: readonly string[];
  level?: string;
}

/** Starts `ocnotify run` and waits until it says that it is ready. */
export async function startDaemon(options: DaemonOptions): Promise<RunningDaemon> {
  const args = ["run", "--journal", options.journal, "--state-dir", options.stateDir, "--log-format", "json"];
  args.push("--log-level", options.level ?? "info", ...(options.args ?? []));
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ["ignore", "inherit", "pipe"] });
  let text = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  const log: RunningDaemon["log"] = () =>
    text
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as ReturnType<RunningDaemon["log"]>[number]);
  const daemon = { ...processOf(child), log };
  await waitFor("the daemon to be ready", () => {
    if (child.exitCode !== null) throw new Error(`the daemon ended:\n${text}`);
    return log().some(({ msg }) => msg === "ready");
  });
  return daemon;
}

export interface Received {
  /** Milliseconds of unix time at which it arrived here. */
  at: number;
  type: string;
  eml: string;
  folder: string;
  [field: string]: unknown;
}

export interface RunningListener extends RunningProcess {
  readonly received: readonly Received[];
  /** Everything that it said on stderr. */
  errors(): string;
}

/** Starts `ocnotify listen` and waits until it has registered. */
export async function startListener(username: string, resolver: string, args: string[] = []): Promise<RunningListener> {
  const child = spawn(
    process.execPath,
    [CLI, "listen", "--json", "--username", username, "--server", resolver, ...args],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (stderr += chunk));
  const received: Received[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => {
    received.push({ ...(JSON.parse(line) as Received), at: Date.now() });
  });
  await waitFor("the listener to be registered", () => {
    if (child.exitCode !== null) throw new Error(`the listener ended:\n${stderr}`);
    return stderr.includes("listening at");
  });
  return { ...processOf(child), received, errors: () => stderr };
}

function processOf(child: ChildProcess): RunningProcess {
  const ended = once(child, "close") as Promise<[number | null]>;
  return {
    pid: child.pid ?? 0,
    async stop(signal = "SIGTERM") {
      child.kill(signal);
      const [code] = await ended;
      return code ?? -1;
    },
  };
}

/** Where the state of a test's daemon goes, within the folder of its Dovecot. */
export function stateDirOf(folder: string): string {
  return join(folder, "ocnotify");
}
