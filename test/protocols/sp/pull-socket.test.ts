import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { spawn } from "node:child_process";
import { after, before, describe, it } from "node:test";
import { parseAddress } from "../../../src/protocols/sp/address.ts";
import type { SpError } from "../../../src/protocols/sp/errors.ts";
import { encodeFrame } from "../../../src/protocols/sp/frame.ts";
import { encodeHandshake } from "../../../src/protocols/sp/handshake.ts";
import { bindPull, type PullOptions, type PullSocket } from "../../../src/protocols/sp/pull-socket.ts";
import { createPush } from "../../../src/protocols/sp/push-socket.ts";
import { buildNnPrograms, type NnPrograms, startNanocatPush, startNnPush } from "../../helpers/nanocat.ts";
import { waitFor } from "../../helpers/wait.ts";

const anyPort = "tcp://127.0.0.1:0";

async function withPull(
  test: (pull: PullSocket, errors: SpError[]) => Promise<void>,
  options: PullOptions = {},
  address = anyPort,
): Promise<void> {
  const pull = await bindPull(address, options);
  const errors: SpError[] = [];
  pull.onPeerError((error) => errors.push(error));
  try {
    await test(pull, errors);
  } finally {
    await pull.close();
  }
}

async function take(pull: PullSocket, count: number): Promise<string[]> {
  const messages: string[] = [];
  if (count === 0) return messages;
  for await (const message of pull) {
    messages.push(message.toString());
    if (messages.length === count) break;
  }
  return messages;
}

/** A client that says what it is told to. */
function client(pull: PullSocket, bytes: Uint8Array): Socket {
  const address = parseAddress(pull.address);
  const socket = address.transport === "tcp" ? connect(address.port, address.host) : connect(address.path);
  socket.on("error", () => {});
  socket.resume();
  socket.write(bytes);
  return socket;
}

describe("a pull socket", () => {
  let programs: NnPrograms;
  let directory: string;
  before(async () => {
    programs = await buildNnPrograms();
    directory = await mkdtemp(join(tmpdir(), "ocnotify-sp-"));
  });
  after(async () => {
    await programs.remove();
    await rm(directory, { recursive: true });
  });

  for (const [name, address] of [
    ["tcp", () => anyPort],
    ["tcp on IPv6", () => "tcp://[::1]:0"],
    ["ipc", () => `ipc://${join(directory, "from-libnanomsg")}`],
  ] as const) {
    it(`receives from libnanomsg over ${name}`, async () => {
      await withPull(
        async (pull) => {
          const peer = startNnPush(programs, pull.address);
          try {
            const sent = ["", "one", "x".repeat(500_000), "last"];
            for (const message of sent) peer.send(Buffer.from(message));
            assert.deepEqual(await take(pull, sent.length), sent);
          } finally {
            await peer.stop();
          }
        },
        {},
        address(),
      );
    });
  }

  it("receives from nanocat", async () => {
    const file = join(directory, "message");
    await writeFile(file, Buffer.from("0100ff2f", "hex"));
    await withPull(async (pull) => {
      const peer = startNanocatPush(pull.address, file);
      try {
        for await (const message of pull) {
          assert.equal(message.toString("hex"), "0100ff2f");
          break;
        }
      } finally {
        await peer.stop();
      }
    });
  });

  it("drops a socket of another type and says what it is, while others go on", async () => {
    const file = join(directory, "publication");
    await writeFile(file, "news");
    await withPull(async (pull, errors) => {
      const wrong = startNanocatPush(pull.address, file, "pub");
      const right = startNnPush(programs, pull.address);
      try {
        await waitFor("the peer to be dropped", () => errors.length > 0);
        assert.equal(errors[0]?.code, "ERR_SP_PEER_PROTOCOL");
        assert.match(errors[0]?.message ?? "", /is a PUB socket, and a PUSH socket was expected/);
        right.send(Buffer.from("still here"));
        assert.deepEqual(await take(pull, 1), ["still here"]);
      } finally {
        await wrong.stop();
        await right.stop();
      }
    });
  });

  const push = encodeHandshake("PUSH");
  for (const [what, bytes, code] of [
    ["speaks HTTP", Buffer.from("GET / HTTP/1.1\r\n\r\n"), "ERR_SP_HANDSHAKE"],
    ["sends a length of 2^63", Buffer.concat([push, Buffer.from("8000000000000000", "hex")]), "ERR_SP_MESSAGE_SIZE"],
    [
      "sends a message over the limit",
      Buffer.concat([push, encodeFrame(Buffer.alloc(2000), "tcp")]),
      "ERR_SP_MESSAGE_SIZE",
    ],
    ["is silent", Buffer.alloc(0), "ERR_SP_TIMEOUT"],
  ] as const) {
    it(`drops a peer that ${what}, while others go on`, async () => {
      await withPull(
        async (pull, errors) => {
          const bad = client(pull, bytes);
          await once(bad, "close");
          await waitFor("the report", () => errors.length > 0);
          assert.equal(errors[0]?.code, code);
          assert.match(errors[0]?.message ?? "", /tcp:\/\/127\.0\.0\.1:\d+/);
          const good = createPush(pull.address);
          await good.send(Buffer.from("hello"));
          assert.deepEqual(await take(pull, 1), ["hello"]);
          await good.close();
        },
        { maxMessageSize: 1000, handshakeTimeoutMs: 100 },
      );
    });
  }

  it("tells of a peer that closes in the middle of a message, and keeps the whole ones", async () => {
    await withPull(async (pull, errors) => {
      const whole = encodeFrame(Buffer.from("whole"), "tcp");
      client(pull, Buffer.concat([push, whole, whole.subarray(0, 10)])).end();
      assert.deepEqual(await take(pull, 1), ["whole"]);
      await waitFor("the report", () => errors.length > 0);
      assert.equal(errors[0]?.code, "ERR_SP_CLOSED");
    });
  });

  it("bounds what unfinished messages hold together, by dropping those that were begun first", async () => {
    await withPull(async (pull, errors) => {
      // The header promises 1 MiB - 1; one byte of it never comes.
      const header = encodeFrame(Buffer.alloc(0), "tcp");
      header.writeUInt32BE(0xf_ffff, 4);
      const unfinished = Buffer.concat([encodeHandshake("PUSH"), header, Buffer.alloc(0xf_fffe)]);
      const peers: Socket[] = [];
      for (let begun = 1; begun <= 80; begun++) {
        peers.push(client(pull, unfinished));
        await waitFor("the peer", () => pull.peerCount + errors.length === begun);
      }
      await waitFor("the oldest to be dropped", () => errors.length >= 16);
      assert.ok(pull.peerCount > 0, "those that have begun last may still end their message");
      assert.match(errors[0]?.message ?? "", /its message is unfinished for longest and all of them hold over 64 MiB/);
      assert.equal(errors[0]?.code, "ERR_SP_MESSAGE_SIZE");

      const honest = createPush(pull.address);
      await honest.send(Buffer.from("x".repeat(500_000)));
      assert.equal((await take(pull, 1))[0]?.length, 500_000);
      await honest.close();
      for (const peer of peers) peer.destroy();
    });
  });

  it("stops reading when nobody takes, and loses nothing", async () => {
    const count = 3000;
    const size = 20_000;
    await withPull(
      async (pull) => {
        const sender = createPush(pull.address);
        let drained = 0;
        const sends = Array.from({ length: count }, async (_, index) => {
          await sender.send(Buffer.from(String(index).padEnd(size)));
          drained++;
        });
        let before = -1;
        // The sender has come to a halt when a whole turn of the loop of both sides drained nothing.
        await waitFor("the sender to be held back", () => {
          const halted = drained === before && drained > 0;
          before = drained;
          return halted;
        });
        assert.ok(drained < count, `${drained} of ${count} went through although nobody took any`);
        const messages = await take(pull, count);
        assert.deepEqual(
          messages.map((message) => Number(message)),
          Array.from({ length: count }, (_, index) => index),
        );
        await Promise.all(sends);
        await sender.close();
      },
      { highWaterMark: 10 },
    );
  });

  it("serves a quiet peer beside a busy one", async () => {
    await withPull(async (pull) => {
      const busy = createPush(pull.address);
      const quiet = createPush(pull.address);
      await Promise.all(Array.from({ length: 500 }, () => busy.send(Buffer.from("busy"))));
      await quiet.send(Buffer.from("quiet"));
      const first = await take(pull, 1);
      await waitFor("both peers", () => pull.peerCount === 2);
      const next = await take(pull, 20);
      const more = await take(pull, 480);
      assert.equal([...first, ...next, ...more].filter((message) => message === "quiet").length, 1);
      await busy.close();
      await quiet.close();
    });
  });

  it("yields what was received when it is closed, then ends, and frees the address", async () => {
    const path = join(directory, "closing");
    const pull = await bindPull(`ipc://${path}`);
    const sender = createPush(pull.address);
    await sender.send(Buffer.from("first"));
    assert.deepEqual(await take(pull, 1), ["first"]);
    await sender.send(Buffer.from("second"));
    await sender.send(Buffer.from("third"));
    const iterator = pull[Symbol.asyncIterator]();
    assert.equal((await iterator.next()).value?.toString(), "second");
    const pending = iterator.next();
    assert.equal((await pending).value?.toString(), "third");
    const ending = iterator.next();
    assert.equal(existsSync(path), true);
    await pull.close();
    await pull.close();
    assert.equal((await ending).done, true);
    assert.equal((await iterator.next()).done, true);
    assert.equal(existsSync(path), false);
    await sender.close();
  });

  it("yields after close what was waiting", async () => {
    const pull = await bindPull(anyPort);
    const sender = createPush(pull.address);
    await sender.send(Buffer.from("a"));
    await take(pull, 1);
    // All of one write arrive together, so taking the first shows that the others wait.
    const frames = ["b", "c", "d"].map((text) => encodeFrame(Buffer.from(text), "tcp"));
    client(pull, Buffer.concat([push, ...frames]));
    assert.deepEqual(await take(pull, 1), ["b"]);
    await pull.close();
    const rest: string[] = [];
    for await (const message of pull) rest.push(message.toString());
    assert.deepEqual(rest, ["c", "d"]);
    await sender.close();
  });

  it("replaces the ipc socket of a process that is gone, but not of one that lives", async () => {
    const path = join(directory, "stale");
    const script = `require("net").createServer().listen(${JSON.stringify(path)}, () => console.log("up"))`;
    const holder = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
    await once(holder.stdout, "data");
    await assert.rejects(bindPull(`ipc://${path}`), { code: "ERR_SP_IN_USE" });
    holder.kill("SIGKILL");
    await once(holder, "exit");
    assert.equal(existsSync(path), true);
    const pull = await bindPull(`ipc://${path}`);
    await pull.close();
  });

  it("leaves a file alone that is not a socket", async () => {
    const path = join(directory, "precious");
    await writeFile(path, "data");
    await assert.rejects(bindPull(`ipc://${path}`), { code: "ERR_SP_IN_USE", message: /not a socket/ });
    assert.equal(existsSync(path), true);
  });

  it("says that an address is taken, or not usable", async () => {
    await withPull(async (pull) => {
      await assert.rejects(bindPull(pull.address), { code: "ERR_SP_IN_USE" });
    });
    await assert.rejects(bindPull("inproc://x"), { code: "ERR_SP_ADDRESS" });
    await assert.rejects(bindPull(`ipc://${join(directory, "no", "such")}`), { message: /directory does not exist/ });
  });
});
