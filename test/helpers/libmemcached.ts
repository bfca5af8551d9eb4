import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const SOURCE = fileURLToPath(new URL("libmemcached.c", import.meta.url));

/** What the library makes of a configuration string. */
export interface LibmemcachedConfig {
  hash: string;
  distribution: string;
  namespace: string;
  /** `host:port`, or `path:0`. */
  servers: string[];
}

/** The real libmemcached, which answers questions. An undefined answer is a refusal or a miss. */
export interface Libmemcached {
  config(config: string): Promise<LibmemcachedConfig | undefined>;
  /** `host:port` of each key. */
  place(config: string, keys: readonly string[]): Promise<string[]>;
  set(config: string, key: string, value: Uint8Array): Promise<boolean>;
  get(config: string, key: string): Promise<Buffer | undefined>;
  stop(): Promise<void>;
}

const hex = (text: string | Uint8Array): string => Buffer.from(text).toString("hex");

/** Compiles and starts it; needs gcc and Debian's libmemcached-dev. */
export async function startLibmemcached(): Promise<Libmemcached> {
  const directory = await mkdtemp(join(tmpdir(), "ocnotify-libmemcached-"));
  const program = join(directory, "libmemcached");
  await promisify(execFile)("gcc", ["-Wall", "-o", program, SOURCE, "-lmemcached", "-lhashkit"]);
  const child: ChildProcess = spawn(program, { stdio: ["pipe", "pipe", "inherit"] });
  const { stdin, stdout } = child;
  if (stdin === null || stdout === null) {
    throw new Error("no pipe");
  }
  const lines = createInterface(stdout)[Symbol.asyncIterator]();

  async function ask(...fields: string[]): Promise<string[] | undefined> {
    stdin?.write(`${fields.join(" ")}\n`);
    const line = await lines.next();
    if (line.done === true) {
      throw new Error(`libmemcached died at: ${fields.join(" ")}`);
    }
    const [verdict, ...rest] = line.value.split(" ");
    return verdict === "ok" ? rest : undefined;
  }

  return {
    async config(config) {
      const answer = await ask("c", hex(config));
      if (answer === undefined) {
        return undefined;
      }
      const [hash = "", distribution = "", namespace = ""] = answer;
      return { hash, distribution, namespace: Buffer.from(namespace, "hex").toString(), servers: answer.slice(7) };
    },
    async place(config, keys) {
      return (await ask("p", hex(config), ...keys.map(hex))) ?? [];
    },
    async set(config, key, value) {
      return (await ask("s", hex(config), hex(key), hex(value))) !== undefined;
    },
    async get(config, key) {
      const answer = await ask("g", hex(config), hex(key));
      return answer === undefined ? undefined : Buffer.from(answer[0] ?? "", "hex");
    },
    async stop() {
      stdin.end();
      child.kill();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
