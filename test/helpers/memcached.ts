import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

import type { MemcachedAddress } from "../../src/protocols/memcached/connection.ts";
import { freePort } from "./ports.ts";
import { pauseProcess } from "./pause.ts";

/** A real memcached. */
export interface TestMemcached {
  address: MemcachedAddress;
  /** The port, or 0 on a unix socket. */
  port: number;
  /** Its part of a libmemcached configuration string. */
  config: string;
  readonly pid: number;
  stop(): Promise<void>;
  /** Kills it with SIGKILL and starts it again, empty, on the same port or path. */
  restart(): Promise<void>;
  /** SIGSTOP: connections are accepted by the kernel, and nobody answers. */
  pause(): void;
  resume(): void;
}

/** Starts Debian's `memcached` on a free loopback port, on `port` of `host`, or on a unix socket; it answers when this resolves. */
export async function startMemcached(
  options: { port?: number; host?: string; unix?: string; args?: readonly string[] } = {},
): Promise<TestMemcached> {
  const { host = "127.0.0.1", unix } = options;
  const port = unix === undefined ? (options.port ?? (await freePort(host))) : 0;
  const address: MemcachedAddress = unix === undefined ? { kind: "tcp", host, port } : { kind: "unix", path: unix };
  const args = unix === undefined ? ["-l", host, "-p", String(port), "-U", "0"] : ["-s", unix, "-a", "0777"];
  if (process.getuid?.() === 0) {
    args.push("-u", unix === undefined ? "nobody" : "root");
  }
  args.push("-m", "16", "-t", "1", ...(options.args ?? []));

  let child = await launch(args, address);
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      child.ref();
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
    }
  };
  return {
    address,
    port,
    config: unix === undefined ? `--SERVER=${host}:${port}` : `--SOCKET="${unix}"`,
    get pid() {
      return child.pid ?? 0;
    },
    stop,
    async restart() {
      await stop();
      child = await launch(args, address);
    },
    pause() {
      pauseProcess(child.pid ?? 0);
    },
    resume: () => void child.kill("SIGCONT"),
  };
}

async function launch(args: readonly string[], address: MemcachedAddress): Promise<ChildProcess> {
  const child = spawn("memcached", args, { stdio: ["ignore", "ignore", "pipe"] });
  let errors = "";
  child.stderr?.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  let failure: Error | undefined;
  child.on("error", (error) => (failure = error));
  const deadline = Date.now() + 10_000;
  while (!(await answers(address))) {
    if (failure !== undefined || child.exitCode !== null || Date.now() > deadline) {
      child.kill("SIGKILL");
      throw new Error(`memcached ${args.join(" ")} does not answer: ${errors}`, { cause: failure });
    }
    await delay(10);
  }
  // A test that forgets to stop it must not hang.
  child.unref();
  return child;
}

/** Whether a memcached answers there. */
function answers(address: MemcachedAddress): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = address.kind === "tcp" ? connect(address.port, address.host) : connect(address.path);
    socket.setTimeout(1000, () => socket.destroy());
    socket.on("connect", () => socket.write("version\r\n"));
    socket.on("data", (chunk) => {
      resolve(chunk.toString().startsWith("VERSION"));
      socket.destroy();
    });
    socket.on("error", () => socket.destroy());
    socket.on("close", () => resolve(false));
  });
}
