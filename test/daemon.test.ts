import assert from "node:assert/strict";
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { once } from "node:events";
import { join, resolve } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { checkConfig, type Config } from "../src/config.ts";
import { startDaemon as startInProcess } from "../src/daemon.ts";
import { ask as askSocket } from "../src/http/client.ts";
import { encodeResolverRecord, Resolver } from "../src/index.ts";
import { bindPull } from "../src/protocols/sp/pull-socket.ts";
import { MemcachedServer } from "../src/protocols/memcached/server.ts";
import { askStatus, type Status } from "../src/status.ts";
import { fakeKind, type FakeKind } from "./helpers/fake-kind.ts";
import { TestJournal } from "./helpers/journal.ts";
import { startMemcached, type TestMemcached } from "./helpers/memcached.ts";
import { startNanocatPull, type Peer } from "./helpers/nanocat.ts";
import {
  makeWorkspace,
  newMailBytes,
  ocnotify,
  startDaemon,
  startProgram,
  CLI,
  type RunningDaemon,
  type Workspace,
} from "./helpers/ocnotify.ts";
import { freePort } from "./helpers/ports.ts";
import { waitFor } from "./helpers/wait.ts";
import { pauseProcess } from "./helpers/pause.ts";
import { destinationStatus, type OpenChangeStatus } from "./helpers/status.ts";

const PATIENCE_MS = 20_000;

/** Everything that one test needs; gone when it ends. */
interface World {
  readonly memcached: TestMemcached;
  readonly resolver: Resolver;
  readonly workspace: Workspace;
  /** What is stopped at the end. */
  readonly running: { stop(signal?: NodeJS.Signals): Promise<unknown> }[];
  /** The daemon, with these settings of its destination. */
  start(destination?: Record<string, unknown>): Promise<RunningDaemon>;
  /** A PULL socket of libnanomsg, registered for the users. */
  receiver(...users: string[]): Promise<Peer>;
  status(): Promise<OpenChangeStatus>;
  allDone(): Promise<void>;
  setRecord(user: string, value: Buffer): Promise<void>;
}

async function world(t: TestContext): Promise<World> {
  const memcached = await startMemcached();
  const resolver = new Resolver(memcached.config);
  const workspace = makeWorkspace();
  const running: World["running"] = [];
  t.after(async () => {
    for (const started of running) await started.stop("SIGKILL");
    resolver.close();
    await memcached.stop();
    workspace.remove();
  });
  const status: World["status"] = () => destinationStatus(workspace.stateDir);
  return {
    memcached,
    resolver,
    workspace,
    running,
    status,
    async start(destination = {}) {
      // The memcached is new, and who is not registered there is not waited for.
      const openchange = { resolver: memcached.config, restart_grace: "0s", ...destination };
      const config = workspace.configFile({ destinations: { openchange } });
      const daemon = await startDaemon({ journal: workspace.journal, stateDir: workspace.stateDir, config });
      running.push(daemon);
      return daemon;
    },
    async receiver(...users) {
      const peer = await startNanocatPull();
      running.push(peer);
      for (const user of users) await resolver.register(user, peer.address);
      return peer;
    },
    async allDone() {
      await waitFor("every event to be answered", async () => (await status()).lagRecords === 0, PATIENCE_MS);
    },
    async setRecord(user, value) {
      const server = new MemcachedServer(memcached.address);
      await server.set(`resolver:${user}`, value);
      server.close();
    },
  };
}

async function received(peer: Peer, count: number): Promise<readonly Buffer[]> {
  await waitFor(`${count} notifications`, () => peer.messages.length >= count, PATIENCE_MS);
  return peer.messages;
}

/** Bytes that connections to this local address have received and nobody has read (proc(5), net/tcp). */
function bytesUnread(address: string): number {
  const port = Number(address.split(":").at(-1)).toString(16).toUpperCase().padStart(4, "0");
  return readFileSync("/proc/net/tcp", "latin1")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, , state]) => local?.endsWith(`:${port}`) === true && state === "01")
    .reduce((sum, [, , , , queues]) => sum + Number.parseInt(queues?.split(":")[1] ?? "0", 16), 0);
}

describe("what the resolver says, whatever it is", { concurrency: 4 }, () => {
  test("a record that claims 4 billion hosts is one error and one drop, and the next user is told", async (t) => {
    const w = await world(t);
    const claim = Buffer.concat([Buffer.from("01ffffffffffffffff", "hex"), Buffer.from("tcp://127.0.0.1:5000\0")]);
    await w.setRecord("liar", claim);
    const peer = await w.receiver("jdoe");
    const daemon = await w.start();
    w.workspace.write({ user: "liar" }, { user: "liar" }, { user: "jdoe" });
    assert.deepEqual(await received(peer, 1), [newMailBytes("1.eml")]);
    await w.allDone();
    const errors = daemon.log().filter(({ level }) => level === "error");
    assert.equal(errors.length, 1);
    assert.match(errors[0]?.msg ?? "", /record for liar .*4294967295.*ocnotify flush --username liar/);
    assert.deepEqual((await w.status()).dropped, { "bad-record": 2 });
  });

  test("a host that stands there twice gets one notification", async (t) => {
    const w = await world(t);
    const peer = await w.receiver();
    await w.setRecord("jdoe", encodeResolverRecord([peer.address, peer.address]));
    await w.start();
    w.workspace.write({ uids: "1" }, { uids: "2" });
    await received(peer, 2);
    await w.allDone();
    assert.deepEqual(peer.messages, [newMailBytes("1.eml"), newMailBytes("2.eml")]);
    assert.equal((await w.status()).sent, 2);
  });

  test("a host is a name in the dos charset, and its socket one in UTF-8", async (t) => {
    const w = await world(t);
    const address = `ipc://${w.workspace.folder}/Ê`;
    const peer = await startNanocatPull(address);
    w.running.push(peer);
    const host = Buffer.from(address.replace("Ê", "\xd2"), "latin1");
    await w.setRecord("jdoe", Buffer.concat([Buffer.from("010100000001000000", "hex"), host, Buffer.of(0)]));
    await w.start();
    w.workspace.write({ uids: "1" });
    assert.deepEqual(await received(peer, 1), [newMailBytes("1.eml")]);
  });

  test("a user is looked up as strtok cuts the name, and one of whom nothing is left is one error", async (t) => {
    const w = await world(t);
    const peer = await w.receiver("lead");
    // What the empty name's key would find.
    await w.setRecord("", encodeResolverRecord([peer.address]));
    const daemon = await w.start();
    w.workspace.write({ user: "@", uids: "1" }, { user: "@@", uids: "2" }, { user: "@lead", uids: "3" });
    w.workspace.write({ user: "@@lead@x", uids: "4" }, { user: "lead@", uids: "5" });
    const mails = ["3.eml", "4.eml", "5.eml"].map((eml) => newMailBytes(eml));
    assert.deepEqual(await received(peer, 3), mails);
    await w.allDone();
    assert.deepEqual(peer.messages, mails);
    assert.deepEqual((await w.status()).dropped, { "bad-resolver": 2 });
    const errors = daemon.log().filter(({ level }) => level === "error");
    assert.deepEqual(
      errors.map(({ user }) => user),
      ["@", "@@"],
    );
    assert.match(errors[0]?.msg ?? "", /cannot look up user @: the empty name/);
  });

  test("a move from a folder whose name cannot be written is told as new mail where the message is now", async (t) => {
    const w = await world(t);
    const peer = await w.receiver("jdoe");
    const daemon = await w.start({ extended: true, new_mail_events: ["MessageNew", "MessageMove"] });
    w.workspace.write({ event: "MessageMove", uids: "1:2", oldMailbox: "\ud800", oldUids: "8:9" }, { uids: "3" });
    assert.deepEqual(await received(peer, 3), [newMailBytes("1.eml"), newMailBytes("2.eml"), newMailBytes("3.eml")]);
    await w.allDone();
    assert.deepEqual((await w.status()).dropped, { charset: 2 });
    assert.equal(daemon.log().filter(({ level }) => level === "error").length, 1);
  });

  test("a backend that the charset lacks is one error that names a remedy, a drop each, and never a wrong name", async (t) => {
    const w = await world(t);
    const peer = await w.receiver("jdoe");
    const daemon = await w.start();
    const backend = "Почта";
    w.workspace.write({ uids: "1", backend }, { uids: "2", backend }, { uids: "3", backend: "Büro" });
    const [payload] = await received(peer, 1);
    assert.equal(payload?.toString("latin1"), "\u0001\u0002\0B\u0081ro\u00003.eml\0INBOX\0/");
    await w.allDone();
    assert.deepEqual((await w.status()).dropped, { charset: 2 });
    const errors = daemon.log().filter(({ level }) => level === "error");
    assert.equal(errors.length, 1);
    assert.match(errors[0]?.msg ?? "", /^cannot tell servers: backend "Почта" cannot be written in cp850.*smb\.conf/);
  });

  test("a backend that the charset has is told in it, and folders are the same in each", async (t) => {
    const w = await world(t);
    const peer = await w.receiver("jdoe");
    await w.start({ charset: "cp866" });
    w.workspace.write({ backend: "Почта", mailbox: "Входящие" });
    const [payload] = await received(peer, 1);
    const backend = Buffer.from("8faee7e2a000", "hex").toString("latin1");
    const folder = "&BBIERQQ+BDQETwRJBDgENQ-\0";
    assert.equal(payload?.toString("latin1"), `\u0001\u0002\0${backend}1.eml\0${folder}/`);
  });

  test("a record of no hosts is nobody", async (t) => {
    const w = await world(t);
    await w.setRecord("jdoe", encodeResolverRecord([]));
    const daemon = await w.start();
    w.workspace.write({});
    await waitFor("the answer", async () => (await w.status()).nobody === 1, PATIENCE_MS);
    assert.deepEqual(
      daemon.log().filter(({ level }) => level !== "info"),
      [],
    );
  });

  test("an address that cannot be used is one error that says why, and the good one beside it is told", async (t) => {
    const w = await world(t);
    const bad = [
      "tcp://",
      "tcp://*:1",
      "inproc://x",
      "ipc://relative",
      "tcp://h:0",
      "tcp://h:70000",
      "tcp://1.2.3:4",
      "",
    ];
    const peer = await w.receiver();
    const hosts = [...bad.filter((host) => host !== ""), peer.address];
    const record = encodeResolverRecord(hosts);
    await w.setRecord("jdoe", record);
    const daemon = await w.start();
    w.workspace.write({ uids: "1" }, { uids: "2" });
    assert.deepEqual(await received(peer, 2), [newMailBytes("1.eml"), newMailBytes("2.eml")]);
    await w.allDone();
    const errors = daemon.log().filter(({ level }) => level === "error");
    assert.deepEqual(
      errors.map(({ host }) => host),
      hosts.slice(0, -1),
    );
    for (const { msg, host } of errors) {
      assert.match(msg, /^user jdoe has a host that cannot be used: .* is not a usable address: /);
      assert.ok(msg.includes(String(host)), msg);
    }
    assert.deepEqual((await w.status()).dropped, { "bad-address": 2 * (hosts.length - 1) });
  });

  test("a user whom no key can name is one error that names him, and nobody is asked", async (t) => {
    const w = await world(t);
    const peer = await w.receiver("jdoe");
    const daemon = await w.start();
    const long = "x".repeat(300);
    w.workspace.write({ user: "j doe" }, { user: "j doe" }, { user: long }, { user: "jdoe" });
    await received(peer, 1);
    const errors = daemon.log().filter(({ level }) => level === "error");
    assert.deepEqual(
      errors.map(({ user }) => user),
      ["j doe", long],
    );
    assert.match(errors[0]?.msg ?? "", /^cannot look up user j doe: .* has a space/);
    assert.match(errors[1]?.msg ?? "", /over 250/);
    assert.deepEqual((await w.status()).dropped, { "bad-resolver": 3 });
  });

  test("a resolver string of a record that is wrong is one error that points at it", async (t) => {
    const w = await world(t);
    const peer = await w.receiver("jdoe");
    const daemon = await w.start();
    w.workspace.write({ user: "anna", resolver: "--SERVR=x" }, { user: "anna", resolver: "--SERVR=x" }, {});
    await received(peer, 1);
    const errors = daemon.log().filter(({ level }) => level === "error");
    assert.equal(errors.length, 1);
    assert.match(errors[0]?.msg ?? "", /^cannot look up user anna: .*--SERVR/);
  });

  test("a memcached that is away is one warning, and what waited is told when it is back", async (t) => {
    const w = await world(t);
    const peer = await w.receiver("jdoe");
    const daemon = await w.start();
    await w.memcached.stop();
    w.workspace.write({});
    const warning = await daemon.logged("the warning", ({ level }) => level === "warn");
    assert.equal(warning["memcached"], `127.0.0.1:${w.memcached.port}`);
    await w.memcached.restart();
    await w.resolver.register("jdoe", peer.address).catch(() => undefined);
    await waitFor(
      "the registration",
      async () =>
        w.resolver.register("jdoe", peer.address).then(
          () => true,
          () => false,
        ),
      PATIENCE_MS,
    );
    await waitFor(
      "an answer",
      async () => {
        const { nobody, sent, waiting } = await w.status();
        return nobody + sent + waiting > 0;
      },
      PATIENCE_MS,
    );
    // Whether it was looked up before or after the registration, it was looked up: nothing is left.
    await w.allDone();
    assert.equal(daemon.log().filter(({ level }) => level === "warn").length, 1);
    assert.equal(daemon.log().filter(({ msg }) => msg === "the resolver answers again").length, 1);
  });
});

describe("a message without a UID", { concurrency: 4 }, () => {
  test("is counted as no-uid for each server that would be told, and logged once with what it means", async (t) => {
    const w = await world(t);
    const peer = await w.receiver("jdoe");
    await w.receiver("jdoe");
    const daemon = await w.start();
    w.workspace.write({ uids: undefined }, { uids: undefined }, { uids: "3" });
    assert.deepEqual(await received(peer, 1), [newMailBytes("3.eml")]);
    await w.allDone();
    const { dropped, sent } = await w.status();
    assert.deepEqual({ dropped, sent }, { dropped: { "no-uid": 4 }, sent: 2 });
    const [line, ...others] = daemon.log().filter(({ level }) => level === "error");
    assert.deepEqual(others, []);
    assert.deepEqual([line?.["user"], line?.["mailbox"], line?.["event"]], ["jdoe", "INBOX", "MessageNew"]);
    assert.match(line?.msg ?? "", /ocnotify_fields.*uid.*dovecot-uidlist\.lock/);
  });

  test("is no loss where nobody would be told: nobody is registered, or the event is of no interest", async (t) => {
    const w = await world(t);
    await w.receiver("jdoe");
    await w.start();
    w.workspace.write({ user: "anna", uids: undefined }, { event: "FlagsSet", uids: undefined, flags: ["\\Seen"] });
    await waitFor("both to be answered", async () => (await w.status()).done === 2, PATIENCE_MS);
    const { dropped, nobody, ignored } = await w.status();
    assert.deepEqual({ dropped, nobody, ignored }, { dropped: {}, nobody: 1, ignored: 1 });
  });

  test("is counted of a server that knows the extension, too", async (t) => {
    const w = await world(t);
    await w.receiver("jdoe");
    await w.start({ extended: true });
    w.workspace.write(
      { event: "MessageExpunge", uids: undefined },
      { event: "MessageMove", uids: undefined, oldMailbox: "Work" },
      { event: "MailboxDelete", uids: undefined },
    );
    await waitFor("all to be answered", async () => (await w.status()).done === 3, PATIENCE_MS);
    const { dropped, ignored } = await w.status();
    assert.deepEqual({ dropped, ignored }, { dropped: { "no-uid": 2 }, ignored: 1 });
  });
});

describe("more hosts than may be connected at once", () => {
  test("are all told, in a few turns", async (t) => {
    const w = await world(t);
    const hosts = 1_500;
    // Each address of the loopback network is a host of its own, and one socket listens on all of them.
    const pull = await bindPull("tcp://0.0.0.0:0", { maxPeers: hosts });
    t.after(() => pull.close());
    const port = pull.address.split(":").at(-1);
    const addresses = Array.from({ length: hosts }, (_, host) => `tcp://127.0.${host >> 8}.${host & 255}:${port}`);
    const server = new MemcachedServer(w.memcached.address);
    await Promise.all(addresses.map((host, user) => server.set(`resolver:u${user}`, encodeResolverRecord([host]))));
    server.close();
    let received = 0;
    let most = 0;
    const counting = (async () => {
      for await (const _ of pull) {
        received++;
        most = Math.max(most, pull.peerCount);
      }
    })();
    await w.start({ max_connections: 500 });
    w.workspace.write(...addresses.map((_, user) => ({ user: `u${user}` })));
    await waitFor("every host to be told", () => received === hosts, PATIENCE_MS);
    assert.ok(most <= 500, `${most} connections`);
    await pull.close();
    await counting;
  });
});

describe("a record that is no record of a user's few hosts", () => {
  test("but too long, or with an address too long, costs its own user's notifications alone", async (t) => {
    const w = await world(t);
    const peer = await w.receiver("jdoe");
    const daemon = await w.start();
    const long = `tcp://${"x".repeat(300_000)}:1`;
    await w.setRecord("long", encodeResolverRecord([long]));
    await w.setRecord("odd", encodeResolverRecord([long.slice(0, 200_000), peer.address]));
    const users = ["long", "odd", "jdoe"];
    for (let mail = 1; mail <= 5; mail++) w.workspace.write(...users.map((user) => ({ user, uids: String(mail) })));
    assert.equal((await received(peer, 10)).length, 10);
    await w.allDone();
    const { dropped, lookupFailures } = await w.status();
    assert.deepEqual(
      { dropped, lookupFailures },
      { dropped: { "bad-record": 5, "bad-address": 5 }, lookupFailures: 0 },
    );
    const errors = daemon.log().filter(({ level }) => level === "error");
    assert.match(errors.find(({ cn }) => cn === "long")?.msg ?? "", /30001[0-9] bytes, over the limit of 262144/);
    assert.match(errors.find(({ cn }) => cn === "odd")?.msg ?? "", /"tcp:\/\/x{294}…" .* at most 1024 characters/);
    assert.ok(daemon.log().every((line) => JSON.stringify(line).length < 5_000));
  });

  test("but of 1,100 has the last 1,024 notified, the others counted and logged once", async (t) => {
    const w = await world(t);
    const peer = await w.receiver("jdoe");
    const port = peer.address.split(":").at(-1);
    // Each address of the loopback network is a host of its own; this one is told, and nobody listens at the others.
    const hosts = Array.from({ length: 1_100 }, (_, index) => `tcp://127.0.${index >> 8}.${index & 255}:${port}`);
    await w.setRecord("many", encodeResolverRecord([peer.address, ...hosts.slice(2)]));
    const daemon = await w.start({ retry_first: "5s", retry_most: "5s" });
    w.workspace.write({ user: "many" });
    await daemon.logged("the line", ({ msg }) =>
      /only the last 1024 hosts of the user's record are notified/.test(msg),
    );
    await waitFor("its hosts", async () => (await w.status()).hosts === 1_024, PATIENCE_MS);
    const { dropped } = await w.status();
    assert.deepEqual(dropped, { "bad-record": 1_099 - 1_024 });
    w.workspace.write({});
    assert.deepEqual(await received(peer, 1), [newMailBytes("1.eml")]);
    w.workspace.write({ user: "many" });
    await waitFor(
      "the drops",
      async () => (await w.status()).dropped["bad-record"] === 2 * (1_099 - 1_024),
      PATIENCE_MS,
    );
    assert.equal(daemon.log().filter(({ msg }) => /hosts of the user's record/.test(msg)).length, 1);
  });
});

describe("a host that refuses", { concurrency: 4 }, () => {
  test("for longer than remove_refused_after is taken out of the record, once, with a line in the log", async (t) => {
    const w = await world(t);
    const dead = `tcp://127.0.0.1:${await freePort()}`;
    const peer = await w.receiver("jdoe");
    await w.resolver.register("jdoe", dead);
    const daemon = await w.start({ remove_refused_after: "1s", retry_first: "50ms", retry_most: "200ms" });
    w.workspace.write({ uids: "1" });
    await waitFor("its removal", async () => !(await w.resolver.hosts("jdoe")).includes(dead), PATIENCE_MS);
    const removed = await daemon.logged("the line", ({ msg }) => /taken out of the resolver/.test(msg));
    assert.deepEqual([removed.level, removed["host"], removed["cn"]], ["warn", dead, "jdoe"]);
    w.workspace.write({ uids: "2" });
    assert.deepEqual(await received(peer, 2), [newMailBytes("1.eml"), newMailBytes("2.eml")]);
    await w.allDone();
    assert.deepEqual(await w.resolver.hosts("jdoe"), [peer.address]);
    assert.equal(daemon.log().filter(({ msg }) => /taken out of the resolver/.test(msg)).length, 1);
    assert.deepEqual((await w.status()).dropped, { "host-removed": 1 });
  });

  test("is left in the record with remove_refused_after: never, and told when it is there", async (t) => {
    const w = await world(t);
    const port = await freePort();
    const address = `tcp://127.0.0.1:${port}`;
    await w.resolver.register("jdoe", address);
    const daemon = await w.start({ remove_refused_after: "never", retry_first: "50ms", retry_most: "100ms" });
    w.workspace.write({});
    await waitFor("a dozen refusals", async () => (await w.status()).hostFailures > 12, PATIENCE_MS);
    assert.deepEqual(await w.resolver.hosts("jdoe"), [address]);
    const warnings = daemon.log().filter(({ host }) => host === address);
    assert.deepEqual(
      warnings.map(({ level, user }) => [level, user]),
      [["warn", "jdoe"]],
    );
    const peer = await startNanocatPull(address);
    w.running.push(peer);
    assert.deepEqual(await received(peer, 1), [newMailBytes("1.eml")]);
  });

  test("is forgotten at once when it has unregistered, as a server does that stops in order", async (t) => {
    const w = await world(t);
    const dead = `tcp://127.0.0.1:${await freePort()}`;
    await w.resolver.register("anna", dead);
    await w.resolver.register("jdoe", dead);
    await w.start({ retry_first: "50ms", retry_most: "100ms" });
    w.workspace.write({ uids: "1" }, { user: "anna", uids: "1" });
    await waitFor("a refusal", async () => (await w.status()).hostFailures > 0, PATIENCE_MS);
    await w.resolver.unregister("jdoe", dead);
    await waitFor("its end", async () => (await w.status()).dropped.unregistered === 1, PATIENCE_MS);
    assert.equal((await w.status()).waiting, 1, "who is still registered there waits for the host");
    await w.resolver.unregister("anna", dead);
    await w.allDone();
    assert.deepEqual((await w.status()).dropped, { unregistered: 2 });
  });

  test("is given up after the time to live, with a line that says how many", async (t) => {
    const w = await world(t);
    const dead = `tcp://127.0.0.1:${await freePort()}`;
    await w.resolver.register("jdoe", dead);
    const daemon = await w.start({ time_to_live: "1s", retry_first: "50ms", retry_most: "200ms" });
    w.workspace.write({ uids: "1" }, { uids: "2" });
    const line = await daemon.logged("the line", ({ level }) => level === "error");
    assert.deepEqual([line["host"], line["reason"], line["dropped"]], [dead, "expired", 2]);
    await w.allDone();
    assert.deepEqual((await w.status()).dropped, { expired: 2 });
  });
});

describe("the daemon", { concurrency: 4 }, () => {
  test("ends in order at SIGTERM and at SIGINT, with what it was told of sent", async (t) => {
    const w = await world(t);
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      const daemon = await w.start();
      assert.equal(await daemon.stop(signal), 0);
      assert.deepEqual(
        daemon.log().map(({ msg }) => msg),
        ["ready", "stopping; a second signal stops at once", "stopped"],
      );
    }
  });

  test("sends the same thing once when it is stopped after a quiet time", async (t) => {
    const w = await world(t);
    const peer = await w.receiver("jdoe");
    const first = await w.start();
    w.workspace.write({ uids: "1" });
    await received(peer, 1);
    await w.allDone();
    w.workspace.write({ uids: "2" });
    await received(peer, 2);
    const begin = performance.now();
    assert.equal(await first.stop(), 0);
    // Confirming takes a second; drain_timeout, after which it would be sent again, is five.
    assert.ok(performance.now() - begin < 4_000, "it waited for longer than it had to");
    await w.start();
    w.workspace.write({ uids: "3" });
    await received(peer, 3);
    assert.deepEqual(
      peer.messages,
      [1, 2, 3].map((uid) => newMailBytes(`${uid}.eml`)),
    );
  });

  test("that stood still counts nothing as told of which it could not see what became", async (t) => {
    const w = await world(t);
    const peer = await w.receiver("jdoe");
    const daemon = await w.start();
    w.workspace.write({ user: "jdoe" });
    await received(peer, 1);
    await w.allDone();
    // What comes now lies in the receiver's socket, and dies with it, while nobody watches.
    pauseProcess(peer.process.pid ?? 0);
    w.workspace.write(...Array.from({ length: 10 }, () => ({ user: "jdoe" })));
    await waitFor("the notifications to be in the socket", () => bytesUnread(peer.address) > 0, PATIENCE_MS);
    pauseProcess(daemon.pid);
    await peer.stop();
    const again = await startNanocatPull(peer.address);
    w.running.push(again);
    // Longer than what was sent may have to be sent again.
    await delay(1_500);
    process.kill(daemon.pid, "SIGCONT");
    assert.equal((await received(again, 10)).length, 10);
  });

  test("stops at once at the second signal", async (t) => {
    const w = await world(t);
    const dead = `tcp://127.0.0.1:${await freePort()}`;
    await w.resolver.register("jdoe", dead);
    const daemon = await w.start();
    w.workspace.write({});
    await daemon.logged("the refusal", ({ host }) => host === dead);
    const ended = daemon.stop("SIGTERM");
    await daemon.logged("the announcement", ({ msg }) => msg.startsWith("stopping"));
    process.kill(daemon.pid, "SIGTERM");
    assert.equal(await ended, 1);
    assert.ok(!daemon.log().some(({ msg }) => msg === "stopped"));
    // Nothing is lost by it.
    const peer = await startNanocatPull(dead);
    w.running.push(peer);
    await w.start();
    assert.deepEqual(await received(peer, 1), [newMailBytes("1.eml")]);
  });

  test("is refused a second time with the same state directory", async (t) => {
    const w = await world(t);
    const daemon = await w.start();
    const args = ["run", "--journal", w.workspace.journal, "--state-dir", w.workspace.stateDir];
    const { code, stderr } = await ocnotify(args);
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`^ocnotify: a daemon runs already [^\n]*\\(pid ${daemon.pid}\\)[^\n]*\n$`));
  });

  test("is refused also while the first one does not answer", async (t) => {
    const w = await world(t);
    const daemon = await w.start();
    pauseProcess(daemon.pid);
    const args = ["run", "--journal", w.workspace.journal, "--state-dir", w.workspace.stateDir];
    const { code, stderr } = await ocnotify(args).finally(() => process.kill(daemon.pid, "SIGCONT"));
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`^ocnotify: a daemon runs already [^\n]*\\(pid ${daemon.pid}\\)[^\n]*\n$`));
  });

  test("takes the place of one that was killed", async (t) => {
    const w = await world(t);
    await (await w.start()).stop("SIGKILL");
    assert.equal(await (await w.start()).stop(), 0);
  });

  const unusable: readonly (readonly [string, (w: World) => string[], RegExp])[] = [
    [
      "no journal",
      (w) => ["--journal", join(w.workspace.folder, "none")],
      /journal directory \S+none does not exist\. Create it: install -d/,
    ],
    [
      "a journal that is a file",
      (w) => {
        writeFileSync(join(w.workspace.folder, "file"), "");
        return ["--journal", join(w.workspace.folder, "file")];
      },
      /journal directory \S+file cannot be read \(ENOTDIR\)\. Name a directory/,
    ],
    [
      "a state directory that is a file",
      (w) => {
        writeFileSync(join(w.workspace.folder, "file"), "");
        return ["--state-dir", join(w.workspace.folder, "file")];
      },
      /state_directory: EEXIST/,
    ],
    [
      "a cursor that is garbage",
      (w) => {
        writeFileSync(join(w.workspace.folder, "openchange.cursor"), "garbage");
        return ["--state-dir", w.workspace.folder];
      },
      /destination openchange: the cursor \S+openchange\.cursor is not JSON: .* Delete it/,
    ],
    [
      "a configuration file with a mistake",
      (w) => ["--config", w.workspace.configFile({ destinations: { openchange: { idle_timout: "1s" } } })],
      /destinations\.openchange\.idle_timout: unknown key\. Known here: .*idle_timeout/,
    ],
    [
      "a charset that does not exist",
      (w) => ["--config", w.workspace.configFile({ destinations: { openchange: { charset: "klingon" } } })],
      /destination openchange: "klingon" is not a charset/,
    ],
    [
      "a resolver string that is wrong",
      (w) => ["--config", w.workspace.configFile({ destinations: { openchange: { resolver: "--SERVR=x" } } })],
      /destination openchange: .*--SERVR/,
    ],
    [
      "a configuration file that is not there",
      (w) => ["--config", join(w.workspace.folder, "none")],
      /cannot read \S+none/,
    ],
  ];
  for (const [what, args, message] of unusable) {
    test(`does not start with ${what}: exit code 1 and one line`, async (t) => {
      const w = await world(t);
      const usable = ["run", "--journal", w.workspace.journal, "--state-dir", w.workspace.stateDir];
      const { code, stderr } = await ocnotify([...usable, ...args(w)]);
      assert.equal(code, 1);
      assert.match(stderr, message);
      assert.match(stderr, /^ocnotify: [^\n]+\n$/);
    });
  }

  test("logs as text by default: one line for each thing, without colours", async (t) => {
    const w = await world(t);
    const program = startProgram([CLI, "run", "--journal", w.workspace.journal, "--state-dir", w.workspace.stateDir]);
    w.running.push(program);
    await waitFor("ready", () => program.stderr().includes("ready"), PATIENCE_MS);
    assert.match(program.stderr(), /^\[?\d{4}-\d\d-\d\d [\d:.]+\]? INFO: ready \{.*\}\n$/);
    assert.equal(program.stdout(), "");
  });

  test("keeps no connection of a client that is done, speaks no HTTP, says nothing, or never ends its own", async (t) => {
    const w = await world(t);
    const daemon = await w.start();
    const open = (): number => readdirSync(`/proc/${daemon.pid}/fd`).length;
    const before = open();
    const client = (bytes: string): Socket => {
      const socket = connect({ path: join(w.workspace.stateDir, "status.sock"), allowHalfOpen: true });
      socket.on("error", () => {});
      socket.write(bytes);
      return socket.resume();
    };
    const wholeRequest = "GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (const bytes of [wholeRequest, "GET / HTTP/1.1\r\n\r\n", "EHLO mail.example.com\r\n"]) {
      // None of them ends its own side.
      const clients = Array.from({ length: 20 }, () => client(bytes));
      await Promise.all(clients.map((socket) => once(socket, "end")));
      await waitFor("the descriptors to be closed", () => open() <= before + 2, PATIENCE_MS);
      for (const socket of clients) socket.destroy();
    }
    const slow = [client(""), client("GET /v1/sta")];
    await Promise.all(slow.map((socket) => once(socket, "end")));
    await waitFor("the slow clients to be dropped", () => open() <= before + 2, PATIENCE_MS);
    for (const socket of slow) socket.destroy();
  });

  test("has a socket for its group, and one for its own user, whatever its umask is", async (t) => {
    const w = await world(t);
    const { journal, stateDir } = w.workspace;
    const daemon = await startDaemon({ journal, stateDir, wrapper: ["sh", "-c", 'umask 077; exec "$@"', "sh"] });
    w.running.push(daemon);
    const mode = (name: string): number => statSync(join(stateDir, name)).mode & 0o777;
    assert.deepEqual([mode("status.sock"), mode("admin.sock")], [0o660, 0o600]);
    const ask = async (socket: string, method: "GET" | "POST", path: string): Promise<unknown> =>
      await askSocket(join(stateDir, socket), method, path, { timeoutMs: PATIENCE_MS });
    const pause = "/v1/destinations/openchange/pause";
    const { status, body } = (await ask("status.sock", "POST", pause)) as { status: number; body: { code: string } };
    assert.deepEqual([status, body.code], [403, "ERR_READ_ONLY"]);
    assert.equal((await w.status()).state.name, "delivering");
    const over = (await ask("admin.sock", "GET", "/v1/status")) as { body: Status };
    assert.equal(over.body.pid, daemon.pid);
    await daemon.stop();
    assert.deepEqual(
      readdirSync(stateDir).filter((name) => name.endsWith(".sock")),
      [],
    );
  });

  test("says what became of an event, by its id", async (t) => {
    const w = await world(t);
    const peer = await w.receiver("jdoe");
    await w.start({ users: ["jdoe", "nobody"] });
    const ts = Date.now() * 1_000;
    const written = ["jdoe", "anna", "nobody"].map((user) => ({ ts, user }));
    w.workspace.write(...written);
    await received(peer, 1);
    await w.allDone();
    const segment = readdirSync(w.workspace.journal).find((name) => name.endsWith(".ndjson")) ?? "";
    const lines = readFileSync(join(w.workspace.journal, segment), "utf8").split("\n");
    const [bucket, uid] = segment.split(".");
    const { host } = await askStatus(w.workspace.stateDir);
    const ask = async (id: string): Promise<{ status: number; body: unknown }> =>
      await askSocket(join(w.workspace.stateDir, "status.sock"), "GET", `/v1/events/${id}`, { timeoutMs: PATIENCE_MS });
    let offset = 0;
    for (const [index, outcome] of ["notified", "filtered: users", "nobody"].entries()) {
      const id = `${host}_${bucket}_${uid}_${offset}_${ts.toString(36)}`;
      const { status, body } = await ask(id);
      const { destinations } = body as { destinations: Record<string, { outcome: string; at: string }> };
      assert.deepEqual([status, destinations["openchange"]?.outcome], [200, outcome]);
      assert.ok(Math.abs(Date.parse(destinations["openchange"]?.at ?? "") - Date.now()) < 60_000);
      offset += Buffer.byteLength(`${lines[index]}\n`);
    }
    const unknown = await ask(`${host}_1_2_3_4`);
    assert.deepEqual(unknown.body, { id: `${host}_1_2_3_4`, destinations: { openchange: { outcome: "unknown" } } });
    for (const [id, status, code] of [
      ["nonsense", 400, "ERR_EVENT_ID"],
      ["other_1_2_3_4", 404, "ERR_OTHER_HOST"],
    ] as const) {
      const { status: answered, body } = await ask(id);
      assert.deepEqual([answered, (body as { code: string }).code], [status, code]);
    }
  });

  test("sees a daemon of an older version, which sends its status to everybody who connects", async (t) => {
    const w = await world(t);
    const { journal, folder } = w.workspace;
    const old = createServer((socket) => {
      socket.on("error", () => socket.destroy());
      socket.end(`${JSON.stringify({ version: "0.0.1", pid: 1 })}\n`);
    });
    await once(old.listen(join(folder, "status.sock")), "listening");
    t.after(() => old.close());
    const run = await ocnotify(["run", "--journal", journal, "--state-dir", folder]);
    assert.equal(run.code, 1);
    assert.match(
      run.stderr,
      /^ocnotify: a daemon runs already with the state directory [^\n]* it listens at \S+status\.sock\.[^\n]*\n$/,
    );
    const status = await ocnotify(["status", "--state-dir", folder]);
    assert.equal(status.code, 1);
    assert.match(
      status.stderr,
      /^ocnotify: the daemon at \S+ is of an older version[^\n]* systemctl restart ocnotify\n$/,
    );
  });

  test("goes on when a client of the status socket goes away, and when the socket's file is deleted", async (t) => {
    const w = await world(t);
    const peer = await w.receiver("jdoe");
    await w.start();
    await Promise.all([w.status(), w.status(), w.status()]);
    rmSync(join(w.workspace.stateDir, "status.sock"));
    w.workspace.write({});
    await received(peer, 1);
  });
});

describe("the status of a daemon", { concurrency: 4 }, () => {
  test("counts what was done and says what is behind, as text and as JSON", async (t) => {
    const w = await world(t);
    const peer = await w.receiver("jdoe");
    await w.start({ users: ["jdoe", "anna"] });
    w.workspace.writeRaw("garbage\n");
    w.workspace.writeRaw('{"v":1,"ts":1,"event":"RecordLost","user":"jdoe","lost":"MessageNew"}\n');
    w.workspace.write({}, { user: "anna" }, { user: "berta" }, { event: "MessageExpunge" });
    await received(peer, 1);
    await w.allDone();
    const { records, malformed, filtered, ignored, nobody, sent, dropped, done } = await w.status();
    assert.deepEqual(
      { records, malformed, filtered, ignored, nobody, sent, dropped, done },
      { records: 4, malformed: 1, filtered: 1, ignored: 1, nobody: 1, sent: 1, dropped: {}, done: 4 },
    );
    const json = await ocnotify(["status", "--state-dir", w.workspace.stateDir, "--json"]);
    const { destinations, node } = JSON.parse(json.stdout) as Status;
    assert.equal(destinations["openchange"]?.details["sent"], 1);
    assert.equal(node, process.versions.node);
    const { code, stdout } = await ocnotify(["status", "--state-dir", w.workspace.stateDir]);
    assert.equal(code, 0);
    assert.match(stdout, /^ocnotify \S+ \(Node\.js [\d.]+\), pid \d+, since \S+Z, [\d.]+ MiB resident$/m);
    assert.match(stdout, /^destination openchange \(openchange\)$/m);
    assert.match(stdout, /^ {2}records +4 read \(.*\), 1 malformed, 1 could not be recorded, 0 passed over$/m);
    assert.match(
      stdout,
      /^ {2}of these +1 notified, 0 given up, 1 with nobody registered, 1 filtered, 1 of no interest$/m,
    );
    assert.match(stdout, /^ {2}sent +1 notifications/m);
    assert.match(stdout, /^ {2}behind +0 records/m);
  });

  test("says where inotify tells nothing, and so does check; what is recorded is told all the same", async (t) => {
    const w = await world(t);
    const peer = await w.receiver("jdoe");
    const { journal, stateDir } = w.workspace;
    const config = w.workspace.configFile({ destinations: { openchange: { resolver: w.memcached.config } } });
    const preload = resolve(import.meta.dirname, "helpers/mute-inotify.mjs");
    const daemon = await startDaemon({ journal, stateDir, config, preload });
    w.running.push(daemon);
    const warning = await daemon.logged("the warning", ({ level }) => level === "warn");
    assert.match(warning.msg, /inotify does not tell of changes in the journal directory/);
    w.workspace.write({});
    await received(peer, 1);
    const status = await ocnotify(["status", "--state-dir", stateDir]);
    assert.match(
      status.stdout,
      /^journal \S+: 1 segments, listed every second since inotify does not tell of changes$/m,
    );
    const check = await ocnotify(["check", "--journal", journal, "--state-dir", stateDir]);
    assert.match(
      check.stdout,
      /^warning daemon +inotify does not tell the daemon of changes.*\n +→ .*local file system/m,
    );
    assert.equal(daemon.log().filter(({ level }) => level === "warn").length, 1);
  });

  test("of a daemon that does not run is exit code 1 and one line", async (t) => {
    const w = await world(t);
    const { code, stdout, stderr } = await ocnotify(["status", "--state-dir", w.workspace.folder]);
    assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
    assert.match(stderr, /^ocnotify: no daemon answers at \S+status\.sock: [^\n]+\n$/);
  });

  test("from something else that listens there is exit code 1 and one line", async (t) => {
    const w = await world(t);
    const server = createServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n")).listen(
      join(w.workspace.folder, "status.sock"),
    );
    await once(server, "listening");
    const { code, stderr } = await ocnotify(["status", "--state-dir", w.workspace.folder]);
    server.close();
    assert.equal(code, 1);
    assert.match(stderr, /^ocnotify: what answers at \S+ is no daemon of ocnotify\n$/);
  });
});

async function startedHere(t: TestContext, fake: FakeKind, destinations: object) {
  const journal = new TestJournal();
  const state_directory = join(journal.folder, "state");
  const configOf = async (file: object): Promise<Config> =>
    await checkConfig({ state_directory, journal: { directory: journal.path }, ...file }, "the test", fake.load);
  const daemon = await startInProcess(await configOf({ destinations }), journal.log, fake.load);
  t.after(async () => {
    await daemon.stop();
    journal.remove();
  });
  return { journal, daemon, configOf, stateDir: state_directory };
}

describe("a daemon in this process, with a kind of the test", () => {
  const a = { type: "fake" };

  test("is told what is new without a restart, and says of each key that needs one", async (t) => {
    const fake = fakeKind();
    const { journal, daemon, configOf, stateDir } = await startedHere(t, fake, { a });
    await daemon.reload(
      await configOf({
        destinations: { a, b: a },
        log: { level: "warn", format: "json" },
        journal: { directory: "/elsewhere", mail_users: ["mail"], retention: "2h" },
        state_directory: "/elsewhere",
        drain_timeout: "9s",
      }),
    );
    const warned = journal.lines.filter(({ level }) => level === "warn").map(({ msg }) => msg.split(" ", 1)[0]);
    assert.deepEqual(warned, [
      "state_directory",
      "journal.directory",
      "journal.mail_users",
      "journal.retention",
      "log.format",
    ]);
    assert.deepEqual(Object.keys((await askStatus(stateDir)).destinations), ["a", "b"]);
    const lines = journal.lines.length;
    await daemon.reload(await configOf({ destinations: { b: a }, log: { level: "warn" }, drain_timeout: "9s" }));
    assert.equal(fake.made.get("a")?.closedWith, 9_000);
    assert.equal(journal.lines.length, lines, "nothing that is info is logged any more, and no key differs");
  });

  test("has saved where a new destination begins at the end before it is ready", async (t) => {
    const fake = fakeKind("end");
    const { journal, stateDir } = await startedHere(t, fake, { a });
    const said = journal.lines.filter(({ level }) => level === "info").map(({ msg }) => msg.split(" ", 3).join(" "));
    assert.deepEqual(said, ["a new destination", "ready"]);
    assert.deepEqual(JSON.parse(readFileSync(join(stateDir, "a.cursor"), "utf8")), { version: 1, segments: {} });
  });

  test("does not start with a destination that cannot be made, and leaves nothing in the way of the next try", async (t) => {
    const fake = fakeKind();
    fake.fault = new Error("the secret cannot be read");
    const journal = new TestJournal();
    t.after(() => journal.remove());
    const file = { state_directory: journal.folder, journal: { directory: journal.path }, destinations: { a, b: a } };
    const config = await checkConfig(file, "the test", fake.load);
    await assert.rejects(startInProcess(config, journal.log, fake.load), /destination a: the secret cannot be read/);
    fake.fault = undefined;
    await (await startInProcess(config, journal.log, fake.load)).stop();
  });

  test("can be paused while it drains what a reload has changed, and stopped while it is paused", async (t) => {
    const fake = fakeKind();
    const { daemon, configOf, stateDir } = await startedHere(t, fake, { a });
    const pause = askSocket(join(stateDir, "admin.sock"), "POST", "/v1/destinations/a/pause", {
      timeoutMs: PATIENCE_MS,
    });
    const reload = daemon.reload(await configOf({ destinations: { a: { ...a, label: "new" } } }));
    const { status, body } = await pause;
    assert.equal(status, 200);
    assert.equal((body as { state: { name: string } }).state.name, "paused");
    await reload;
    assert.equal((await askStatus(stateDir)).destinations["a"]?.state.name, "paused");
  });

  test("refuses a pause whose body is wrong, and says what it must be", async (t) => {
    const { stateDir } = await startedHere(t, fakeKind(), { a });
    for (const body of ["jdoe", { by: 1 }, { by: "" }, { by: "x".repeat(257) }, { who: "jdoe" }, [], null]) {
      const answer = await askSocket(join(stateDir, "admin.sock"), "POST", "/v1/destinations/a/pause", {
        body,
        timeoutMs: PATIENCE_MS,
      });
      assert.deepEqual(
        [answer.status, (answer.body as { code: string }).code],
        [400, "ERR_HTTP_BODY"],
        JSON.stringify(body),
      );
    }
    assert.equal((await askStatus(stateDir)).destinations["a"]?.state.name, "delivering");
  });
});
