import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { Resolver } from "../../src/destinations/openchange/resolver.ts";
import { startMemcached, type TestMemcached } from "../helpers/memcached.ts";
import { startNanocatPull, type Peer } from "../helpers/nanocat.ts";
import { askMemcached, newMailBytes, ocnotify, startListener, type CliResult } from "../helpers/ocnotify.ts";
import { freePort } from "../helpers/ports.ts";
import { waitFor } from "../helpers/wait.ts";

async function received(peer: Peer, ...expected: Buffer[]): Promise<void> {
  await waitFor("the notification", () => peer.messages.length >= expected.length);
  assert.deepEqual(peer.messages, expected);
}

const ok = (stdout: string): CliResult => ({ code: 0, stdout, stderr: "" });

const withSeparator = (byte: number): Buffer => Buffer.concat([newMailBytes("7.eml").subarray(0, -1), Buffer.of(byte)]);

describe("a command line of the original tool", () => {
  let memcached: TestMemcached;
  let resolver: Resolver;
  const peers: Peer[] = [];
  before(async () => {
    memcached = await startMemcached();
    resolver = new Resolver(memcached.config);
  });
  afterEach(async () => {
    await askMemcached(memcached.port, "flush_all", "OK");
    for (const peer of peers.splice(0)) await peer.stop();
  });
  after(async () => {
    resolver.close();
    await memcached.stop();
  });

  /** Receivers of libnanomsg that are registered for jdoe. */
  const receivers = async (count: number): Promise<Peer[]> => {
    while (peers.length < count) peers.push(await startNanocatPull());
    for (const { address } of peers) await resolver.register("jdoe", address);
    return peers;
  };
  test("--list prints the servers as it did", async () => {
    await resolver.register("jdoe", "tcp://127.0.0.1:5000");
    await resolver.register("jdoe", "ipc:///run/b.sock");
    const printed = "2 servers found for 'jdoe'\n\t* tcp://127.0.0.1:5000\n\t* ipc:///run/b.sock\n";
    for (const args of [
      ["-U", "jdoe", "-H", memcached.config, "--list"],
      ["--list", `--server=${memcached.config}`, "--username=jdoe"],
    ]) {
      assert.deepEqual(await ocnotify(args), { code: 0, stdout: printed, stderr: "" });
    }
  });

  const original = (...args: string[]): Promise<CliResult> => ocnotify(["-U", "jdoe", "-H", memcached.config, ...args]);
  const INBOX = ["-b", "sogo", "--dstfolder", "INBOX"] as const;

  test("-n sends a new mail to every server and says so, also with -v", async () => {
    const [one, two] = await receivers(2);
    assert.ok(one !== undefined && two !== undefined);
    const said = `message sent to ${one.address}\nmessage sent to ${two.address}\n`;
    assert.deepEqual(await original("-n", "7.eml", ...INBOX, "--sep", "/"), ok(said));
    assert.deepEqual(await original("-vv", "--newmail=8.eml", ...INBOX, "--sep=/"), ok(said));
    for (const peer of [one, two]) await received(peer, newMailBytes("7.eml"), newMailBytes("8.eml"));
  });

  test("-b, --dstfolder and --sep say which backend, folder and separator", async () => {
    const [peer] = await receivers(1);
    assert.ok(peer !== undefined);
    const what = ["-n", "7.eml", "-b", "mymailstore", "--dstfolder", "INBOX.Work", "--sep", "."];
    assert.equal((await original(...what)).code, 0);
    await received(peer, newMailBytes("7.eml", "INBOX.Work", "mymailstore", "."));
  });

  test("the separator is the first byte of --sep, and 00 without one", async () => {
    const [peer] = await receivers(1);
    assert.ok(peer !== undefined);
    const expected: Buffer[] = [];
    for (const [args, byte] of [
      [[], 0],
      [["--sep", ""], 0],
      [["--sep"], 0],
      [["--sep", "/."], 0x2f],
      [["--sep=é"], 0xc3],
    ] as const) {
      assert.deepEqual(await original("-n", "7.eml", ...INBOX, ...args), ok(`message sent to ${peer.address}\n`));
      expected.push(withSeparator(byte));
      await received(peer, ...expected);
    }
  });

  test("-n without a backend or a folder sends and deletes nothing and fails", async () => {
    const [peer] = await receivers(1);
    assert.ok(peer !== undefined);
    for (const args of [
      ["-b", "sogo"],
      ["--dstfolder", "INBOX"],
      ["--dstfolder", "INBOX", "-b"],
    ]) {
      const { code, stdout, stderr } = await original("--flush", "-n", "7.eml", ...args);
      assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
      assert.match(stderr, /^ocnotify: nothing was sent: -n needs -b [^\n]*\n$/);
    }
    assert.deepEqual(await original("--list"), ok(`1 servers found for 'jdoe'\n\t* ${peer.address}\n`));
    assert.deepEqual(peer.messages, []);
  });

  test("an option without its value does nothing", async () => {
    const [peer] = await receivers(1);
    assert.ok(peer !== undefined);
    for (const bare of ["-n", "--dstfolder", "-H"]) {
      assert.deepEqual(await original(bare), ok(""), bare);
    }
    assert.deepEqual(peer.messages, []);
  });

  test("a server that is gone is no failure, and the others are told", async () => {
    const dead = `tcp://127.0.0.1:${await freePort()}`;
    await resolver.register("jdoe", dead);
    await resolver.register("jdoe", "nonsense");
    const [peer] = await receivers(1);
    assert.ok(peer !== undefined);
    const { code, stdout, stderr } = await original("-n", "7.eml", ...INBOX, "--sep", "/");
    assert.deepEqual(
      { code, stdout },
      { code: 0, stdout: `message sent to ${dead}\nmessage sent to ${peer.address}\n` },
    );
    assert.match(
      stderr,
      new RegExp(`^ocnotify: ${dead}: nobody listens there[^\n]*\nocnotify: "nonsense" is not [^\n]*\n$`),
    );
    await received(peer, newMailBytes("7.eml"));
  });

  test("--flush deletes the user's record, and asks nothing though a server answers", async () => {
    await receivers(1);
    assert.deepEqual(await original("--flush"), ok(""));
    assert.deepEqual(await askMemcached(memcached.port, "get resolver:jdoe"), []);
  });

  test("--flush with -n deletes the record also when a server cannot be told", async () => {
    const dead = `tcp://127.0.0.1:${await freePort()}`;
    await resolver.register("jdoe", dead);
    const { code, stdout, stderr } = await original("-n", "7.eml", ...INBOX, "--flush");
    assert.deepEqual({ code, stdout }, { code: 0, stdout: `message sent to ${dead}\n` });
    assert.match(stderr, /^ocnotify: [^\n]+\n$/);
    assert.ok(stderr.includes(dead), stderr);
    assert.deepEqual(await askMemcached(memcached.port, "get resolver:jdoe"), []);
  });

  for (const args of [["-?"], ["-U", "jdoe", "-?"], ["--list", "--help"]]) {
    test(`${args.join(" ")} shows its options`, async () => {
      const { code, stdout, stderr } = await ocnotify(args);
      assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
      assert.match(stdout, /^Usage: ocnotify \[OPTION\.\.\.\]\n/);
      for (const term of [
        "  -U, --username=STRING ",
        "  -n, --newmail=STRING ",
        "      --dstfolder=STRING ",
        "  -?, --help ",
      ]) {
        assert.ok(stdout.includes(`\n${term}`), term);
      }
    });
  }

  test("--usage shows them in short", async () => {
    const { code, stdout, stderr } = await ocnotify(["--usage"]);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
    assert.match(
      stdout,
      /^Usage: ocnotify \[-\?v\] \[-\?\|--help\] \[--usage\] \[-U\|--username=STRING\]\n {8}\[-H\|--server/,
    );
    for (const line of stdout.split("\n")) assert.ok(line.length < 80, line);
  });

  test("the resolver is that of smb.conf where no -H is given", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ocnotify-smb-"));
    const [peer] = await receivers(1);
    assert.ok(peer !== undefined);
    const file = join(folder, "smb.conf");
    writeFileSync(file, `[global]\n  mapistore:notification_cache = ${memcached.config}\n`);
    const listed = ok(`1 servers found for 'jdoe'\n\t* ${peer.address}\n`);
    assert.deepEqual(await ocnotify(["-U", "jdoe", "--list"], "", file), listed);
    const other = await ocnotify(["-U", "jdoe", "--list", "-H", "--SERVER=127.0.0.1:1"], "", file);
    assert.match(other.stderr, /127\.0\.0\.1:1/);
    writeFileSync(file, "mapistore:notification_cache = --SERVER=127.0.0.1:1\n");
    const { code, stderr } = await ocnotify(["-U", "jdoe", "--list"], "", file);
    assert.equal(code, 1);
    assert.match(stderr, /127\.0\.0\.1:1/);
    rmSync(folder, { recursive: true });
  });

  test("--list shows nothing that a terminal obeys", async () => {
    await resolver.register("jdoe", "tcp://a\u001b[2J:1");
    assert.equal((await original("--list")).stdout, "1 servers found for 'jdoe'\n\t* tcp://a\\u001b[2J:1\n");
  });

  for (const what of [["--list"], ["--flush"], ["-n", "7.eml"]]) {
    test(`${what.join(" ")} fails for a user for whom nobody is registered`, async () => {
      const { code, stdout, stderr } = await original(...what);
      assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
      assert.match(stderr, /^ocnotify: nobody is registered for jdoe\n$/);
    });
  }

  test("and the same as commands: list, send, flush", async () => {
    const [peer] = await receivers(1);
    assert.ok(peer !== undefined);
    const who = ["--username", "JDoe", "--server", memcached.config];
    assert.deepEqual(await ocnotify(["list", ...who]), ok(`${peer.address}\n`));
    for (const message of ["42.eml", "42"]) {
      const sent = await ocnotify(["send", ...who, "--newmail", message, "--dstfolder", "Work"]);
      assert.deepEqual(sent, ok(`sent to ${peer.address}\n`));
    }
    await received(peer, newMailBytes("42.eml", "Work"), newMailBytes("42.eml", "Work"));
    assert.deepEqual(await ocnotify(["flush", ...who, "--yes"]), ok("flushed\n"));
    assert.deepEqual(await ocnotify(["flush", ...who]), ok("there was no record\n"));
    assert.deepEqual(await ocnotify(["list", ...who]), ok(""));
  });

  test("send tells those whom it can and names those whom it cannot", async () => {
    const [peer] = await receivers(1);
    assert.ok(peer !== undefined);
    const dead = `tcp://127.0.0.1:${await freePort()}`;
    await resolver.register("jdoe", dead);
    const { code, stderr } = await ocnotify(["send", "--username", "jdoe", "--server", memcached.config]);
    assert.equal(code, 1);
    assert.equal(stderr, `ocnotify: sent to 1 of 2 hosts: ${dead}: nobody listens there (ECONNREFUSED)\n`);
    await received(peer, newMailBytes("1.eml"));
  });

  test("list, send and listen take hosts in the dos charset", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ocnotify-charset-"));
    const address = `ipc://${folder}/Ê`;
    const cp1252 = ["--charset", "cp1252"];
    const listener = await startListener("jdoe", memcached.config, ["--bind", address]);
    const who = ["--username", "jdoe", "--server", memcached.config];
    assert.deepEqual(await ocnotify(["list", ...who]), ok(`${address}\n`));
    assert.deepEqual(await ocnotify(["list", ...who, ...cp1252]), ok(`ipc://${folder}/Ò\n`));
    assert.deepEqual(await ocnotify(["send", ...who]), ok(`sent to ${address}\n`));
    assert.equal((await ocnotify(["send", ...who, ...cp1252])).code, 1);
    await waitFor("the notification", () => listener.received.length > 0);
    assert.equal(await listener.stop(), 0);
    assert.deepEqual(await ocnotify(["list", ...who]), ok(""));
    rmSync(folder, { recursive: true });
  });

  test("send refuses a folder that the charset lacks, before it asks anybody", async () => {
    const { code, stderr } = await ocnotify([
      "send",
      "-U",
      "jdoe",
      "-H",
      "--SERVER=127.0.0.1:1",
      "--dstfolder",
      "受信",
    ]);
    assert.equal(code, 1);
    assert.match(stderr, /^ocnotify: folder "受信" cannot be written in cp850[^\n]*\n$/);
  });
});

describe("ocnotify send", { concurrency: 4 }, () => {
  for (const message of ["", "0", "4294967296", "042", "42.em"]) {
    test(`send refuses ${JSON.stringify(message)}, which is no message`, async () => {
      const { code, stderr } = await ocnotify(["send", "-U", "jdoe", `--newmail=${message}`]);
      assert.equal(code, 2);
      assert.match(stderr, /^ocnotify: [^\n]*a UID from 1 to 4294967295 is wanted[^\n]*\n$/);
    });
  }

  for (const separator of ["", "/.", "é"]) {
    test(`send refuses the separator ${JSON.stringify(separator)}`, async () => {
      const { code, stderr } = await ocnotify(["send", "-U", "jdoe", `--sep=${separator}`]);
      assert.equal(code, 1);
      assert.match(stderr, /^ocnotify: "[^"]*" is not a hierarchy separator[^\n]*\n$/);
    });
  }
});

describe("ocnotify which", () => {
  test("prints the memcached of each key, one a line, in the order of the keys, and asks nobody", async () => {
    const server = "--SERVER=mc1 --SERVER=mc2:11212 --SERVER=mc3";
    const { code, stdout } = await ocnotify(["which", "--server", server, "resolver:a", "resolver:b", "resolver:a"]);
    const lines = stdout.trimEnd().split("\n");
    assert.equal(code, 0);
    assert.equal(lines.length, 3);
    assert.equal(lines[0], lines[2]);
    for (const line of lines) assert.match(line, /^(mc1:11211|mc2:11212|mc3:11211)$/);
  });

  test("refuses a key that memcached cannot hold, and says where the others are", async () => {
    const { code, stdout, stderr } = await ocnotify(["which", "good", "not good", "", "better"]);
    assert.deepEqual({ code, stdout }, { code: 1, stdout: "127.0.0.1:11211\n127.0.0.1:11211\n" });
    assert.match(stderr, /^ocnotify: [^\n]*"not good"[^\n]* a space at character 3\nocnotify: [^\n]*"" is empty\n$/);
  });
});
