import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { freePort } from "./ports.ts";
import { waitFor } from "./wait.ts";

/** A process of libnanomsg. */
export interface Peer {
  readonly address: string;
  readonly process: ChildProcess;
  /** What it received so far, in order; grows. */
  readonly messages: Buffer[];
  /** Kills it by its pid and waits for its end. */
  stop(): Promise<void>;
}

/** `nanocat --pull` (or another receiving type) bound to `address` or a free loopback port. */
export async function startNanocatPull(address?: string, type = "pull"): Promise<Peer> {
  const bound = address ?? `tcp://127.0.0.1:${await freePort()}`;
  // nanocat wants to know what a socket that can send should send.
  const data = type === "pub" || type === "req" ? ["--data", "x", "--interval", "1"] : [];
  const format = type === "pub" ? [] : ["--hex"];
  const peer = start("nanocat", [`--${type}`, "--bind", bound, ...format, ...data], bound, parseNanocatLine);
  await listening(peer);
  return peer;
}

/** `nanocat` of a sending type that connects to `address` and sends the file, again and again (interval in seconds). */
export function startNanocatPush(address: string, file: string, type = "push"): Peer {
  return start("nanocat", [`--${type}`, "--connect", address, "--file", file, "-i", "1"], address, () => undefined);
}

/**
 * A PULL socket of libnanomsg that prints whatever bytes it gets; also on IPv6, which nanocat cannot do.
 * @param leftOut messages in which this stands are read and not handed on
 */
export async function startNnPull(programs: NnPrograms, address?: string, leftOut?: string): Promise<Peer> {
  const bound = address ?? `tcp://127.0.0.1:${await freePort()}`;
  let ready = false;
  const args = leftOut === undefined ? [bound] : [bound, leftOut];
  const peer = start(programs.pull, args, bound, (line) => {
    if (!ready) {
      ready = line === "ready";
      return undefined;
    }
    return Buffer.from(line, "hex");
  });
  await waitFor(`nn-pull on ${bound}`, () => ready || peer.process.exitCode !== null);
  if (!ready) throw new Error(`nn-pull cannot bind ${bound}`);
  return peer;
}

/** A PUSH socket of libnanomsg that connects to `address` and sends what `send` is given. */
export function startNnPush(programs: NnPrograms, address: string): Peer & { send(message: Buffer): void } {
  const peer = start(programs.push, [address], address, () => undefined);
  return { ...peer, send: (message) => void peer.process.stdin?.write(`${message.toString("hex")}\n`) };
}

/** Paths of the two C programs beside this file, compiled. */
export interface NnPrograms {
  readonly pull: string;
  readonly push: string;
  remove(): Promise<void>;
}

/** Compiles nn-pull.c and nn-push.c into a directory of their own; `remove` deletes it. */
export async function buildNnPrograms(): Promise<NnPrograms> {
  const directory = await mkdtemp(join(tmpdir(), "ocnotify-nn-"));
  const build = async (name: string): Promise<string> => {
    const program = join(directory, name);
    await promisify(execFile)("gcc", ["-O2", "-o", program, join(import.meta.dirname, `${name}.c`), "-lnanomsg"]);
    return program;
  };
  const [pull, push] = await Promise.all([build("nn-pull"), build("nn-push")]);
  return { pull, push, remove: () => rm(directory, { recursive: true, force: true }) };
}

function start(program: string, args: string[], address: string, parse: (line: string) => Buffer | undefined): Peer {
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const messages: Buffer[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => {
    const message = parse(line);
    if (message !== undefined) messages.push(message);
  });
  child.stdin.on("error", () => {});
  return {
    address,
    process: child,
    messages,
    async stop() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

/** nanocat says nothing when it is ready, so ask the address itself. */
async function listening(peer: Peer): Promise<void> {
  let accepted = false;
  const attempt = (): void => {
    const match = /^tcp:\/\/(.*):(\d+)$/.exec(peer.address);
    const socket =
      match === null ? connect(peer.address.slice("ipc://".length)) : connect(Number(match[2]), match[1] ?? "");
    socket.on("connect", () => {
      accepted = true;
      socket.destroy();
    });
    socket.on("error", () => setTimeout(attempt, 10));
  };
  attempt();
  await waitFor(`nanocat on ${peer.address}`, () => accepted || peer.process.exitCode !== null);
  if (!accepted) throw new Error(`nanocat ended on ${peer.address}`);
}

/** `"\x61\x62"` */
function parseNanocatLine(line: string): Buffer {
  return Buffer.from(line.replaceAll(/["\\x]/g, ""), "hex");
}
