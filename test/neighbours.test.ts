import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { createServer, type Socket } from "node:net";
import { once } from "node:events";
import { describe, test, type TestContext } from "node:test";
import { Resolver } from "../src/index.ts";
import { askStatus } from "../src/status.ts";
import { encodeHandshake } from "../src/protocols/sp/handshake.ts";
import { NOT_ROOT, STRANGE_UID } from "./helpers/journal.ts";
import { startMemcached, type TestMemcached } from "./helpers/memcached.ts";
import { TestNameService } from "./helpers/name-service.ts";
import { startNanocatPull, type Peer } from "./helpers/nanocat.ts";
import { makeWorkspace, startDaemon, type RunningDaemon } from "./helpers/ocnotify.ts";
import { freePort } from "./helpers/ports.ts";
import { waitFor } from "./helpers/wait.ts";
import { destinationStatus, type OpenChangeStatus } from "./helpers/status.ts";
import { appendAs, bucketAt, segmentName } from "./helpers/segments.ts";

/** Users of the system: each speaks for himself alone. */
const USERS = { mallory: STRANGE_UID, anna: STRANGE_UID + 1, bob: STRANGE_UID + 2 } as const;
type User = keyof typeof USERS;

const PATIENCE_MS = 20_000;

interface World {
  readonly memcached: TestMemcached;
  readonly resolver: Resolver;
  readonly peer: Peer;
  readonly daemon: RunningDaemon;
  /** Appends records to the segment of a user's uid, or of the mail user. */
  readonly write: (user: User | "jdoe", ...records: Record<string, unknown>[]) => void;
  /** A mail to each of these, who must be told of it however long the others wait. */
  readonly tells: (...users: (User | "jdoe")[]) => Promise<void>;
  readonly status: () => Promise<OpenChangeStatus>;
  readonly journal: string;
  readonly stateDir: string;
}

/** The mail user's jdoe, and anna and bob, are registered at one receiver. */
async function world(t: TestContext, destination: Record<string, unknown> = {}): Promise<World> {
  const names = new TestNameService(USERS);
  const memcached = await startMemcached();
  const resolver = new Resolver(memcached.config);
  const peer = await startNanocatPull();
  const workspace = makeWorkspace();
  for (const user of ["jdoe", "anna", "bob"]) await resolver.register(user, peer.address);
  const openchange = { resolver: memcached.config, restart_grace: "0s", ...destination };
  const config = workspace.configFile({ destinations: { openchange } });
  const daemon = await startDaemon({ journal: workspace.journal, stateDir: workspace.stateDir, config });
  t.after(async () => {
    await daemon.stop("SIGKILL");
    await peer.stop();
    resolver.close();
    await memcached.stop();
    names.remove();
    workspace.remove();
  });
  let mails = 0;
  const write: World["write"] = (user, ...records) => {
    if (user === "jdoe") return workspace.write(...records);
    const uid = USERS[user];
    const common = { v: 1, ts: Date.now() * 1_000, event: "MessageNew", user, mailbox: "INBOX", sep: "/", uids: "1" };
    const lines = records.map((record) => `${JSON.stringify({ ...common, ...record })}\n`);
    appendAs(uid, workspace.journal, lines.join(""));
  };
  return {
    memcached,
    resolver,
    peer,
    daemon,
    write,
    async tells(...users) {
      for (const user of users) {
        const mailbox = `mail-${++mails}`;
        write(user, { mailbox });
        await waitFor(`${user} to be told`, () => peer.messages.some((bytes) => bytes.includes(mailbox)), PATIENCE_MS);
      }
    },
    status: () => destinationStatus(workspace.stateDir),
    journal: workspace.journal,
    stateDir: workspace.stateDir,
  };
}

/** Accepts connections, does this with each, and counts them. */
async function startServer(t: TestContext, accept: (socket: Socket) => void): Promise<{ port: number; count: number }> {
  const sockets = new Set<Socket>();
  const state = { port: await freePort(), count: 0 };
  const server = createServer((socket) => {
    state.count++;
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    accept(socket);
  });
  server.listen(state.port, "0.0.0.0");
  await once(server, "listening");
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return state;
}

const records = (count: number, fields: (index: number) => Record<string, unknown>): Record<string, unknown>[] =>
  Array.from({ length: count }, (_, index) => fields(index));

const silence = (socket: Socket): void => void socket.resume();
const forever = (socket: Socket): void => {
  socket.once("data", (request: Buffer) => {
    const key = request.toString().split(/\s/, 2)[1] ?? "";
    const timer = setInterval(() => socket.write(`VALUE ${key} 0 1\r\nx\r\n`), 300);
    socket.on("close", () => clearInterval(timer));
  });
};

describe("a user of the system who writes records of his own", { skip: NOT_ROOT, concurrency: 2 }, () => {
  test("names the operator's resolver string, which stands only in Dovecot's configuration", async (t) => {
    const { daemon, write, memcached, status } = await world(t, { resolver: `--SERVER=127.0.0.1:1` });
    for (const user of ["anna", "bob", "jdoe"] as const) {
      write(user, ...records(200, (index) => ({ user, uids: String(index + 1), resolver: memcached.config })));
    }
    await waitFor("all to be told", async () => (await status()).sent === 600, PATIENCE_MS);
    assert.deepEqual((await status()).dropped, {});
    assert.equal(daemon.log().filter(({ level }) => level === "error").length, 0);
  });

  for (const [what, accept] of [
    ["never answers", silence],
    ["answers for ever", forever],
  ] as const) {
    test(`whose memcached ${what} waits alone, whatever dates he writes`, async (t) => {
      const { write, tells, status } = await world(t);
      const { port } = await startServer(t, accept);
      const resolver = `--SERVER=127.0.0.1:${port}`;
      for (let part = 0; part < 10; part++) {
        write("mallory", ...records(1_000, (index) => ({ resolver, ts: index % 2 === 0 ? 4e15 : Date.now() * 1_000 })));
      }
      await waitFor("his share to be full", async () => (await status()).lookingUp >= 1_000, PATIENCE_MS);
      await tells("jdoe", "anna", "bob", "jdoe");
      const { lookingUp, unreadBytes } = await status();
      assert.ok(lookingUp <= 1_024, `${lookingUp} look-ups`);
      assert.ok(unreadBytes > 0);
    });
  }

  test("who names a string after the other takes no place from the others", async (t) => {
    const { write, memcached, status, daemon } = await world(t, { resolver: "--SERVER=127.0.0.1:1" });
    const { port } = await startServer(t, silence);
    write("mallory", ...records(100, (index) => ({ resolver: `--SERVER=127.0.0.1:${port} --NAMESPACE="n${index}"` })));
    write("mallory", ...records(100, (index) => ({ resolver: `--SERVR=${index}` })));
    await waitFor("his records", async () => (await status()).dropped["bad-resolver"] === 198, PATIENCE_MS);
    write("anna", { user: "anna", resolver: memcached.config });
    write("jdoe", { user: "jdoe", resolver: memcached.config });
    await waitFor("the others to be told", async () => (await status()).sent === 2, PATIENCE_MS);
    assert.equal(daemon.log().filter(({ msg }) => msg.startsWith("cannot look up user mallory")).length, 1);
  });

  test("who deletes his segments and begins anew has no further places", async (t) => {
    const w = await world(t, { resolver: "--SERVER=127.0.0.1:1" });
    const { port } = w.memcached;
    for (let round = 1; round <= 6; round++) {
      const names = [2 * round - 1, 2 * round];
      w.write("mallory", ...names.map((name) => ({ resolver: `--SERVER=127.0.0.1:${port} --NAMESPACE="n${name}"` })));
      await waitFor("his records", async () => (await w.status()).done === 2 * round, PATIENCE_MS);
      rmSync(join(w.journal, segmentName(bucketAt(), USERS.mallory)));
      await waitFor(
        "his segment to be gone",
        async () => (await askStatus(w.stateDir)).journal.segments === 0,
        PATIENCE_MS,
      );
    }
    w.write("anna", { user: "anna", resolver: w.memcached.config });
    await waitFor("the other to be told", async () => (await w.status()).sent === 1, PATIENCE_MS);
    assert.deepEqual((await w.status()).dropped, { "bad-resolver": 10 });
  });

  test("with hosts that read nothing has a few connections, and the others theirs", async (t) => {
    const settings = { max_connections: 40, new_mail_events: ["MessageNew", "MessageCopy"] };
    const { write, tells, status, resolver } = await world(t, settings);
    const host = await startServer(t, (socket) => {
      socket.pause();
      socket.write(encodeHandshake("PULL"));
    });
    const hosts = records(100, (index) => ({ address: `tcp://127.7.0.${index + 1}:${host.port}` }));
    for (const { address } of hosts) await resolver.register("mallory", String(address));
    write("mallory", { event: "MessageCopy", oldMailbox: "x", uids: "1:1000000" });
    await waitFor("his connections", () => host.count === 5, PATIENCE_MS);
    await tells("jdoe", "anna", "bob");
    assert.equal(host.count, 5);
    const { hosts: known, dropped } = await status();
    assert.ok(known <= 101, `${known} hosts`);
    assert.deepEqual(dropped, { overflow: 36 });
  });

  test("with records of a million messages does not hold up the others at the same host", async (t) => {
    const { write, status, resolver } = await world(t, { new_mail_events: ["MessageNew", "MessageCopy"] });
    let received = 0;
    const told = new Set<string>();
    // One that reads some 3 MB a second.
    const host = await startServer(t, (socket) => {
      socket.write(encodeHandshake("PULL"));
      socket.on("data", (bytes: Buffer) => {
        received += bytes.length;
        for (const user of ["anna", "bob"]) if (bytes.includes(`mail-of-${user}`)) told.add(user);
        socket.pause();
        setTimeout(() => socket.resume(), 20);
      });
    });
    for (const user of Object.keys(USERS)) await resolver.register(user, `tcp://127.0.0.1:${host.port}`);
    const copies = { event: "MessageCopy", oldMailbox: "x", uids: "1:1000000" };
    write("mallory", ...records(50, () => copies));
    await waitFor("his first", () => received > 1_000_000, PATIENCE_MS);
    write("anna", { mailbox: "mail-of-anna" });
    write("bob", { mailbox: "mail-of-bob" });
    await waitFor("the others to be told", () => told.size === 2, PATIENCE_MS);
    assert.ok((await status()).waiting >= 40, "his own still wait");
  });
});
