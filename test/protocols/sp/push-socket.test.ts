import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { describe, it } from "node:test";
import { SpError } from "../../../src/protocols/sp/errors.ts";
import { encodeHandshake } from "../../../src/protocols/sp/handshake.ts";
import { bindPull, type PullSocket } from "../../../src/protocols/sp/pull-socket.ts";
import { createPush } from "../../../src/protocols/sp/push-socket.ts";
import { freePort } from "../../helpers/ports.ts";

const anyPort = "tcp://127.0.0.1:0";

async function take(pull: PullSocket, count: number): Promise<string[]> {
  const messages: string[] = [];
  for await (const message of pull) {
    messages.push(message.toString());
    if (messages.length === count) break;
  }
  return messages;
}

describe("a push socket", () => {
  it("sends in the order of the calls, from before it is connected", async () => {
    const pull = await bindPull(anyPort);
    const push = createPush(pull.address);
    const sent = Array.from({ length: 100 }, (_, index) => `message ${index}`);
    await Promise.all(sent.map((message) => push.send(Buffer.from(message))));
    assert.deepEqual(await take(pull, sent.length), sent);
    await push.close();
    await pull.close();
  });

  it("copies the payload, so that the caller may use the buffer again", async () => {
    const pull = await bindPull(anyPort);
    const push = createPush(pull.address);
    const payload = Buffer.from("before");
    const sending = push.send(payload);
    payload.write("after!");
    await sending;
    assert.deepEqual(await take(pull, 1), ["before"]);
    await push.close();
    await pull.close();
  });

  it("rejects while nobody listens, and connects again with the next message", async () => {
    const address = `tcp://127.0.0.1:${await freePort()}`;
    const push = createPush(address);
    await assert.rejects(push.send(Buffer.from("lost")), { code: "ERR_SP_REFUSED", canRetry: true });
    const pull = await bindPull(address);
    await push.send(Buffer.from("found"));
    assert.deepEqual(await take(pull, 1), ["found"]);
    await push.close();
    await pull.close();
  });

  it("rejects what a peer that never reads did not take when it is closed", async () => {
    const server = createServer((socket) => {
      socket.pause();
      socket.on("error", () => {});
      socket.write(encodeHandshake("PULL"));
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    assert.ok(address !== null && typeof address !== "string");
    const closeTimeoutMs = 100;
    const push = createPush(`tcp://127.0.0.1:${address.port}`, { closeTimeoutMs });
    const sends = Promise.allSettled(Array.from({ length: 64 }, () => push.send(Buffer.alloc(1024 * 1024))));
    await push.close();
    const last = (await sends).at(-1);
    assert.ok(last?.status === "rejected");
    assert.ok(last.reason instanceof SpError && last.reason.code === "ERR_SP_CLOSED");
    server.close();
  });

  it("drains what was sent before it closes, and refuses what comes after", async () => {
    const pull = await bindPull(anyPort);
    const push = createPush(pull.address);
    const sends = Promise.all([push.send(Buffer.from("one")), push.send(Buffer.from("two"))]);
    await push.close();
    await sends;
    assert.deepEqual(await take(pull, 2), ["one", "two"]);
    await assert.rejects(push.send(Buffer.from("three")), { code: "ERR_SP_CLOSED" });
    await pull.close();
  });

  it("refuses a message that the receiver would drop the connection for", async () => {
    const push = createPush("tcp://127.0.0.1:9", { maxMessageSize: 10 });
    await assert.rejects(push.send(Buffer.alloc(11)), { code: "ERR_SP_MESSAGE_SIZE", canRetry: false });
    await push.close();
  });

  it("refuses an address that nobody can connect to at once", () => {
    assert.throws(() => createPush("tcp://*:1"), { code: "ERR_SP_ADDRESS" });
  });
});
