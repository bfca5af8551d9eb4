import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { ask } from "../../src/http/client.ts";
import { Problem } from "../../src/http/problem.ts";
import type { Route } from "../../src/http/router.ts";
import { serveOnSocket } from "../../src/http/server.ts";
import { createLog } from "../../src/log.ts";
import { waitFor } from "../helpers/wait.ts";

/** What a client is given here; five seconds would be long for a test. */
const CLIENT_MS = 300;
const PATIENCE_MS = 5_000;

const descriptors = (): number => readdirSync("/proc/self/fd").length;

const ended = async (socket: Socket): Promise<void> => {
  await waitFor("the server to close", () => socket.readableEnded || socket.destroyed, PATIENCE_MS);
};

describe("a server on a unix socket", () => {
  // What it logs is of no interest here.
  const log = createLog({ level: "error", format: "json" });
  log.level = "silent";
  const folder = mkdtempSync(join(tmpdir(), "ocnotify-http-"));
  const path = join(folder, "socket");
  let large = "";
  const routes: Route[] = [
    { method: "GET", path: "/hello", handle: () => ({ hello: "world" }) },
    { method: "GET", path: "/large", handle: () => large },
    { method: "POST", path: "/echo/:what", handle: ({ parameters, body }) => ({ ...parameters, body }) },
    {
      method: "GET",
      path: "/problem",
      handle: () => {
        throw new Problem(409, "ERR_TEST", "it is so");
      },
    },
    {
      method: "GET",
      path: "/broken",
      handle: async () => {
        throw new Error("it broke");
      },
    },
  ];
  let server: { close(): void };
  const clients: Socket[] = [];

  before(() => {
    large = "x".repeat(8 * 1024 * 1024);
  });
  beforeEach(async () => {
    server = await serveOnSocket({ path, mode: 0o640 }, routes, log, CLIENT_MS);
  });
  afterEach(() => {
    for (const client of clients.splice(0)) client.destroy();
    server.close();
  });
  after(() => rmSync(folder, { recursive: true }));

  const client = async (): Promise<Socket> => {
    const socket = connect({ path, allowHalfOpen: true });
    socket.on("error", () => undefined);
    clients.push(socket);
    await once(socket, "connect");
    return socket;
  };
  /** What the server says to these bytes, up to its end. */
  const said = async (bytes: string | Buffer): Promise<string> => {
    const socket = await client();
    socket.write(bytes);
    return await text(socket);
  };

  it("has the permissions that it is to have, whatever is in the way", async () => {
    assert.equal(statSync(path).mode & 0o777, 0o640);
    server.close();
    writeFileSync(path, "in the way");
    server = await serveOnSocket({ path, mode: 0o600 }, routes, log, CLIENT_MS);
    assert.equal(statSync(path).mode & 0o777, 0o600);
  });

  it("says what it cannot make", async () => {
    const nowhere = { path: join(folder, "none", "socket"), mode: 0o600 };
    await assert.rejects(serveOnSocket(nowhere, routes, log), {
      code: "ERR_SOCKET",
      message: /^cannot make .*none\/socket: /,
    });
  });

  it("answers with JSON, and closes", async () => {
    assert.deepEqual(await ask(path, "GET", "/hello", { timeoutMs: PATIENCE_MS }), {
      status: 200,
      body: { hello: "world" },
    });
    const echoed = await ask(path, "POST", "/echo/a%2Fb", { body: ["ä"], timeoutMs: PATIENCE_MS });
    assert.deepEqual(echoed, { status: 200, body: { what: "a/b", body: ["ä"] } });
    const answer = await said("GET /hello HTTP/1.1\r\nHost: x\r\n\r\nGET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    assert.match(answer, /^HTTP\/1\.1 200 OK\r\ncontent-type: application\/json\r\n/);
    assert.equal(answer.split("HTTP/1.1").length, 2, "one request for each connection");
  });

  it("answers HEAD without the body", async () => {
    const answer = await said("HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    assert.match(answer, /^HTTP\/1\.1 200 OK\r\n(?:.*\r\n)*content-length: 18\r\n(?:.*\r\n)*\r\n$/);
  });

  it("says problems as problem+json", async () => {
    const answer = await said("GET /problem HTTP/1.1\r\nHost: x\r\n\r\n");
    assert.match(answer, /^HTTP\/1\.1 409 Conflict\r\ncontent-type: application\/problem\+json\r\n/);
    assert.deepEqual(JSON.parse(answer.split("\r\n\r\n")[1] ?? ""), {
      type: "about:blank",
      title: "Conflict",
      status: 409,
      detail: "it is so",
      code: "ERR_TEST",
    });
    const broken = await ask(path, "GET", "/broken", { timeoutMs: PATIENCE_MS });
    assert.deepEqual([broken.status, (broken.body as { code: string }).code], [500, "ERR_INTERNAL"]);
    assert.match(await said("DELETE /hello HTTP/1.1\r\nHost: x\r\n\r\n"), /^HTTP\/1\.1 405 .*\r\nallow: GET, HEAD\r\n/);
  });

  const refused: readonly (readonly [string, string, RegExp])[] = [
    ["what is no HTTP", "EHLO mail.example.com\r\n\r\n", /^HTTP\/1\.1 400 .*"code":"ERR_HTTP_REQUEST"/s],
    [
      "a header that is too long",
      `GET /hello HTTP/1.1\r\nHost: x\r\nA: ${"x".repeat(9_000)}\r\n\r\n`,
      /^HTTP\/1\.1 431 .*"code":"ERR_HTTP_HEADER"/s,
    ],
    [
      "a body that is no JSON",
      "POST /echo/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n{",
      /^HTTP\/1\.1 400 .*"code":"ERR_HTTP_BODY"/s,
    ],
    [
      "a body that is too long",
      `POST /echo/a HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n${" ".repeat(20_000)}`,
      /^HTTP\/1\.1 413 .*"code":"ERR_HTTP_BODY"/s,
    ],
    [
      "a body without an end that is too long",
      `POST /echo/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${`400\r\n${" ".repeat(1_024)}\r\n`.repeat(17)}`,
      /^HTTP\/1\.1 413 .*"code":"ERR_HTTP_BODY"/s,
    ],
    ["half a request", "GET /hel", /^HTTP\/1\.1 408 .*"code":"ERR_HTTP_TIMEOUT"/s],
    [
      "half a body",
      "POST /echo/a HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{",
      /^HTTP\/1\.1 408 .*"code":"ERR_HTTP_TIMEOUT"/s,
    ],
  ];
  for (const [what, bytes, answer] of refused) {
    it(`refuses ${what}, and closes`, async () => {
      assert.match(await said(bytes), answer);
    });
  }

  it("is done with one that says nothing, or says it slowly", async () => {
    const silent = await client();
    const slow = await client();
    const dripping = setInterval(() => slow.write("x"), CLIENT_MS / 10);
    slow.write("GET /hello HTTP/1.1\r\nHost: x\r\nA: ");
    silent.resume();
    slow.resume();
    await Promise.all([ended(silent), ended(slow)]).finally(() => clearInterval(dripping));
  });

  it("is done with one that does not read the answer", async () => {
    const before = descriptors();
    const socket = await client();
    socket.write("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    await waitFor("both ends", () => descriptors() === before + 2, PATIENCE_MS);
    await waitFor("the server's end to be closed", () => descriptors() === before + 1, PATIENCE_MS);
    assert.ok(!socket.destroyed);
  });

  it("turns away the 65th at once, and takes others when those are gone", async () => {
    const holding = [];
    for (let count = 0; count < 64; count++) holding.push(await client());
    const before = performance.now();
    const further = await client();
    further.resume();
    await ended(further);
    assert.ok(performance.now() - before < CLIENT_MS, "not only when its time was over");
    for (const socket of holding) socket.destroy();
    await waitFor("a place", async () => {
      const answer = await ask(path, "GET", "/hello", { timeoutMs: PATIENCE_MS }).catch(() => undefined);
      return answer?.status === 200;
    });
  });
});
