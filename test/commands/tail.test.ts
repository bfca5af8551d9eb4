import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { CLI, makeWorkspace, ocnotify, startProgram, type Workspace } from "../helpers/ocnotify.ts";
import { waitFor } from "../helpers/wait.ts";
import { appendAs } from "../helpers/segments.ts";

const isRoot = process.getuid?.() === 0;

function world(t: TestContext): Workspace {
  const workspace = makeWorkspace();
  t.after(() => workspace.remove());
  return workspace;
}

/** Microseconds of unix time. */
const ago = (minutes: number): number => (Date.now() - minutes * 60_000) * 1_000;

/** The UIDs of the events that `ocnotify tail` prints and ends. */
async function printed(workspace: Workspace, ...args: string[]): Promise<string[]> {
  const all = ["tail", "--journal", workspace.journal, "--no-follow", "--json", "--since", "10m", ...args];
  const { code, stdout, stderr } = await ocnotify(all);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => (JSON.parse(line) as { uids: string }).uids);
}

describe("ocnotify tail", { concurrency: 4 }, () => {
  test("prints what comes, as it comes, and not what was there; ends at SIGINT", async (t) => {
    const workspace = world(t);
    workspace.write({ uids: "1", ts: (Date.now() - 1_000) * 1_000 });
    const tail = startProgram([CLI, "tail", "--journal", workspace.journal, "--json"]);
    t.after(() => tail.stop("SIGKILL"));
    let uid = 1;
    await waitFor(
      "an event",
      () => {
        // What comes while it starts is what was there.
        if (tail.stdout() === "") workspace.write({ uids: `${++uid}` });
        return tail.stdout() !== "";
      },
      20_000,
    );
    workspace.write({ uids: `${uid + 1}` });
    await waitFor("the next event", () => tail.stdout().includes(`"uids":"${uid + 1}"`));
    assert.ok(!tail.stdout().includes('"uids":"1"'));
    assert.equal(await tail.stop("SIGINT"), 0);
    assert.equal(tail.stderr(), "");
  });

  test("prints what comes whatever its date, should the clock be set", async (t) => {
    const workspace = world(t);
    workspace.write({ uids: "1", ts: ago(-120) });
    const tail = startProgram([CLI, "tail", "--journal", workspace.journal, "--json"]);
    t.after(() => tail.stop("SIGKILL"));
    // What comes while it starts is what was there.
    const printed = (): boolean => {
      if (tail.stdout() === "") workspace.write({ uids: "2", ts: ago(120) });
      return tail.stdout() !== "";
    };
    await waitFor("an event of two hours ago", printed, 20_000);
    assert.ok(!tail.stdout().includes('"uids":"1"'), "what was there is not printed, though its date is yet to come");
  });

  test("--since begins with what happened so long ago", async (t) => {
    const workspace = world(t);
    workspace.write({ uids: "1", ts: ago(120) }, { uids: "2", ts: ago(20) }, { uids: "3", ts: ago(5) });
    assert.deepEqual(await printed(workspace), ["3"]);
    assert.deepEqual(await printed(workspace, "--since", "1h"), ["2", "3"]);
    assert.deepEqual(await printed(workspace, "--since", "7d"), ["1", "2", "3"]);
  });

  test("--user, --event and --mailbox are filters, with * for anything, each with any number of values", async (t) => {
    const workspace = world(t);
    workspace.write(
      { uids: "1", user: "jdoe@example.com", mailbox: "INBOX" },
      { uids: "2", user: "anna@example.com", mailbox: "Work/2026" },
      { uids: "3", user: "anna@example.org", mailbox: "Work/2026", event: "MessageExpunge" },
      { uids: "4", user: "anna@example.org", mailbox: "Trash", event: "MessageMove", oldMailbox: "Work/2025" },
    );
    assert.deepEqual(await printed(workspace, "--user", "*@example.com"), ["1", "2"]);
    assert.deepEqual(await printed(workspace, "--user", "jdoe*", "*.org"), ["1", "3", "4"]);
    assert.deepEqual(await printed(workspace, "--event", "MessageExpunge", "MessageMove"), ["3", "4"]);
    assert.deepEqual(await printed(workspace, "--mailbox", "Work/*"), ["2", "3"]);
    assert.deepEqual(await printed(workspace, "--mailbox", "!Work/*"), ["1", "4"]);
    assert.deepEqual(await printed(workspace, "--mailbox", "Work/*", "--event", "MessageNew"), ["2"]);
    assert.deepEqual(await printed(workspace, "--user", "nobody"), []);
  });

  test("prints text on one line for each event, whatever is in it", async (t) => {
    const workspace = world(t);
    const ts = Date.now() * 1_000;
    workspace.write({ ts, mailbox: "Büro", subject: 'a "b"\n\u001b[2J\u009b2J\u202egnp.exe', messageId: "<1@x>" });
    const args = ["tail", "--journal", workspace.journal, "--no-follow", "--since", "10m"];
    const { stdout } = await ocnotify(args);
    assert.equal(
      stdout,
      `${new Date(ts / 1_000).toISOString()} MessageNew jdoe "Büro" sep="/" uids="1" ` +
        'subject="a \\"b\\"\\n\\u001b[2J\\u009b2J\\u202egnp.exe" messageId="<1@x>"\n',
    );
  });

  test("prints where a message was with the separator that the name before has", async (t) => {
    const workspace = world(t);
    const old = { oldMailbox: "Archive.2026", oldSep: ".", oldUids: "9" };
    workspace.write({ ts: ago(1), event: "MessageMove", mailbox: "Work/Sub", ...old });
    const args = ["tail", "--journal", workspace.journal, "--no-follow", "--since", "10m"];
    const { stdout } = await ocnotify(args);
    assert.match(
      stdout,
      / MessageMove jdoe "Work\/Sub" sep="\/" uids="1" oldMailbox="Archive.2026" oldSep="." oldUids="9"\n$/,
    );
    assert.match(
      (await ocnotify([...args, "--json"])).stdout,
      /"oldMailbox":"Archive.2026","oldSep":".","oldUids":"9"/,
    );
  });

  test("tells of garbage on stderr and goes on", async (t) => {
    const workspace = world(t);
    workspace.writeRaw("garbage\n");
    workspace.write({ uids: "2" });
    const { code, stdout, stderr } = await ocnotify([
      "tail",
      "--journal",
      workspace.journal,
      "--no-follow",
      "--since",
      "1h",
    ]);
    assert.equal(code, 0);
    assert.match(stdout, /^\S+ MessageNew jdoe "INBOX" /);
    assert.match(stderr, /WARN: not a record, skipped/);
  });

  test(
    "believes the mail users that it is told of",
    { skip: !isRoot && "only root can give a file away" },
    async (t) => {
      const workspace = world(t);
      const record = {
        v: 1,
        ts: Date.now() * 1_000,
        event: "MessageNew",
        user: "jdoe",
        mailbox: "INBOX",
        sep: "/",
        uids: "7",
      };
      appendAs(61_234, workspace.journal, `${JSON.stringify(record)}\n`);
      const unknown = await ocnotify(["tail", "--journal", workspace.journal, "--no-follow", "--since", "1h"]);
      assert.deepEqual([unknown.code, unknown.stdout], [0, ""]);
      assert.match(unknown.stderr, /not believed: uid 61234 wrote of user jdoe/);
      assert.deepEqual(await printed(workspace, "--mail-user", "61234"), ["7"]);
      const config = workspace.configFile({ journal: { mail_users: [61_234] } });
      assert.deepEqual(await printed(workspace, "--config", config), ["7"]);
    },
  );

  test(
    "prints what a user of the system wrote of himself, also with --no-follow",
    { skip: !isRoot && "only root can give a file away" },
    async (t) => {
      const workspace = world(t);
      const record = {
        v: 1,
        ts: Date.now() * 1_000,
        event: "MessageNew",
        user: "nobody",
        mailbox: "INBOX",
        sep: "/",
        uids: "7",
      };
      appendAs(65_534, workspace.journal, `${JSON.stringify(record)}\n`);
      assert.deepEqual(await printed(workspace), ["7"]);
    },
  );

  test("without a journal is exit code 1 and one line", async (t) => {
    const { code, stderr } = await ocnotify(["tail", "--journal", join(world(t).folder, "none")]);
    assert.equal(code, 1);
    assert.match(stderr, /^ocnotify: journal directory \S+none does not exist\.[^\n]*\n$/);
  });
});

const check = async (t: TestContext, config: Record<string, unknown>): ReturnType<typeof ocnotify> =>
  ocnotify(["config", "check", "--config", world(t).configFile(config)]);

describe("ocnotify config check", { concurrency: 4 }, () => {
  test("prints what is in effect, defaults included, in a form that it accepts again", async (t) => {
    const workspace = world(t);
    const config = workspace.configFile({ destinations: { outlook: { extended: true } } });
    const { code, stdout } = await ocnotify(["config", "check", "--config", config]);
    assert.equal(code, 0);
    assert.match(stdout, /^ {2}outlook:$/m);
    assert.match(stdout, /^ {4}extended: true$/m);
    assert.match(stdout, /^ {4}idle_timeout: 60s$/m);
    writeFileSync(config, stdout);
    assert.equal((await ocnotify(["config", "check", "--config", config])).stdout, stdout);
  });

  test("names each wrong path and what is allowed there, on one line", async (t) => {
    const { code, stdout, stderr } = await check(t, { destinations: { a: { extended: "yes", events: ["Mail"] } } });
    assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
    assert.match(stderr, /^ocnotify: [^\n]*destinations\.a\.extended: expected true or false[^\n]*\n$/);
    assert.match(stderr, /destinations\.a\.events\.0: expected one of MessageNew, /);
  });
});
