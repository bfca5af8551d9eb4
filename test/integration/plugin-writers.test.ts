import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import type { EventRecord } from "../../src/journal/stretch.ts";
import {
  deliverLda,
  lmtpDeliver,
  mail,
  readJournal,
  run,
  startDovecot,
  type CommandResult,
  type RunningDovecot,
} from "../helpers/dovecot.ts";
import { Reader, TestJournal } from "../helpers/journal.ts";
import { waitFor } from "../helpers/wait.ts";
import { bucketAt, segmentName } from "../helpers/segments.ts";

const PLUGIN = resolve(import.meta.dirname, "../../plugin");
const HARNESS = join(PLUGIN, "build/journal-harness");
const IS_ROOT = process.getuid?.() === 0;
const uid = process.getuid?.() ?? 0;

const errors = ({ stderr }: CommandResult): string[] => stderr.split("\n").filter((line) => line !== "");

describe("writers of many uids at once", () => {
  const users = [64_001, 64_002, 64_003, 64_004].map((userid) => ({ name: `user${userid}`, uid: userid }));
  let dovecot: RunningDovecot;

  before(async () => {
    dovecot = await startDovecot({ protocols: ["lmtp"], users });
  });
  after(async () => dovecot.remove());

  test("leave whole records only, each in a segment of the writer's own", async () => {
    const names = users.map(({ name }) => name);
    await Promise.all([
      ...users.flatMap(({ name }) =>
        [1, 2, 3, 4].map(async (n) => deliverLda(dovecot, { user: name, mail: mail("lda", `<lda-${n}-${name}@x>`) })),
      ),
      ...[1, 2, 3, 4].map(async (n) =>
        lmtpDeliver(
          dovecot,
          [1, 2, 3, 4, 5].map((m) => ({ to: names, mail: mail("lmtp", `<lmtp-${n}-${m}@x>`) })),
        ),
      ),
    ]);
    const told = dovecot.records().filter(({ event }) => event === "MessageNew");
    assert.equal(told.length, users.length * (4 + 4 * 5));
    for (const { name } of users) {
      const own = told.filter(({ user }) => user === name);
      assert.equal(new Set(own.map(({ messageId }) => messageId)).size, 24);
      // Those who deliver at the same time may go on without a UID.
      const uids = own.flatMap(({ uids: uid = [] }) => uid);
      assert.equal(new Set(uids).size, uids.length);
    }
    for (const name of readdirSync(dovecot.journalDir)) {
      const { uid: owner, nlink, mode } = statSync(join(dovecot.journalDir, name));
      assert.deepEqual([String(owner), nlink, mode & 0o777], [name.split(".")[1], 1, 0o640]);
    }
    if (IS_ROOT) assert.equal(new Set(readdirSync(dovecot.journalDir).map((name) => name.split(".")[1])).size, 4);
  });

  test(
    "record all the same when somebody else has made files of the names of their next segments",
    { skip: IS_ROOT ? false : "only root can give a file away" },
    async () => {
      dovecot.clearJournal();
      const now = Math.floor(Date.now() / 600_000);
      const made = users.flatMap(({ uid: owner }) => [now, now + 1].map((bucket) => segmentName(bucket, owner)));
      for (const name of made) {
        writeFileSync(join(dovecot.journalDir, name), "");
        chownSync(join(dovecot.journalDir, name), 64_099, 64_099);
      }
      const names = users.map(({ name }) => name);
      await lmtpDeliver(dovecot, [{ to: names, mail: mail("taken", "<taken@x>") }]);
      await deliverLda(dovecot, { user: names[0] ?? "", mail: mail("taken", "<taken-lda@x>") });
      const told = dovecot.records().filter(({ event }) => event === "MessageNew");
      for (const name of names)
        assert.equal(told.filter(({ user }) => user === name).length, name === names[0] ? 2 : 1);
      for (const name of made) assert.equal(statSync(join(dovecot.journalDir, name)).size, 0);
      await waitFor("the log", () => dovecot.log().includes("It belongs to uid 64099"));
      assert.doesNotMatch(dovecot.log(), /Error: .*openchange/);
    },
  );
});

describe("on a small file system", { skip: IS_ROOT ? false : "only root can mount one" }, () => {
  let dovecot: RunningDovecot;
  let mounted = "";

  before(async () => {
    dovecot = await startDovecot({ protocols: ["lmtp"], users: ["jdoe"] });
  });
  after(async () => {
    if (mounted !== "") execFileSync("umount", [mounted]);
    await dovecot.remove();
  });

  test("recording stops before it is full, with one error line, and goes on when space is back", async (t) => {
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=20m,mode=3733", "tmpfs", dovecot.journalDir], {
        stdio: "pipe",
      });
      mounted = dovecot.journalDir;
    } catch (error) {
      t.skip(`no mount here: ${String(error)}`);
      return;
    }
    const filler = join(dovecot.journalDir, "filler");
    const deliver = async (id: string): Promise<string[]> =>
      lmtpDeliver(dovecot, [{ to: ["jdoe"], mail: mail("small", `<${id}@x>`) }]);
    const ids = (): unknown[] =>
      dovecot
        .records()
        .map(({ messageId }) => messageId)
        .filter((id) => id !== undefined);

    await deliver("before");
    writeFileSync(filler, Buffer.alloc(6 * 1024 * 1024));
    const replies = [...(await deliver("full-1")), ...(await deliver("full-2"))];
    assert.ok(
      replies.every((reply) => reply.startsWith("250")),
      "mail is delivered",
    );
    assert.deepEqual(ids(), ["<before@x>"]);
    rmSync(filler);
    await deliver("after");
    assert.deepEqual(ids(), ["<before@x>", "<after@x>"]);

    await waitFor("the last line", () => dovecot.log().includes("msgid=<after@x>: saved mail"));
    const errors = dovecot
      .log()
      .split("\n")
      .filter((line) => line.includes("Error:"));
    const processes = new Set(errors.map((line) => /<(\d+)>/.exec(line)?.[1]));
    assert.ok(errors.length > 0);
    assert.equal(errors.length, processes.size, errors.join("\n"));
    assert.match(errors[0] ?? "", /openchange_journal: .*Only \d+ KiB are free/);
  });
});

/** Appends as nobody, who can run a copy only: the checkout may be where this uid must not look. */
async function appendAsNobody(journal: string): Promise<CommandResult> {
  const place = mkdtempSync(join(tmpdir(), "ocnotify-harness-"));
  try {
    chmodSync(place, 0o755);
    copyFileSync(HARNESS, join(place, "harness"));
    const nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    return await run("setpriv", [...nobody, join(place, "harness"), journal, "plain"]);
  } finally {
    rmSync(place, { recursive: true });
  }
}

describe("the journal's writer", () => {
  let folder = "";
  const segment = (owner = uid): string => join(folder, segmentName(bucketAt(), owner));
  /** Appends three records, numbered from 0. */
  const append = async (condition: string): Promise<CommandResult> => run(HARNESS, [folder, condition]);
  const numbers = (): unknown[] => readJournal(folder).map(({ n }) => n);

  before(() => {
    execFileSync("make", ["-s", "-C", PLUGIN, "build/journal-harness"], { stdio: "pipe" });
  });
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "ocnotify-journal-"));
  });
  const cleanUp = (): void => {
    rmSync(folder, { recursive: true, force: true });
  };
  after(cleanUp);

  test("writes a record again when its segment was deleted before the write", async () => {
    const result = await append("deleted");
    assert.deepEqual(numbers(), [0, 1, 2]);
    assert.deepEqual(errors(result), []);
    cleanUp();
  });

  test("loses nothing though its segments are deleted all the time, each in a quiet moment", async (t) => {
    const journal = new TestJournal();
    t.after(() => journal.remove());
    const directory = await journal.open();
    const reader = new Reader(directory, undefined, journal.log);
    let deleted = 0;
    let answered = 0;
    directory.onChange((changed) => {
      for (; answered < reader.records.length; answered++) {
        const { stretch, index } = reader.records[answered] as EventRecord;
        reader.tail.answer(stretch, index);
      }
      for (const segment of changed) if (!segment.gone && directory.remove(segment)) deleted++;
    });
    const COUNT = 4_000;
    const writers = await Promise.all([1, 2].map(async () => run(HARNESS, [journal.path, "paced", String(COUNT)])));
    for (const { stderr } of writers) assert.equal(stderr, "");
    const seen = (): number => new Set(reader.records.map(({ event }) => event?.mailbox)).size;
    await waitFor("every record", () => seen() === 2 * COUNT, 5_000).catch(() => undefined);
    assert.equal(seen(), 2 * COUNT, `${deleted} segments deleted`);
    assert.ok(deleted > 20, `${deleted} segments deleted`);
    reader.tail.close();
  });

  test("gives up, with one error line, when every segment is deleted at once", async () => {
    const result = await append("deleted-always");
    assert.equal(errors(result).length, 1);
    cleanUp();
  });

  const passing = { full: /No space/, floor: /KiB are free/ };
  for (const [condition, message] of Object.entries(passing)) {
    test(`loses what comes while there is no space (${condition}), says so once, and goes on after`, async () => {
      const result = await append(condition);
      assert.deepEqual(numbers(), [2]);
      assert.equal(errors(result).length, 1, result.stderr);
      assert.match(result.stderr, message);
      cleanUp();
    });
  }

  test("leaves a torn record that the next one follows on the same line when a write is cut short", async () => {
    const result = await append("short");
    const [line = "", ...rest] = readFileSync(segment(), "utf8").split("\n");
    assert.deepEqual(rest, [""]);
    assert.match(line.slice(line.lastIndexOf('{"v":')), /"n":2\}$/);
    assert.equal(errors(result).length, 1, result.stderr);
    cleanUp();
  });

  test("names the remedy once when the file system is read-only or the folder is missing", async () => {
    const readOnly = await append("read-only");
    assert.equal(errors(readOnly).length, 1);
    assert.match(readOnly.stderr, /read-only; remount it/);
    rmSync(folder, { recursive: true });
    const missing = await append("plain");
    assert.equal(errors(missing).length, 1);
    assert.match(missing.stderr, /install -d -o ocnotify -g ocnotify -m 3733/);
  });

  test("names the chroot when the folder is missing there, and how to bring it there", async () => {
    rmSync(folder, { recursive: true });
    const { stderr } = await append("chroot");
    assert.match(stderr, new RegExp(`in the chroot /srv/mail .*mount --bind ${folder} /srv/mail${folder}\\)`));
    assert.doesNotMatch(stderr, /install -d/);
  });

  const labels: Record<string, RegExp> = {
    "/usr/lib/dovecot/lmtp (enforce)": /AppArmor profile \/usr\/lib\/dovecot\/lmtp \(enforce\); .*\/\*\.ndjson w,/,
    "system_u:system_r:dovecot_t:s0": /SELinux.* system_u:system_r:dovecot_t:s0 .*semanage fcontext .*restorecon -R/,
    unconfined: /modes allow it.*AppArmor or SELinux.*getfacl.*InaccessiblePaths=/,
    "": /modes allow it.*AppArmor or SELinux/,
  };
  for (const [label, remedy] of Object.entries(labels)) {
    test(`does not advise a mode that is there already when the process is "${label}"`, async () => {
      const result = await append(`label:${label}`);
      assert.equal(errors(result).length, 1, result.stderr);
      assert.match(result.stderr, remedy);
      assert.ok(result.stderr.includes(folder));
      assert.doesNotMatch(result.stderr, /3733/);
      cleanUp();
    });
  }

  test(
    "names the mode, or the parent that lets nobody through, when that is what is wrong",
    { skip: IS_ROOT ? false : "only root can be somebody else" },
    async () => {
      const journal = join(folder, "journal");
      mkdirSync(journal);
      chmodSync(journal, 0o755);
      assert.match(
        (await appendAsNobody(journal)).stderr,
        new RegExp(`search its parents \\(chmod o\\+x ${folder}\\)`),
      );
      chmodSync(folder, 0o755);
      assert.match((await appendAsNobody(journal)).stderr, new RegExp(`needs mode 3733 \\(chmod 3733 ${journal}\\)`));
      cleanUp();
    },
  );

  test(
    "goes round a file in its place in a directory with the sticky bit, and names its owner",
    { skip: IS_ROOT ? false : "only root can give a file away" },
    async () => {
      chmodSync(folder, 0o3733);
      writeFileSync(segment(65_534), "");
      chownSync(segment(65_534), 64_001, 64_001);
      const result = await appendAsNobody(folder);
      assert.equal(errors(result).length, 1, result.stderr);
      assert.match(result.stderr, /Warning: .*belongs to uid 64001.*remove it if it stays/);
      assert.deepEqual(numbers(), [0, 1, 2]);
      const own = readdirSync(folder).find((name) => join(folder, name) !== segment(65_534)) ?? "";
      assert.match(own, /^\d+\.65534\.[0-9a-f]{16}\.ndjson$/);
      assert.ok(result.stderr.includes(`recorded in ${join(folder, own)}`));
      const { uid: owner, nlink, mode } = statSync(join(folder, own));
      assert.deepEqual([owner, nlink, mode & 0o777], [65_534, 1, 0o640]);
      cleanUp();
    },
  );

  test("takes another name in each process, so that none can be made in advance, and the usual one when that is free", async () => {
    mkdirSync(segment());
    await append("plain");
    await append("plain");
    assert.equal(readdirSync(folder).length, 3, "one of each process, and what is in the way");
    rmSync(segment(), { recursive: true });
    await append("plain");
    assert.equal(statSync(segment()).isFile(), true);
    assert.deepEqual(numbers().length, 9);
    cleanUp();
  });

  test("does not mind a clock that goes back", async () => {
    const result = await append("clock");
    assert.deepEqual(
      numbers().toSorted((a, b) => Number(a) - Number(b)),
      [0, 1, 2],
    );
    assert.equal(readdirSync(folder).length, 3);
    assert.deepEqual(errors(result), []);
    cleanUp();
  });

  const foreign: Record<string, (path: string) => void> = {
    "a FIFO": (path) => execFileSync("mkfifo", [path]),
    "a directory": (path) => {
      mkdirSync(path);
    },
    "a symbolic link": (path) => {
      writeFileSync(join(folder, "target"), "");
      symlinkSync(join(folder, "target"), path);
    },
    "a file with a second link": (path) => {
      writeFileSync(join(folder, "target"), "");
      linkSync(join(folder, "target"), path);
    },
    ...(IS_ROOT && {
      "somebody else's file": (path: string) => {
        writeFileSync(path, "");
        chownSync(path, 64_001, 64_001);
      },
    }),
  };
  for (const [what, make] of Object.entries(foreign)) {
    test(`goes round ${what} in its segment's place without waiting, with one line in the log`, async () => {
      make(segment());
      const result = await append("plain");
      assert.equal(result.code, 0);
      assert.equal(errors(result).length, 1, result.stderr);
      assert.match(
        result.stderr,
        /Warning: .*(not a regular file|several hard links|belongs to uid 64001).*recorded in .*\.[0-9a-f]{16}\.ndjson until .*remove it/,
      );
      assert.deepEqual(numbers(), [0, 1, 2]);
      if (what.includes("link")) assert.equal(readFileSync(join(folder, "target"), "utf8"), "");
      cleanUp();
    });
  }
});
