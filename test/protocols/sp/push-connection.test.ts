import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { parseAddress } from "../../../src/protocols/sp/address.ts";
import { SpError } from "../../../src/protocols/sp/errors.ts";
import { encodeFrame } from "../../../src/protocols/sp/frame.ts";
import { encodeHandshake } from "../../../src/protocols/sp/handshake.ts";
import { connectPush, type PushConnection } from "../../../src/protocols/sp/push-connection.ts";
import { buildNnPrograms, type NnPrograms, type Peer, startNanocatPull, startNnPull } from "../../helpers/nanocat.ts";
import { freePort } from "../../helpers/ports.ts";
import { waitFor } from "../../helpers/wait.ts";
import { pauseProcess } from "../../helpers/pause.ts";

const connectTimeoutMs = 5000;
const shortTimeoutMs = 200;

function open(address: string, timeout = connectTimeoutMs): Promise<PushConnection> {
  return connectPush(parseAddress(address), { connectTimeoutMs: timeout });
}

function closed(connection: PushConnection): Promise<SpError | undefined> {
  return new Promise((resolve) => connection.onClose(resolve));
}

/** A peer under the test's control. */
async function fakePeer(onConnection: (socket: Socket) => void): Promise<{ address: string; server: Server }> {
  const server = createServer(onConnection).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  assert.ok(address !== null && typeof address !== "string");
  return { address: `tcp://127.0.0.1:${address.port}`, server };
}

async function withPeer(
  onConnection: (socket: Socket) => void,
  test: (address: string) => Promise<void>,
): Promise<void> {
  const sockets: Socket[] = [];
  const { address, server } = await fakePeer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    onConnection(socket);
  });
  try {
    await test(address);
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

async function delivers(peer: Peer): Promise<void> {
  try {
    const connection = await open(peer.address);
    const messages = [Buffer.from("0100ff2f", "hex"), Buffer.alloc(0), Buffer.alloc(100_000, 7), Buffer.from("last")];
    const frames = messages.map((message) => encodeFrame(message, connection.transport));
    let drained = 0;
    connection.write(Buffer.concat(frames.slice(0, 2)), () => drained++);
    for (const frame of frames.slice(2)) connection.write(frame, () => drained++);
    await waitFor("all messages", () => peer.messages.length === messages.length);
    assert.deepEqual(peer.messages, messages);
    assert.equal(drained, 3);
    assert.equal(connection.bytesDrained, Buffer.concat(frames).length);
    const end = closed(connection);
    connection.end();
    assert.equal(await end, undefined);
  } finally {
    await peer.stop();
  }
}

describe("a push connection to real libnanomsg", () => {
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

  it("delivers over tcp", async () => delivers(await startNnPull(programs)));
  it("delivers over tcp on IPv6", async () =>
    delivers(await startNnPull(programs, `tcp://[::1]:${await freePort("::1")}`)));
  it("delivers over ipc", async () => delivers(await startNnPull(programs, `ipc://${join(directory, "pull")}`)));
  it("delivers to nanocat", async () => delivers(await startNanocatPull()));

  for (const [type, name] of [
    ["pub", "PUB"],
    ["req", "REQ"],
    ["pair", "PAIR"],
  ] as const) {
    it(`refuses a ${name} socket and says so`, async () => {
      const peer = await startNanocatPull(undefined, type);
      try {
        await assert.rejects(open(peer.address), {
          code: "ERR_SP_PEER_PROTOCOL",
          canRetry: false,
          message: new RegExp(`is a ${name} socket`),
        });
      } finally {
        await peer.stop();
      }
    });
  }

  it("gives up on a process that is stopped, which the kernel still accepts for", async () => {
    const peer = await startNnPull(programs);
    try {
      pauseProcess(peer.process.pid ?? 0);
      await assert.rejects(open(peer.address, shortTimeoutMs), { code: "ERR_SP_TIMEOUT", canRetry: true });
    } finally {
      await peer.stop();
    }
  });

  it("notices that the receiver was killed, and then that nobody listens", async () => {
    const peer = await startNnPull(programs);
    const connection = await open(peer.address);
    const end = closed(connection);
    await peer.stop();
    const error = await end;
    assert.ok(error?.code === "ERR_SP_CLOSED" || error?.code === "ERR_SP_RESET");
    assert.equal(error.canRetry, true);
    await assert.rejects(open(peer.address), { code: "ERR_SP_REFUSED", canRetry: true });
  });

  it("notices that the receiver dropped it for a message over its limit", async () => {
    const peer = await startNnPull(programs);
    try {
      const connection = await open(peer.address);
      const end = closed(connection);
      connection.write(encodeFrame(Buffer.alloc(1024 * 1024 + 1), "tcp"), () => {});
      assert.equal((await end)?.canRetry, true);
      assert.deepEqual(peer.messages, []);
    } finally {
      await peer.stop();
    }
  });
});

describe("a push connection to a peer that misbehaves", () => {
  it("refuses a greeting that is not SP's at its first byte", async () => {
    await withPeer(
      (socket) => socket.write("S"),
      async (address) => {
        await assert.rejects(open(address), { code: "ERR_SP_HANDSHAKE", canRetry: false });
      },
    );
  });

  it("takes a handshake that comes byte by byte", async () => {
    await withPeer(
      (socket) => {
        socket.setNoDelay(true);
        const bytes = [...encodeHandshake("PULL")];
        const next = (): void => {
          const byte = bytes.shift();
          if (byte !== undefined) socket.write(Buffer.of(byte), () => setImmediate(next));
        };
        next();
      },
      async (address) => (await open(address)).destroy(),
    );
  });

  it("can retry when the peer closes before the handshake", async () => {
    await withPeer(
      (socket) => socket.end(),
      async (address) => {
        await assert.rejects(open(address), { code: "ERR_SP_CLOSED", canRetry: true });
      },
    );
  });

  it("reports a peer that closes right after the handshake, once, also to who asks late", async () => {
    await withPeer(
      (socket) => socket.end(encodeHandshake("PULL")),
      async (address) => {
        const connection = await open(address);
        let reports = 0;
        connection.onClose((error) => {
          reports++;
          assert.equal(error?.code, "ERR_SP_CLOSED");
        });
        await waitFor("the report", () => reports > 0);
        connection.destroy();
        const late = await closed(connection);
        assert.equal(late?.code, "ERR_SP_CLOSED");
        assert.equal(reports, 1);
      },
    );
  });

  it("reports a reset", async () => {
    await withPeer(
      (socket) => {
        socket.write(encodeHandshake("PULL"));
        socket.on("data", () => {
          if (socket.bytesRead > encodeHandshake("PULL").length) socket.resetAndDestroy();
        });
      },
      async (address) => {
        const connection = await open(address);
        const end = closed(connection);
        connection.write(Buffer.from("x"), () => {});
        assert.equal((await end)?.code, "ERR_SP_RESET");
      },
    );
  });

  it("ends the connection of a PULL socket that sends", async () => {
    await withPeer(
      (socket) => {
        socket.write(encodeHandshake("PULL"));
        socket.once("data", () => socket.write("what?"));
      },
      async (address) => {
        let outcome: string | undefined;
        try {
          outcome = (await closed(await open(address)))?.code;
        } catch (error) {
          // Handshake and data can arrive in one piece.
          assert.ok(error instanceof SpError);
          outcome = error.code;
        }
        assert.equal(outcome, "ERR_SP_FRAME");
      },
    );
  });

  it("does not call what a peer that never reads leaves in the buffer drained", async () => {
    await withPeer(
      (socket) => {
        socket.pause();
        socket.write(encodeHandshake("PULL"));
      },
      async (address) => {
        const connection = await open(address);
        const chunk = Buffer.alloc(4 * 1024 * 1024);
        let drained = 0;
        const count = 16;
        for (let index = 0; index < count; index++) connection.write(chunk, () => drained++);
        const end = closed(connection);
        connection.destroy();
        assert.equal(await end, undefined);
        assert.ok(drained < count);
        assert.equal(connection.bytesDrained, drained * chunk.length);
      },
    );
  });

  it("can retry a name that is not found", async () => {
    await assert.rejects(open("tcp://no-such-host.invalid:5000"), { code: "ERR_SP_DNS", canRetry: true });
  });

  it("can retry an ipc path where nothing is", async () => {
    await assert.rejects(open(`ipc://${join(tmpdir(), "ocnotify-nothing-here")}`), {
      code: "ERR_SP_REFUSED",
      canRetry: true,
    });
  });
});
