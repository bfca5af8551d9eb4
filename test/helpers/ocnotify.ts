import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { stringify } from "yaml";
import { CLI, DaemonProcess, type LogLine } from "./daemon-process.ts";
import { waitFor } from "./wait.ts";
import { segmentName } from "./segments.ts";

export { CLI, type LogLine } from "./daemon-process.ts";

/** Generous, because tests run beside each other. */
const READY_TIMEOUT_MS = 30_000;

export interface CliResult {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs `ocnotify` with these arguments to its end, without this machine's smb.conf. */
export async function ocnotify(args: readonly string[], input = "", smbConf = "/nonexistent"): Promise<CliResult> {
  const env = { ...process.env, SMB_CONF_PATH: smbConf };
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ["pipe", "pipe", "pipe"], env });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (stdout += chunk));
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (stderr += chunk));
  // A program that ends without reading its input is no error of the test.
  child.stdin.on("error", () => {});
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
  log(): LogLine[];
  /** Waits for the first line of the log for which `test` holds. */
  logged(what: string, test: (line: LogLine) => boolean): Promise<LogLine>;
}

export interface DaemonOptions {
  journal: string;
  stateDir: string;
  /** Configuration file. */
  config?: string;
  /** Further arguments of `ocnotify run`. */
  args?: readonly string[];
  level?: string;
  /** A module that is loaded before the program. */
  preload?: string;
  env?: Readonly<Record<string, string>>;
  /** What the daemon's command line is given to as further arguments. */
  wrapper?: readonly string[] | undefined;
}

/** Starts `ocnotify run` and waits until it says that it is ready. */
export async function startDaemon(options: DaemonOptions): Promise<RunningDaemon> {
  const args = ["--journal", options.journal, "--state-dir", options.stateDir];
  args.push("--log-level", options.level ?? "info", ...(options.args ?? []));
  if (options.config !== undefined) args.push("--config", options.config);
  const { preload, wrapper, env = {} } = options;
  const daemon = new DaemonProcess({ args, preload, wrapper, environment: env });
  await daemon.ready();
  const logged: RunningDaemon["logged"] = async (what, test) => {
    await waitFor(what, () => daemon.log.some(test), READY_TIMEOUT_MS);
    return daemon.log.find(test) as LogLine;
  };
  return {
    pid: daemon.pid,
    log: () => daemon.log,
    logged,
    async stop(signal = "SIGTERM") {
      daemon.signal(signal);
      return await daemon.ended();
    },
  };
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
  await waitFor(
    "the listener to be registered",
    () => {
      if (child.exitCode !== null) throw new Error(`the listener ended:\n${stderr}`);
      return stderr.includes("listening at");
    },
    READY_TIMEOUT_MS,
  );
  return { ...processOf(child), received, errors: () => stderr };
}

/** A program of Node that goes on until it is stopped. */
export interface RunningProgram extends RunningProcess {
  /** What it printed so far. */
  stdout(): string;
  stderr(): string;
}

/** Starts `node` with these arguments. */
export function startProgram(args: readonly string[]): RunningProgram {
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (stdout += chunk));
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (stderr += chunk));
  return { ...processOf(child), stdout: () => stdout, stderr: () => stderr };
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

/** A journal and what a daemon needs beside it, without Dovecot: the test writes the records. */
export interface Workspace {
  readonly folder: string;
  readonly journal: string;
  readonly stateDir: string;
  /** Appends records as one writer of this process's uid; what is not given is that of a plain delivery to jdoe. */
  write(...records: Record<string, unknown>[]): void;
  /** Appends bytes, whatever they are. */
  writeRaw(bytes: string | Buffer): void;
  /** Writes a configuration file and returns its path. */
  configFile(config: Record<string, unknown>): string;
  remove(): void;
}

export function makeWorkspace(): Workspace {
  const folder = mkdtempSync(join(tmpdir(), "ocnotify-test-"));
  const journal = join(folder, "journal");
  mkdirSync(journal);
  const segment = join(journal, segmentName());
  const common = { v: 1, event: "MessageNew", user: "jdoe", mailbox: "INBOX", sep: "/", uids: "1" };
  const writeRaw = (bytes: string | Buffer): void => appendFileSync(segment, bytes);
  return {
    folder,
    journal,
    stateDir: join(folder, "state"),
    writeRaw,
    write: (...records) => {
      const lines = records.map((record) => `${JSON.stringify({ ...common, ts: Date.now() * 1_000, ...record })}\n`);
      writeRaw(lines.join(""));
    },
    configFile: (config) => writeConfig(folder, config),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** Writes a configuration file into the folder and returns its path. */
export function writeConfig(folder: string, config: Record<string, unknown>): string {
  const path = join(folder, "ocnotify.yaml");
  writeFileSync(path, stringify(config));
  return path;
}

/** What memcached answers to one command line; its last line is left out. */
export async function askMemcached(port: number, command: string, end = "END"): Promise<string[]> {
  const socket = connect(port, "127.0.0.1");
  socket.write(`${command}\r\n`);
  const lines: string[] = [];
  for await (const line of createInterface({ input: socket })) {
    if (line === end) break;
    lines.push(line);
  }
  socket.destroy();
  return lines;
}

/** One of memcached's own counters, such as `cmd_get`. */
export async function memcachedStat(port: number, name: string): Promise<number> {
  const stats = await askMemcached(port, "stats");
  const line = stats.find((stat) => stat.startsWith(`STAT ${name} `));
  return Number(line?.split(" ")[2]);
}

/** The bytes that OpenChange's own code makes of a new mail whose text is ASCII. */
export function newMailBytes(eml: string, folder = "INBOX", backend = "sogo", separator = "/"): Buffer {
  return Buffer.from(`\u0001\u0002\u0000${backend}\0${eml}\0${folder}\0${separator}`, "latin1");
}
