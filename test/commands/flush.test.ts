import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { after, afterEach, before, describe, test } from "node:test";
import { Resolver } from "../../src/destinations/openchange/resolver.ts";
import { MemcachedServer } from "../../src/protocols/memcached/server.ts";
import { startMemcached, type TestMemcached } from "../helpers/memcached.ts";
import { startNanocatPull, type Peer } from "../helpers/nanocat.ts";
import { askMemcached, CLI, newMailBytes, ocnotify, type CliResult } from "../helpers/ocnotify.ts";
import { pauseProcess } from "../helpers/pause.ts";
import { freePort } from "../helpers/ports.ts";
import { waitFor } from "../helpers/wait.ts";

const dead = async (): Promise<string> => `tcp://127.0.0.1:${await freePort()}`;

describe("ocnotify flush", () => {
  let memcached: TestMemcached;
  let resolver: Resolver;
  let peer: Peer;
  before(async () => {
    memcached = await startMemcached();
    resolver = new Resolver(memcached.config);
    peer = await startNanocatPull();
  });
  afterEach(() => askMemcached(memcached.port, "flush_all", "OK"));
  after(async () => {
    resolver.close();
    await peer.stop();
    await memcached.stop();
  });

  const flush = (...args: string[]): Promise<CliResult> =>
    ocnotify(["flush", "-U", "jdoe", "-H", memcached.config, ...args]);
  const register = async (...hosts: string[]): Promise<void> => {
    for (const host of hosts) await resolver.register("jdoe", host);
  };

  /** Flushes on a terminal, where this is typed. */
  const onTerminal = async (typed: string): Promise<{ code: number; output: string }> => {
    const command = [process.execPath, CLI, "flush", "-U", "jdoe", "-H", memcached.config].join(" ");
    const child = spawn("script", ["-qec", command, "/dev/null"], { stdio: ["pipe", "pipe", "inherit"] });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => (output += chunk));
    child.stdin.on("error", () => {});
    const ended = once(child, "close");
    await waitFor("the question", () => output.includes("[y/N]"));
    child.stdin.write(typed);
    const [code] = (await ended) as [number];
    return { code, output };
  };

  test("deletes a record of which no host answers, or which does not decode, and says when there is none", async () => {
    await register(await dead(), await dead(), "ipc:///nowhere/at.all", "what is no address");
    assert.deepEqual(await flush(), { code: 0, stdout: "flushed\n", stderr: "" });
    assert.deepEqual(await flush(), { code: 0, stdout: "there was no record\n", stderr: "" });
    const server = new MemcachedServer(memcached.address);
    await server.set("resolver:jdoe", Buffer.from("garbage"));
    server.close();
    assert.deepEqual(await flush(), { code: 0, stdout: "flushed\n", stderr: "" });
  });

  test("refuses without a terminal while hosts answer: the error names them and what to do", async () => {
    const gone = await dead();
    await register(gone, peer.address);
    const { code, stdout, stderr } = await flush();
    assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
    assert.match(stderr, /^ocnotify: 1 of 2 hosts of jdoe still answer: [^\n]*until Outlook connects again[^\n]*\n$/);
    assert.ok(stderr.includes(peer.address) && !stderr.includes(gone), stderr);
    assert.match(stderr, /remove_refused_after[^\n]*ocnotify flush --username jdoe --yes\n$/);
    assert.deepEqual(await resolver.hosts("jdoe"), [gone, peer.address]);
    // It is still a receiver, and took no fault at being tried.
    assert.equal((await ocnotify(["send", "-U", "jdoe", "-H", memcached.config])).code, 1);
    await waitFor("the notification", () => peer.messages.some((message) => message.equals(newMailBytes("1.eml"))));
  });

  test("deletes with --yes whoever answers", async () => {
    await register(peer.address);
    assert.deepEqual(await flush("--yes"), { code: 0, stdout: "flushed\n", stderr: "" });
    assert.deepEqual(await resolver.hosts("jdoe"), []);
  });

  test("asks on a terminal, and deletes only at a yes", async () => {
    await register(peer.address);
    for (const no of ["n\n", "\n", "\u0004"]) {
      const { code, output } = await onTerminal(no);
      assert.equal(code, 1, output);
      assert.match(output, /still answer: tcp:.*nothing was deleted/s);
      assert.deepEqual(await resolver.hosts("jdoe"), [peer.address]);
    }
    const { code, output } = await onTerminal("y\n");
    assert.equal(code, 0, output);
    assert.match(output, /flushed/);
    assert.deepEqual(await resolver.hosts("jdoe"), []);
  });

  test("takes a host for one that answers that hangs, or that something else listens at", async () => {
    const hung = await startNanocatPull();
    const other = createServer(() => {}).listen(0, "127.0.0.1");
    await once(other, "listening");
    try {
      pauseProcess(hung.process.pid ?? 0);
      const { port } = other.address() as { port: number };
      await register(hung.address, `tcp://127.0.0.1:${port}`);
      const { code, stderr } = await flush();
      assert.equal(code, 1);
      assert.match(stderr, /^ocnotify: 2 of 2 hosts of jdoe still answer/);
    } finally {
      await hung.stop();
      other.close();
    }
  });

  test("tries only the hundred hosts that registered last, and names five", async () => {
    const port = peer.address.split(":").at(-1);
    const many = Array.from({ length: 300 }, (_, n) => `tcp://127.0.${n >> 8}.${n & 255}:${port}`);
    const server = createServer((socket) => socket.resume()).listen(0, "0.0.0.0");
    await once(server, "listening");
    const { port: open } = server.address() as { port: number };
    try {
      await register(...many, ...Array.from({ length: 7 }, (_, n) => `tcp://127.1.0.${n}:${open}`));
      const { stderr } = await flush();
      assert.match(
        stderr,
        /^ocnotify: 7 of the last 100 hosts of jdoe still answer: (tcp:\S+, ){4}tcp:\S+ and 2 more\. /,
      );
    } finally {
      server.close();
    }
  });
});
