import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { MemcachedError } from "../../../src/protocols/memcached/errors.ts";
import { MemcachedServer, type MemcachedServerOptions } from "../../../src/protocols/memcached/server.ts";
import type { StoredValue } from "../../../src/protocols/memcached/request.ts";
import { startMemcached, type TestMemcached } from "../../helpers/memcached.ts";
import { askMemcached } from "../../helpers/ocnotify.ts";
import { freePort } from "../../helpers/ports.ts";

const bytes = (text: string): Buffer => Buffer.from(text);

/** Runs with a client that is closed afterwards. */
async function withClient<T>(
  address: MemcachedServer["address"],
  options: MemcachedServerOptions,
  run: (client: MemcachedServer) => Promise<T>,
): Promise<T> {
  const client = new MemcachedServer(address, options);
  try {
    return await run(client);
  } finally {
    client.close();
  }
}

/** A server that does what `onConnection` does; the client talks to it. */
async function withFake(
  options: MemcachedServerOptions,
  onConnection: (socket: Socket, count: number) => void,
  run: (client: MemcachedServer, connections: () => number) => Promise<void>,
): Promise<void> {
  let count = 0;
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    onConnection(socket, ++count);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  try {
    await withClient({ kind: "tcp", host: "127.0.0.1", port: address.port }, options, (client) =>
      run(client, () => count),
    );
  } finally {
    for (const socket of sockets) {
      socket.destroy();
    }
    server.close();
  }
}

/** Answers each line of commands with the next of the answers. */
const script =
  (...answers: (string | undefined)[]) =>
  (socket: Socket): void => {
    socket.on("data", () => {
      const answer = answers.shift();
      if (answer === undefined) {
        socket.destroy();
      } else {
        socket.write(answer);
      }
    });
  };

async function fails(code: string, promise: Promise<unknown>, canRetry = true): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof MemcachedError, String(error));
    assert.deepEqual([error.code, error.canRetry], [code, canRetry], error.message);
    return true;
  });
}

/** Waits until the call succeeds. */
async function eventually<T>(call: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (Date.now() > deadline) {
        throw error;
      }
      await delay(10);
    }
  }
}

/** Answers a get with a value of `size` bytes, ten bytes each 100 ms. */
const dribbling = (socket: Socket, size: number): void => {
  socket.on("data", () => {
    socket.write(`VALUE a 0 ${size} 1\r\n`);
    let left = size;
    const timer = setInterval(() => {
      socket.write("x".repeat(Math.min(left, 10)));
      left -= 10;
      if (left <= 0) clearInterval(timer);
      if (left <= 0) socket.write("\r\nEND\r\n");
    }, 100);
    socket.on("close", () => clearInterval(timer));
  });
};

/** What was found, but for values that are too long. */
async function getMany(client: MemcachedServer, keys: readonly string[]): Promise<Map<string, StoredValue>> {
  const values = new Map<string, StoredValue>();
  await client.getEach(keys, (key, found) => {
    if (!(found instanceof MemcachedError)) values.set(key, found);
  });
  return values;
}

describe("MemcachedServer with a real memcached", () => {
  let memcached: TestMemcached;

  before(async () => {
    memcached = await startMemcached();
  });
  after(() => memcached.stop());

  it("stores and finds any bytes, and tells a miss from an empty value", () =>
    withClient(memcached.address, {}, async (client) => {
      const values = new Map([
        ["empty", ""],
        ["ключ-é", "\r\nEND\r\nVALUE x 0 1\r\n"],
        ["k".repeat(250), "\0\x01"],
      ]);
      for (const [key, value] of values) {
        assert.equal(await client.set(key, bytes(value), { flags: 7 }), "stored");
      }
      const found = await getMany(client, ["miss", ...values.keys()]);
      assert.deepEqual([...found.keys()], [...values.keys()]);
      for (const [key, value] of values) {
        assert.deepEqual(found.get(key), { value: bytes(value), flags: 7 });
      }
      assert.equal((await getMany(client, [])).size, 0);
      assert.match(await client.version(), /^\d+\.\d+/);
    }));

  it("says when it was started, asked once for each connection, and anew after a restart", async () => {
    const began = performance.now();
    const other = await startMemcached();
    try {
      await withClient(other.address, {}, async (client) => {
        const first = await client.startedAt();
        const now = performance.now();
        // memcached's uptime begins at 2 s and is whole seconds.
        assert.ok(first > began - 4_000 && first <= now, `${first} of ${began} to ${now}`);
        assert.equal(await client.startedAt(), first);
        await other.restart();
        await eventually(async () => assert.notEqual(await client.startedAt(), first));
        // It does not tell when it was emptied otherwise.
        const second = await client.startedAt();
        await askMemcached(other.port, "flush_all", "OK");
        assert.equal(await client.startedAt(), second);
      });
    } finally {
      await other.stop();
    }
  });

  it("stores only if nobody was faster", () =>
    withClient(memcached.address, {}, async (client) => {
      assert.equal(await client.gets("race"), undefined);
      assert.equal(await client.cas("race", bytes("1"), { cas: "1" }), "not-found");
      assert.equal(await client.add("race", bytes("1")), "stored");
      assert.equal(await client.add("race", bytes("2")), "not-stored");
      const found = await client.gets("race");
      assert.ok(found);
      assert.equal(await client.cas("race", bytes("3"), found), "stored");
      assert.equal(await client.cas("race", bytes("4"), found), "exists");
      assert.deepEqual((await client.gets("race"))?.value, bytes("3"));
      assert.equal(await client.delete("race"), true);
      assert.equal(await client.delete("race"), false);
    }));

  it("looks up thousands of keys at once, from many callers at once, and mixes nothing up", () =>
    withClient(memcached.address, {}, async (client) => {
      const keys = Array.from({ length: 5000 }, (_, index) => `resolver:user${index}@example.com`);
      await Promise.all(keys.filter((_, index) => index % 3 !== 0).map((key) => client.set(key, bytes(key))));
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, index) => getMany(client, keys.slice(index * 50, 5000 - index * 200))),
      );
      for (const [index, found] of answers.entries()) {
        for (const key of keys.slice(index * 50, 5000 - index * 200)) {
          const miss = keys.indexOf(key) % 3 === 0;
          assert.equal(found.get(key)?.value.toString(), miss ? undefined : key);
        }
      }
      // The same key twice is one answer.
      assert.equal((await getMany(client, ["k".repeat(250), "k".repeat(250)])).size, 1);
    }));

  it("refuses a bad key before anything is sent", () =>
    withClient({ kind: "tcp", host: "127.0.0.1", port: 1 }, {}, async (client) => {
      for (const key of ["", "a b", "a\r\nflush_all", "k".repeat(251)]) {
        await fails("ERR_MEMCACHED_KEY", getMany(client, ["good", key]), false);
        await fails("ERR_MEMCACHED_KEY", client.set(key, bytes("")), false);
        await fails("ERR_MEMCACHED_KEY", client.delete(key), false);
      }
    }));

  it("says that a value is too large, here or there, and goes on", () =>
    withClient(memcached.address, { maxValueSize: 2_000_000 }, async (client) => {
      await fails("ERR_MEMCACHED_VALUE", client.set("large", Buffer.alloc(2_000_001)), false);
      await fails("ERR_MEMCACHED_SERVER", client.set("large", Buffer.alloc(2_000_000)), false);
      assert.equal(await client.set("large", Buffer.alloc(900_000, 1)), "stored");
      assert.equal((await getMany(client, ["large"])).get("large")?.value.length, 900_000);
    }));

  it("speaks over a unix socket and over IPv6", async () => {
    const directory = await mkdtemp(join(tmpdir(), "ocnotify-mc-"));
    const others = await Promise.all([startMemcached({ unix: join(directory, "s") }), startMemcached({ host: "::1" })]);
    try {
      for (const { address } of others) {
        await withClient(address, {}, async (client) => {
          assert.equal(await client.set("a", bytes("b")), "stored");
          assert.deepEqual((await getMany(client, ["a"])).get("a")?.value, bytes("b"));
        });
      }
    } finally {
      await Promise.all(others.map((other) => other.stop()));
      await rm(directory, { recursive: true });
    }
  });

  it("does not notice a restart while it is idle", async () => {
    const other = await startMemcached();
    try {
      await withClient(other.address, {}, async (client) => {
        for (let round = 0; round < 5; round++) {
          assert.equal(await client.set("a", bytes("1")), "stored");
          await other.restart();
          assert.equal((await getMany(client, ["a"])).size, 0);
          assert.equal(client.down, false);
        }
      });
    } finally {
      await other.stop();
    }
  });

  it("fails fast while the server is gone, and finds it again", async () => {
    const other = await startMemcached();
    try {
      await withClient(other.address, { retryTimeoutMs: 300 }, async (client) => {
        await client.version();
        await other.stop();
        await fails("ERR_MEMCACHED_CONNECT", getMany(client, ["a"]));
        assert.equal(client.down, true);
        const started = performance.now();
        for (let call = 0; call < 100; call++) {
          await fails("ERR_MEMCACHED_DOWN", getMany(client, ["a"]));
        }
        assert.ok(performance.now() - started < 300);
        await other.restart();
        assert.equal((await eventually(() => getMany(client, ["a"]))).size, 0);
        assert.equal(client.down, false);
      });
    } finally {
      await other.stop();
    }
  });

  it("gives up on a server that stands still, and never takes a late answer", async () => {
    const other = await startMemcached();
    try {
      await withClient(other.address, { pollTimeoutMs: 200, retryTimeoutMs: 100 }, async (client) => {
        await client.set("a", bytes("a"));
        await client.set("b", bytes("b"));
        other.pause();
        const started = performance.now();
        const calls = [getMany(client, ["a"]), client.gets("a"), client.set("a", bytes("late")), client.version()];
        await Promise.all(calls.map((call) => fails("ERR_MEMCACHED_TIMEOUT", call)));
        const took = performance.now() - started;
        assert.ok(took >= 190 && took < 2000, `${took} ms`);
        await fails("ERR_MEMCACHED_DOWN", getMany(client, ["b"]));
        other.resume();
        const found = await eventually(() => getMany(client, ["b"]));
        assert.deepEqual([...found.keys()], ["b"]);
        assert.deepEqual(found.get("b")?.value, bytes("b"));
      });
    } finally {
      await other.stop();
    }
  });

  it("holds up nobody while it tries a server that stands still", async () => {
    const other = await startMemcached();
    try {
      await withClient(other.address, { pollTimeoutMs: 100, retryTimeoutMs: 10 }, async (client) => {
        await client.version();
        other.pause();
        await fails("ERR_MEMCACHED_TIMEOUT", getMany(client, ["a"]));
        const until = performance.now() + 500;
        let longest = 0;
        while (performance.now() < until) {
          const started = performance.now();
          await fails("ERR_MEMCACHED_DOWN", getMany(client, ["a"]));
          longest = Math.max(longest, performance.now() - started);
          await delay(1);
        }
        assert.ok(longest < 80, `${longest} ms`);
        other.resume();
        // Without a call of ours: the next one must not pay for what is over.
        await eventually(async () => assert.equal(client.down, false));
        await getMany(client, ["a"]);
      });
    } finally {
      await other.stop();
    }
  });

  it("survives kills under load: each call answers or fails in a way that can be retried", async () => {
    const other = await startMemcached();
    try {
      await withClient(other.address, { retryTimeoutMs: 20 }, async (client) => {
        let answered = 0;
        let failed = 0;
        const load = { running: true };
        const caller = async (id: number): Promise<void> => {
          for (let call = 0; load.running; call++) {
            const key = `k${id}-${call}`;
            try {
              await client.set(key, bytes(key));
              const value = (await getMany(client, [`${key}x`, key])).get(key)?.value.toString();
              assert.ok(value === key || value === undefined, value);
              answered++;
            } catch (error) {
              assert.ok(error instanceof MemcachedError && error.canRetry, String(error));
              failed++;
              await delay(1);
            }
          }
        };
        const callers = Promise.all(Array.from({ length: 20 }, (_, id) => caller(id)));
        for (let round = 0; round < 5; round++) {
          const before = answered;
          await eventually(async () => assert.ok(answered > before + 200));
          await other.restart();
        }
        load.running = false;
        await callers;
        assert.ok(failed > 0);
      });
    } finally {
      await other.stop();
    }
  });

  it("does not keep the process alive when it is idle", async () => {
    const module = new URL("../../../src/protocols/memcached/server.ts", import.meta.url).href;
    const program = `
      import { MemcachedServer } from ${JSON.stringify(module)};
      const client = new MemcachedServer(${JSON.stringify(memcached.address)});
      console.log(await client.version());`;
    const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", program], {
      cwd: fileURLToPath(new URL("../../..", import.meta.url)),
      stdio: ["ignore", "pipe", "inherit"],
      timeout: 30_000,
    });
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
    const [code]: unknown[] = await once(child, "close");
    assert.equal(code, 0);
    assert.match(output, /^\d+\.\d+/);
  });
});

describe("MemcachedServer with a value over its limit", () => {
  const LONG = bytes("x".repeat(300_000));
  let memcached: TestMemcached;
  before(async () => {
    memcached = await startMemcached();
    await withClient(memcached.address, {}, async (client) => {
      for (const key of ["a", "z"]) await client.set(key, bytes(key));
      for (const key of ["long", "longer"]) await client.set(key, LONG);
    });
  });
  after(() => memcached.stop());

  it("fails that key alone, with its length, and finds the others of the same answer", () =>
    withClient(memcached.address, { maxValueSize: 1_000 }, async (client) => {
      const found = new Map<string, StoredValue | MemcachedError>();
      await client.getEach(["a", "long", "miss", "longer", "z"], (key, each) => void found.set(key, each));
      assert.deepEqual([...found.keys()], ["a", "long", "longer", "z"]);
      assert.deepEqual(found.get("z"), { value: bytes("z"), flags: 0 });
      for (const key of ["long", "longer"]) {
        const error = found.get(key);
        assert.ok(error instanceof MemcachedError);
        assert.deepEqual([error.code, error.canRetry], ["ERR_MEMCACHED_VALUE", false]);
        assert.match(error.message, new RegExp(`"${key}" has 300000 bytes, over the limit of 1000`));
      }
    }));

  it("fails its gets and its set, and nothing else that is asked at the same time; it can be deleted", () =>
    withClient(memcached.address, { maxValueSize: 1_000 }, async (client) => {
      const others = [client.gets("a"), client.gets("z")];
      await fails("ERR_MEMCACHED_VALUE", client.gets("longer"), false);
      assert.deepEqual(
        (await Promise.all(others)).map((found) => found?.value.toString()),
        ["a", "z"],
      );
      await fails("ERR_MEMCACHED_VALUE", client.set("a", LONG), false);
      assert.equal(await client.delete("longer"), true);
      assert.equal(await client.gets("longer"), undefined);
    }));

  it("waits longer than the poll timeout while it comes, but no longer than for any answer", async () => {
    const options = { maxValueSize: 5, pollTimeoutMs: 300, answerTimeoutMs: 1_500 };
    await withFake(
      options,
      (socket) => dribbling(socket, 60),
      async (client) => {
        await fails("ERR_MEMCACHED_VALUE", client.gets("a"), false);
        assert.equal(client.down, false);
      },
    );
    await withFake(
      options,
      (socket) => dribbling(socket, 9_999_999_999),
      async (client) => {
        await fails(
          "ERR_MEMCACHED_TIMEOUT",
          client.getEach(["a"], () => assert.fail()),
        );
      },
    );
  });
});

describe("MemcachedServer with a server that misbehaves", () => {
  const options = { connectTimeoutMs: 500, pollTimeoutMs: 200, retryTimeoutMs: 60_000 };

  for (const [what, answer] of [
    ["garbage", "HTTP/1.1 400 Bad Request\r\n\r\n"],
    ["a key that nobody asked for", "VALUE other 0 1\r\nx\r\nEND\r\n"],
    ["a line without end", "x".repeat(10_000)],
    ["the answer to another command", "STORED\r\n"],
    ["a key that comes twice", "VALUE a 0 1\r\nx\r\nVALUE a 0 1\r\nx\r\nEND\r\n"],
    ["one answer too many", "END\r\nEND\r\n"],
    ["ERROR", "ERROR\r\n"],
    ["a full house", "ERROR Too many open connections\r\n"],
  ] as const) {
    it(`fails all that is pending at ${what}`, () =>
      withFake(options, script(answer), async (client) => {
        const results = await Promise.allSettled([getMany(client, ["a"]), client.version(), getMany(client, ["b"])]);
        const [first, ...others] = results;
        assert.equal(first.status, what === "one answer too many" ? "fulfilled" : "rejected");
        for (const result of others) {
          assert.ok(result.status === "rejected" && result.reason instanceof MemcachedError);
          assert.deepEqual([result.reason.code, result.reason.canRetry], ["ERR_MEMCACHED_PROTOCOL", true]);
        }
        await fails("ERR_MEMCACHED_DOWN", getMany(client, ["a"]));
      }));
  }

  it("that says nothing of its uptime was started long ago", () =>
    withFake(options, script("STAT pid 1\r\nSTAT uptime soon\r\nEND\r\n"), async (client) => {
      assert.equal(await client.startedAt(), -Infinity);
      assert.equal(await client.startedAt(), -Infinity);
    }));

  it("that ends the connection at stats was started long ago, after three tries", () =>
    withFake({ ...options, retryTimeoutMs: 1 }, script(), async (client, connections) => {
      for (let n = 1; n <= 3; n++) {
        await assert.rejects(client.startedAt());
        await delay(5);
      }
      assert.equal(await client.startedAt(), -Infinity);
      assert.equal(connections(), 3);
    }));

  it("fails at half an answer, when the rest does not come", () =>
    withFake(options, script("VALUE a 0 10\r\nhalf"), async (client) => {
      await fails("ERR_MEMCACHED_TIMEOUT", getMany(client, ["a"]));
    }));

  it("fails at an answer that goes on and never ends", () => {
    let trickle: NodeJS.Timeout | undefined;
    // Each value comes well within the poll timeout.
    const onConnection = (socket: Socket): void => {
      let sent = 0;
      trickle = setInterval(() => socket.write(`VALUE ${sent++} 0 1\r\nx\r\n`), 20);
    };
    const keys = Array.from({ length: 10_000 }, (_, index) => `${index}`);
    return withFake({ ...options, answerTimeoutMs: 500 }, onConnection, async (client) => {
      const error = { code: "ERR_MEMCACHED_TIMEOUT", message: /no whole answer within 500 ms/ };
      await assert.rejects(getMany(client, keys), error);
    }).finally(() => clearInterval(trickle));
  });

  it("fails at half an answer, when the connection ends, and does not ask again", () =>
    withFake(
      options,
      (socket) => socket.on("data", () => socket.end("VALUE a 0 10\r\nhalf")),
      async (client, connections) => {
        await fails("ERR_MEMCACHED_CONNECTION", getMany(client, ["a"]));
        assert.equal(connections(), 1);
      },
    ));

  it("fails at a reset", () =>
    withFake(
      options,
      (socket) => socket.on("data", () => socket.resetAndDestroy()),
      async (client) => {
        await Promise.all([
          fails("ERR_MEMCACHED_CONNECTION", getMany(client, ["a"])),
          fails("ERR_MEMCACHED_CONNECTION", client.set("a", bytes(""))),
        ]);
      },
    ));

  it("asks once more on a fresh connection when one that worked breaks without a byte", () =>
    withFake(
      options,
      (socket, count) => (count === 1 ? script("END\r\n", undefined) : script("VALUE a 0 1\r\nx\r\nEND\r\n"))(socket),
      async (client, connections) => {
        assert.equal((await getMany(client, ["a"])).size, 0);
        assert.equal((await getMany(client, ["a"])).size, 1);
        assert.equal(connections(), 2);
        assert.equal(client.down, false);
      },
    ));

  it("asks no third time", () =>
    withFake(
      options,
      (socket, count) => script(...(count === 1 ? ["END\r\n"] : []), undefined)(socket),
      async (client, connections) => {
        await getMany(client, ["a"]);
        await fails("ERR_MEMCACHED_CONNECTION", getMany(client, ["a"]));
        assert.equal(connections(), 2);
        assert.equal(client.down, true);
      },
    ));

  it("never sends a store again, which may have been done", () =>
    withFake(
      options,
      (socket) => script("END\r\n", undefined)(socket),
      async (client, connections) => {
        await getMany(client, ["a"]);
        await fails("ERR_MEMCACHED_CONNECTION", client.set("a", bytes("x")));
        assert.equal(connections(), 1);
        // It says nothing about the server.
        assert.equal(client.down, false);
      },
    ));

  it("passes on what the server says, and goes on", () =>
    withFake(
      options,
      script("SERVER_ERROR out of memory\r\n", "CLIENT_ERROR bad command line format\r\n", "END\r\n"),
      async (client, connections) => {
        await fails("ERR_MEMCACHED_SERVER", client.set("a", bytes("x")));
        await fails("ERR_MEMCACHED_CLIENT", client.set("a", bytes("x")), false);
        assert.equal(client.down, false);
        assert.equal((await getMany(client, ["a"])).size, 0);
        assert.equal(connections(), 2);
      },
    ));

  it("is not hurt by bytes that come while it is idle", () =>
    withFake(
      options,
      (socket, count) => {
        socket.on("data", () => socket.write(count === 1 ? "END\r\nSTORED\r\n" : "VALUE a 0 1\r\nx\r\nEND\r\n"));
      },
      async (client) => {
        assert.equal((await getMany(client, ["a"])).size, 0);
        assert.equal((await getMany(client, ["a"])).size, 1);
      },
    ));

  it("gives up on a host that takes no connection", async () => {
    // A listener whose queue is full drops what would be the next connection, like a host that does not exist.
    const port = await freePort();
    const full = spawn(process.execPath, [
      "-e",
      `const s = require("net").createServer(); s.listen({ port: ${port}, host: "127.0.0.1", backlog: 1 }, () => {
        console.log("listening"); process.kill(process.pid, "SIGSTOP"); });`,
    ]);
    await once(full.stdout, "data");
    const fillers = Array.from({ length: 8 }, () => new MemcachedServer({ kind: "tcp", host: "127.0.0.1", port }));
    try {
      const filling = fillers.map((filler) => filler.version().catch((error: unknown) => error));
      await withClient({ kind: "tcp", host: "127.0.0.1", port }, options, async (client) => {
        const started = performance.now();
        await fails("ERR_MEMCACHED_TIMEOUT", getMany(client, ["a"]));
        assert.ok(performance.now() - started < 2000);
        await fails("ERR_MEMCACHED_DOWN", getMany(client, ["a"]));
      });
      await Promise.all(filling);
    } finally {
      full.kill("SIGKILL");
      for (const filler of fillers) {
        filler.close();
      }
    }
  });

  it("fails what is pending and what comes when it is closed", () =>
    withFake(
      options,
      () => {},
      async (client) => {
        const pending = getMany(client, ["a"]);
        const rejected = fails("ERR_MEMCACHED_CLOSED", pending, false);
        client.close();
        await rejected;
        await fails("ERR_MEMCACHED_CLOSED", getMany(client, ["a"]), false);
      },
    ));
});
