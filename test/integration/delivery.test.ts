import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Resolver } from "../../src/destinations/openchange/resolver.ts";
import { MemcachedServer } from "../../src/protocols/memcached/server.ts";
import { deliverLda, lmtpDeliver, mail, startDovecot, type RunningDovecot } from "../helpers/dovecot.ts";
import { startMemcached, type TestMemcached } from "../helpers/memcached.ts";
import { buildNnPrograms, startNanocatPull, startNnPull, type NnPrograms, type Peer } from "../helpers/nanocat.ts";
import {
  askMemcached,
  makeWorkspace,
  memcachedStat,
  newMailBytes,
  startDaemon,
  stateDirOf,
  writeConfig,
  type RunningDaemon,
} from "../helpers/ocnotify.ts";
import { waitFor } from "../helpers/wait.ts";
import { destinationStatus, type OpenChangeStatus } from "../helpers/status.ts";

const PATIENCE_MS = 20_000;
/** The user whose memcached is another one, on a unix socket. */
const UNIX_USER = "unix";

/** Passes connections on to a receiver, and counts them. */
interface Gate {
  readonly address: string;
  /** Connections so far, and those that are open. */
  readonly counts: { made: number; open: number };
  close(): void;
}

async function openGate(target: string): Promise<Gate> {
  const counts = { made: 0, open: 0 };
  const server = createServer((client) => {
    const upstream = connect(Number(target.split(":").at(-1)), "127.0.0.1");
    counts.made++;
    counts.open++;
    client.pipe(upstream).pipe(client);
    client.on("close", () => counts.open--);
    for (const socket of [client, upstream]) socket.on("error", () => socket.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  return { address: `tcp://127.0.0.1:${port}`, counts, close: () => void server.close() };
}

async function received(peer: Peer, count: number): Promise<readonly Buffer[]> {
  await waitFor(`${count} notifications`, () => peer.messages.length >= count, PATIENCE_MS);
  return peer.messages;
}

describe("a mail delivered by Dovecot", () => {
  let programs: NnPrograms;
  let memcached: TestMemcached;
  let dovecot: RunningDovecot;
  let resolver: Resolver;
  let daemon: RunningDaemon;
  let unixSocket: string;
  const cleanUp: (() => unknown)[] = [];

  const start = async (config: Record<string, unknown> = {}): Promise<RunningDaemon> =>
    startDaemon({
      journal: dovecot.journalDir,
      stateDir: stateDirOf(dovecot.folder),
      level: "debug",
      config: writeConfig(dovecot.folder, {
        journal: { mail_users: ["nobody"] },
        // The memcached is new, and who is not registered there is not waited for.
        destinations: { openchange: { restart_grace: "0s" } },
        ...config,
      }),
    });

  const temporaryFolder = (): string => {
    const workspace = makeWorkspace();
    cleanUp.push(() => workspace.remove());
    return workspace.folder;
  };
  /** A receiver of libnanomsg, registered for the users. */
  const receiver = async (users: readonly string[], address?: string): Promise<Peer> => {
    const peer = await startNnPull(programs, address);
    cleanUp.push(() => peer.stop());
    for (const user of users) await resolver.register(user, peer.address);
    return peer;
  };
  const lda = async (user: string, folder?: string): Promise<void> => {
    const delivery = {
      user,
      mail: mail("a mail", `<${user}@example.org>`),
      ...(folder === undefined ? {} : { folder }),
    };
    const { code, stderr } = await deliverLda(dovecot, delivery);
    assert.equal(code, 0, stderr);
  };
  const lmtp = async (...users: string[]): Promise<void> => {
    const mails = users.map((user) => ({ to: [user], mail: mail("a mail", `<${user}@example.org>`) }));
    for (const reply of await lmtpDeliver(dovecot, mails)) assert.match(reply, /^250/);
  };
  const status = async (): Promise<OpenChangeStatus> => {
    return await destinationStatus(stateDirOf(dovecot.folder));
  };
  const allDone = async (): Promise<void> => {
    await waitFor("every event to be answered", async () => (await status()).lagRecords === 0, PATIENCE_MS);
  };

  before(async () => {
    programs = await buildNnPrograms();
    memcached = await startMemcached();
    unixSocket = join(temporaryFolder(), "memcached.sock");
    const unixMemcached = await startMemcached({ unix: unixSocket });
    cleanUp.push(() => unixMemcached.stop());
    resolver = new Resolver(memcached.config);
    dovecot = await startDovecot({
      users: [
        "jdoe",
        "anna",
        "ipc",
        "many",
        "several",
        "lonely",
        "idle",
        "restart",
        "broken",
        "mixed",
        "Berta@example.org",
        { name: UNIX_USER, settings: { openchange_resolver: unixMemcached.config } },
        { name: "Full@Example.ORG", settings: { openchange_cn: "email", openchange_backend: "mymailstore" } },
      ],
      protocols: ["lmtp"],
      settings: { openchange_resolver: memcached.config },
    });
    daemon = await start();
  });
  after(async () => {
    await daemon.stop();
    for (const undo of cleanUp.toReversed()) await undo();
    resolver.close();
    await dovecot.remove();
    await memcached.stop();
    await programs.remove();
  });

  test("by LDA is one notification, byte for byte as OpenChange makes it", async () => {
    const peer = await receiver(["jdoe"]);
    await lda("jdoe");
    assert.deepEqual(await received(peer, 1), [newMailBytes("1.eml")]);
  });

  test("by LMTP to two users is one notification for each", async () => {
    const [jdoe, anna] = [await receiver(["several"]), await receiver(["anna"])];
    await lmtp("several", "anna");
    assert.deepEqual(await received(jdoe, 1), [newMailBytes("1.eml")]);
    assert.deepEqual(await received(anna, 1), [newMailBytes("1.eml")]);
  });

  test("is told to every host of the user, over tcp and over ipc", async () => {
    const path = join(temporaryFolder(), "receiver.sock");
    const [tcp, ipc] = [await receiver(["ipc"]), await receiver(["ipc"], `ipc://${path}`)];
    await lda("ipc");
    assert.deepEqual(await received(tcp, 1), [newMailBytes("1.eml")]);
    assert.deepEqual(await received(ipc, 1), [newMailBytes("1.eml")]);
  });

  test("into a folder names the folder", async () => {
    const { code } = await dovecot.doveadm(["mailbox", "create", "-u", "jdoe", "Work/2026"]);
    assert.equal(code, 0);
    const peer = await receiver(["jdoe"]);
    await lda("jdoe", "Work/2026");
    assert.deepEqual(await received(peer, 1), [newMailBytes("1.eml", "Work/2026")]);
  });

  test("to a user whose cn is his whole name is looked up by it, lowered, and names his backend", async () => {
    const peer = await receiver(["full@example.org"]);
    await lmtp("Full@Example.ORG");
    assert.deepEqual(await received(peer, 1), [newMailBytes("1.eml", "INBOX", "mymailstore")]);
  });

  test("to a user with a domain is looked up by what is before the @", async () => {
    const peer = await receiver(["berta"]);
    await lmtp("Berta@example.org");
    assert.deepEqual(await received(peer, 1), [newMailBytes("1.eml")]);
  });

  test("is looked up in a memcached on a unix socket", async () => {
    const peer = await receiver([]);
    const unixResolver = new Resolver(`--SOCKET="${unixSocket}"`);
    await unixResolver.register(UNIX_USER, peer.address);
    unixResolver.close();
    await lda(UNIX_USER);
    assert.deepEqual(await received(peer, 1), [newMailBytes("1.eml")]);
  });

  test("to a user nobody listens for costs one look-up and no line above debug", async () => {
    await allDone();
    const [before, lines] = [await memcachedStat(memcached.port, "cmd_get"), daemon.log().length];
    const { nobody } = await status();
    await lda("lonely");
    await waitFor("the event to be answered", async () => (await status()).nobody === nobody + 1, PATIENCE_MS);
    assert.equal((await memcachedStat(memcached.port, "cmd_get")) - before, 1);
    const said = daemon.log().slice(lines);
    assert.deepEqual(
      said.filter(({ level }) => level !== "debug"),
      [],
    );
    assert.ok(
      said.some(({ cn, msg }) => cn === "lonely" && msg === "nobody is registered for the user"),
      JSON.stringify(said),
    );
  });

  test("goes over the connection that is there: 100 mails, one connection, in order", async () => {
    const peer = await receiver([]);
    const gate = await openGate(peer.address);
    cleanUp.push(() => gate.close());
    await resolver.register("many", gate.address);
    await lmtp(...Array.from({ length: 100 }, () => "many"));
    const expected = Array.from({ length: 100 }, (_, index) => newMailBytes(`${index + 1}.eml`));
    assert.deepEqual(await received(peer, 100), expected);
    assert.equal(gate.counts.made, 1);
  });

  test("for a host that is no PULL socket is an error that names user and host, and the others are told", async () => {
    const wrong = await startNanocatPull(undefined, "rep");
    cleanUp.push(() => wrong.stop());
    const right = await receiver(["mixed"]);
    await resolver.register("mixed", wrong.address);
    await resolver.register("mixed", "carrier-pigeon://loft");
    await lda("mixed");
    assert.deepEqual(await received(right, 1), [newMailBytes("1.eml")]);
    const error = await daemon.logged("the error", ({ host }) => host === wrong.address);
    assert.equal(error.level, "error");
    assert.equal(error["user"], "mixed");
    assert.match(error.msg, /REP|PULL/);
    const scheme = daemon.log().find(({ host }) => host === "carrier-pigeon://loft");
    assert.equal(scheme?.level, "error");
    assert.match(scheme.msg, /mixed.*carrier-pigeon:\/\/loft.*tcp:\/\/ and ipc:\/\//);
    // When a receiver takes the place of what was none, it is told too.
    await wrong.stop();
    assert.deepEqual(await received(await receiver([], wrong.address), 1), [newMailBytes("1.eml")]);
    await daemon.logged("its return", ({ host, level }) => host === wrong.address && level === "info");
  });

  test("for a record that does not decode is an error that names the user and the remedy", async () => {
    const server = new MemcachedServer(memcached.address);
    await server.set("resolver:broken", Buffer.from("no record"));
    server.close();
    await lda("broken");
    const error = await daemon.logged("the error", ({ cn }) => cn === "broken");
    assert.equal(error.level, "error");
    assert.match(error.msg, /record for broken .*6e6f207265636f7264.*ocnotify flush --username broken/);
    // What cannot be read is nobody else's: no look-up but ours has changed it.
    assert.deepEqual(await askMemcached(memcached.port, "get resolver:broken"), [
      "VALUE resolver:broken 0 9",
      "no record",
    ]);
  });

  test("while the daemon is down is told by the next one, once, after what the last one told", async () => {
    const peer = await receiver(["restart"]);
    await lda("restart");
    await received(peer, 1);
    await allDone();
    assert.equal(await daemon.stop(), 0);
    await lda("restart");
    await lda("restart");
    daemon = await start();
    await received(peer, 3);
    await lda("restart");
    assert.deepEqual(
      await received(peer, 4),
      [1, 2, 3, 4].map((uid) => newMailBytes(`${uid}.eml`)),
    );
  });

  test("leaves a connection that is closed when nothing more comes, and opened anew for the next mail", async () => {
    await allDone();
    await daemon.stop();
    daemon = await start({ destinations: { openchange: { idle_timeout: "100ms" } } });
    const peer = await receiver([]);
    const gate = await openGate(peer.address);
    cleanUp.push(() => gate.close());
    await resolver.register("idle", gate.address);
    await lda("idle");
    await received(peer, 1);
    await waitFor("the connection to be closed", () => gate.counts.open === 0, PATIENCE_MS);
    await lda("idle");
    assert.deepEqual(await received(peer, 2), [newMailBytes("1.eml"), newMailBytes("2.eml")]);
    assert.equal(gate.counts.made, 2);
  });
});
