import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import {
  charset,
  createListener,
  createPush,
  encodeNewMail,
  encodeNotification,
  Resolver,
  type Listener,
  type Notification,
} from "../src/index.ts";
import { startMemcached, type TestMemcached } from "./helpers/memcached.ts";
import { askMemcached, CLI, makeWorkspace, ocnotify, startListener, type Workspace } from "./helpers/ocnotify.ts";
import { waitFor } from "./helpers/wait.ts";

const mail = (eml: string): { backend: string; eml: string; folder: string; separator: string } => ({
  backend: "sogo",
  eml,
  folder: "INBOX",
  separator: "/",
});

let memcached: TestMemcached;
let resolver: Resolver;
let workspace: Workspace;
before(async () => {
  memcached = await startMemcached();
  resolver = new Resolver(memcached.config);
  workspace = makeWorkspace();
});
afterEach(async () => {
  await askMemcached(memcached.port, "flush_all", "OK");
});
after(async () => {
  resolver.close();
  workspace.remove();
  await memcached.stop();
});

/** Sends payloads over one connection, in order. */
async function send(address: string, ...payloads: Buffer[]): Promise<void> {
  const push = createPush(address);
  for (const payload of payloads) await push.send(payload);
  await push.close();
}

/** Takes notifications until there are so many. */
async function take(listener: Listener, count: number): Promise<Notification[]> {
  const taken: Notification[] = [];
  for await (const notification of listener) {
    taken.push(notification);
    if (taken.length === count) break;
  }
  return taken;
}

describe("createListener", () => {
  const open: Listener[] = [];
  const listen = async (options: Partial<Parameters<typeof createListener>[0]> = {}): Promise<Listener> => {
    const listener = await createListener({ users: ["jdoe"], resolver: memcached.config, ...options });
    open.push(listener);
    return listener;
  };
  afterEach(async () => {
    for (const listener of open.splice(0)) await listener.close();
  });

  test("listens at a free port and registers it for every user", async () => {
    const listener = await listen({ users: ["JDoe", "anna@example.org"] });
    assert.match(listener.address, /^tcp:\/\/127\.0\.0\.1:[1-9]\d*$/);
    assert.equal(listener.registered, listener.address);
    assert.deepEqual(await resolver.hosts("jdoe"), [listener.address]);
    assert.deepEqual(await resolver.hosts("anna@example.org"), [listener.address]);
  });

  test("listens at a unix socket, and takes its file away again", async () => {
    const address = `ipc://${join(workspace.folder, "listener.sock")}`;
    const listener = await listen({ bind: address });
    assert.equal(listener.registered, address);
    await send(address, encodeNewMail(mail("1.eml")));
    assert.deepEqual(await take(listener, 1), [{ type: "NewMail", ...mail("1.eml") }]);
    await listener.close();
    await assert.rejects(createPush(address).send(Buffer.alloc(1)), { code: "ERR_SP_REFUSED" });
  });

  test("yields each notification, typed, in order", async () => {
    const listener = await listen({ charset: "utf8" });
    const sent: Notification[] = [
      { type: "NewMail", ...mail("1.eml") },
      { type: "ObjectDeleted", ...mail("2.eml"), folder: "受信" },
      { type: "ObjectModified", ...mail("3.eml"), flagsSet: ["\\Seen"], flagsCleared: ["$Work", "\\Flagged"] },
      { type: "ObjectMoved", ...mail("4.eml"), oldEml: "9.eml", oldFolder: "Old.Box", oldSeparator: "." },
      { type: "ObjectCopied", ...mail("5.eml"), oldEml: "9.eml", oldFolder: "Old.Box", oldSeparator: "." },
    ];
    await send(listener.address, ...sent.map((notification) => encodeNotification(notification, charset("utf8"))));
    assert.deepEqual(await take(listener, sent.length), sent);
  });

  test("tells onError of a payload that is none, and goes on", async () => {
    const errors: Error[] = [];
    const listener = await listen({ onError: (error) => errors.push(error) });
    await send(listener.address, Buffer.from("garbage"), Buffer.alloc(0), encodeNewMail(mail("1.eml")));
    assert.deepEqual(await take(listener, 1), [{ type: "NewMail", ...mail("1.eml") }]);
    assert.equal(errors.length, 2);
  });

  test("tells onError of a peer that does not speak the protocol, and goes on", async () => {
    const errors: Error[] = [];
    const listener = await listen({ onError: (error) => errors.push(error) });
    connect(Number(listener.address.split(":").at(-1)), "127.0.0.1")
      .end("GET / HTTP/1.1\r\n\r\n")
      .on("error", () => {});
    await waitFor("the error", () => errors.length > 0);
    assert.equal((errors[0] as Error & { code: string }).code, "ERR_SP_HANDSHAKE");
    await send(listener.address, encodeNewMail(mail("1.eml")));
    assert.equal((await take(listener, 1)).length, 1);
  });

  test("registers again after a flush and after a restart of memcached", async () => {
    const errors: Error[] = [];
    const listener = await listen({ users: ["jdoe", "anna"], checkIntervalMs: 50, onError: (e) => errors.push(e) });
    const back = async (): Promise<void> => {
      for (const user of ["jdoe", "anna"]) {
        await waitFor(
          "the registration",
          async () => (await resolver.hosts(user).catch((): string[] => [])).includes(listener.address),
          20_000,
        );
      }
    };
    await askMemcached(memcached.port, "flush_all", "OK");
    await back();
    await memcached.stop();
    await waitFor("an error about it", () => errors.length > 0, 20_000);
    assert.match(errors[0]?.message ?? "", /memcached/);
    await memcached.restart();
    await back();
  });

  test("registers beside others and leaves them when it closes", async () => {
    await resolver.register("jdoe", "tcp://10.0.0.5:49152");
    const listener = await listen();
    assert.deepEqual(await resolver.hosts("jdoe"), ["tcp://10.0.0.5:49152", listener.address]);
    await listener.close();
    assert.deepEqual(await resolver.hosts("jdoe"), ["tcp://10.0.0.5:49152"]);
  });

  test("ends the iteration when it is closed, after what was received", async () => {
    const listener = await listen();
    const push = createPush(listener.address);
    for (const eml of ["1.eml", "2.eml", "3.eml"]) await push.send(encodeNewMail(mail(eml)));
    const iterator = listener[Symbol.asyncIterator]();
    assert.equal((await iterator.next()).done, false);
    const closing = listener.close();
    const rest: unknown[] = [];
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) rest.push(next.value);
    await closing;
    await push.close();
    assert.deepEqual(rest, [
      { type: "NewMail", ...mail("2.eml") },
      { type: "NewMail", ...mail("3.eml") },
    ]);
    assert.deepEqual(await resolver.hosts("jdoe"), []);
  });

  test("can be closed twice, and by who waits for the next notification", async () => {
    const listener = await listen();
    const taking = take(listener, 1);
    await Promise.all([listener.close(), listener.close()]);
    assert.deepEqual(await taking, []);
  });

  for (const bind of ["tcp://*:0", "tcp://0.0.0.0:0", "tcp://[::]:0"]) {
    test(`at ${bind} wants to be told what to register`, async () => {
      await assert.rejects(listen({ bind }), { code: "ERR_LISTENER", message: /--advertise/ });
      assert.deepEqual(await resolver.hosts("jdoe"), []);
      const listener = await listen({ bind, advertise: "tcp://mail.example.org:49152" });
      assert.deepEqual(await resolver.hosts("jdoe"), ["tcp://mail.example.org:49152"]);
      await listener.close();
    });
  }

  for (const advertise of ["mail.example.org:1", "tcp://mail.example.org:0", "ipc://relative", "tcp://*:1"]) {
    test(`refuses to register ${advertise}`, async () => {
      await assert.rejects(listen({ advertise }), (error: Error & { code: string }) =>
        /^ERR_(SP_ADDRESS|LISTENER)$/.test(error.code),
      );
      assert.deepEqual(await resolver.hosts("jdoe"), []);
    });
  }

  test("fails when the address is taken, when nobody answers as resolver, and for a user whom no key can name", async () => {
    const listener = await listen();
    await assert.rejects(listen({ bind: listener.address }), { code: "ERR_SP_IN_USE" });
    await assert.rejects(listen({ resolver: "--SERVER=127.0.0.1:1" }), { code: "ERR_MEMCACHED_CONNECT" });
    await assert.rejects(listen({ users: ["anna", "j doe"] }), { code: "ERR_MEMCACHED_KEY", message: /j doe/ });
    // Whoever was registered before the failure no longer is.
    assert.deepEqual(await resolver.hosts("anna"), []);
  });
});

describe("ocnotify listen", () => {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    test(`unregisters and ends in order at ${signal}`, async () => {
      const listener = await startListener("jdoe", memcached.config);
      assert.equal((await resolver.hosts("jdoe")).length, 1);
      assert.equal(await listener.stop(signal), 0);
      assert.deepEqual(await resolver.hosts("jdoe"), []);
    });
  }

  test("prints each notification on a line, as text or as JSON", async () => {
    const child = spawn(process.execPath, [CLI, "listen", "-U", "jdoe", "-H", memcached.config], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const ended = once(child, "close");
    let stdout = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => (stdout += chunk));
    const host = await waitFor("the registration", async () => (await resolver.hosts("jdoe"))[0], 20_000);
    assert.ok(host !== undefined);
    await send(host, encodeNewMail({ ...mail("42.eml"), folder: 'a "b"' }));
    await waitFor("the line", () => stdout.includes("\n"));
    child.kill();
    assert.deepEqual(await ended, [0, null]);
    assert.match(
      stdout,
      /^\d{4}-\d\d-\d\dT[\d:.]+Z NewMail backend="sogo" eml="42\.eml" folder="a \\"b\\"" separator="\/"\n$/,
    );
  });

  test("says what is no notification on stderr and goes on", async () => {
    const listener = await startListener("jdoe", memcached.config);
    const [host = ""] = await resolver.hosts("jdoe");
    await send(host, Buffer.from("garbage"), encodeNewMail(mail("1.eml")));
    await waitFor("the notification", () => listener.received.length === 1);
    assert.match(listener.errors(), /^ocnotify: /m);
    assert.equal(await listener.stop(), 0);
  });

  test("unregisters also when nobody reads what it prints any more", async () => {
    const child = spawn(process.execPath, [CLI, "listen", "-U", "jdoe", "-H", memcached.config], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    const ended = once(child, "close");
    const host = await waitFor("the registration", async () => (await resolver.hosts("jdoe"))[0], 20_000);
    assert.ok(host !== undefined);
    child.stdout.destroy();
    await send(host, encodeNewMail(mail("1.eml")), encodeNewMail(mail("2.eml")));
    assert.deepEqual(await ended, [0, null]);
    assert.deepEqual(await resolver.hosts("jdoe"), []);
  });

  test("says which address it needs when it listens at all of them", async () => {
    const args = ["listen", "-U", "jdoe", "-H", memcached.config, "--bind", "tcp://*:0"];
    const { code, stderr } = await ocnotify(args);
    assert.equal(code, 1);
    assert.match(stderr, /^ocnotify: tcp:\/\/\*:\d+ [^\n]*--advertise[^\n]*\n$/);
  });
});
