import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, test } from "node:test";
import { CLI, ocnotify } from "../helpers/ocnotify.ts";

interface Vector {
  kind: "newmail" | "resolver" | "session" | "subscription";
  hex?: string;
  error?: number;
  [field: string]: unknown;
}

/** Made by OpenChange's own code. */
const vectors = JSON.parse(
  readFileSync(new URL("../fixtures/openchange-ndr.json", import.meta.url), "utf8"),
) as readonly Vector[];

describe("ocnotify decode", { concurrency: 4 }, () => {
  test("prints what OpenChange's own bytes say, for every vector", async () => {
    await Promise.all(
      vectors.map(async ({ kind, hex, ...fields }) => {
        if (hex === undefined) return;
        const { code, stdout, stderr } = await ocnotify(["decode", kind, hex]);
        assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
        assert.deepEqual(JSON.parse(stdout), kind === "newmail" ? { type: "NewMail", ...fields } : fields);
      }),
    );
  });

  test("reads stdin for -, in lines and with spaces, in either case", async () => {
    const { code, stdout } = await ocnotify(["decode", "resolver", "-"], "01 00000000\n0000 0000\n");
    assert.deepEqual({ code, stdout }, { code: 0, stdout: '{"hosts":[]}\n' });
  });

  test("reads text in the charset that is named", async () => {
    const hex = Buffer.from("\u0001\u0002\u0000b\u00001.eml\u0000受信\u0000/").toString("hex");
    const { stdout } = await ocnotify(["decode", "newmail", hex, "--charset", "utf8"]);
    assert.equal((JSON.parse(stdout) as { folder: string }).folder, "受信");
  });

  const garbage: readonly (readonly [string, string, string, RegExp])[] = [
    ["no hexadecimal", "newmail", "xyz", /not hexadecimal: "x" at digit 0/],
    ["half a byte", "newmail", "010", /odd number of hexadecimal digits: 3/],
    ["nothing", "newmail", "", /version/],
    ["another version", "newmail", "020200", /version/],
    ["a record that ends early", "newmail", "010200736f", /backend/],
    ["a record that goes on", "resolver", "01000000000000000000", /1 byte/],
    ["flags of no notification", "newmail", "010001", /flags 0x0100/],
    ["4 billion hosts", "resolver", "01ffffffffffffffff", /4294967295/],
    ["counts that differ", "resolver", "010100000002000000610062", /count/],
  ];
  for (const [what, kind, hex, message] of garbage) {
    test(`refuses ${what} with one line`, async () => {
      const { code, stdout, stderr } = await ocnotify(["decode", kind, "-"], hex);
      assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
      assert.match(stderr, /^ocnotify: [^\n]+\n$/);
      assert.match(stderr, message);
    });
  }

  test("stops reading a stdin that has no end", async () => {
    const child = spawn(process.execPath, [CLI, "decode", "newmail", "-"], { stdio: ["pipe", "pipe", "pipe"] });
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => (stderr += chunk));
    const chunk = Buffer.alloc(1024 * 1024, "00");
    const feed = (): void => {
      while (child.stdin.write(chunk));
    };
    child.stdin.on("drain", feed).on("error", () => {});
    feed();
    const [code] = (await once(child, "close")) as [number | null];
    assert.equal(code, 1);
    assert.match(stderr, /^ocnotify: more than 16777216 hexadecimal digits\n$/);
  });

  test("a charset that does not exist is an error that says which there are", async () => {
    const { code, stderr } = await ocnotify(["decode", "newmail", "00", "--charset", "klingon"]);
    assert.equal(code, 1);
    assert.match(stderr, /^ocnotify: "klingon" is not a charset .*cp850[^\n]*\n$/);
  });
});

describe("ocnotify encode", { concurrency: 4 }, () => {
  test("makes the bytes that OpenChange's own code makes, or refuses what it refuses", async () => {
    await Promise.all(
      vectors.map(async ({ kind, hex, ...fields }) => {
        const { backend, eml, folder, separator, hosts, uuid, cn } = fields as Record<string, string> & {
          hosts: string[];
        };
        const args = {
          newmail: ["--backend", backend, "--newmail", eml, "--dstfolder", folder, "--sep", separator],
          resolver: hosts,
          session: ["--uuid", uuid, "--cn", cn],
          subscription: undefined,
        }[kind] as string[] | undefined;
        if (args === undefined) return;
        const { code, stdout, stderr } = await ocnotify(["encode", kind, ...args]);
        if (hex === undefined) {
          assert.equal(code, 1);
          assert.match(stderr, /^ocnotify: folder .*cp850.*dos charset[^\n]*\n$/);
        } else {
          assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: `${hex}\n`, stderr: "" });
        }
      }),
    );
  });

  for (const address of ["tcp://", "tcp://*:1", "inproc://x", "ipc://relative", "tcp://h:0", "tcp://h:70000", "h:1"]) {
    test(`refuses the host ${address}`, async () => {
      const { code, stdout, stderr } = await ocnotify(["encode", "resolver", "tcp://10.0.0.5:1", address]);
      assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
      assert.match(stderr, /^ocnotify: [^\n]+ is not a usable address: [^\n]+\n$/);
      assert.ok(stderr.includes(address), stderr);
    });
  }

  test("refuses a separator of two characters and a GUID that is none", async () => {
    const separator = await ocnotify(["encode", "newmail", "-n", "1.eml", "--sep", "::"]);
    assert.equal(separator.code, 1);
    assert.match(separator.stderr, /^ocnotify: "::" is not a hierarchy separator[^\n]*\n$/);
    const guid = await ocnotify(["encode", "session", "--uuid", "1234", "--cn", "jdoe"]);
    assert.equal(guid.code, 1);
    assert.match(guid.stderr, /^ocnotify: [^\n]*1234[^\n]*\n$/);
  });
});
