import assert from "node:assert/strict";
import { readdirSync, unlinkSync, utimesSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import {
  deliverLda,
  lmtpDeliver,
  mail,
  startDovecot,
  type JournalRecord,
  type RunningDovecot,
} from "../helpers/dovecot.ts";

/** With the lock waited for, a delivery takes two minutes and fails; without, it takes milliseconds. */
const AT_ONCE_MS = 20_000;
const PARALLEL = 4;
const MAILS = 50;
/**
 * Share of parallel deliveries that must get a UID. With Maildir's own single try, half of them get one here; with the
 * plugin's, more than nine in ten do, and fewer only while other programs take the processors away. So the best of a
 * few rounds counts, and nothing is synced to a disk that others keep busy.
 */
const SHARE = 0.75;
const ROUNDS = 4;

const PLUGINS = ["notify", "openchange", "sieve"];
const SIEVE = `require ["fileinto", "mailbox", "copy"];
fileinto :create :copy "First";
fileinto :create :copy "Second";
keep;
`;

const users = Array.from({ length: 8 }, (_, index) => `new${index}`);

async function atOnce(work: () => Promise<unknown>): Promise<void> {
  const from = performance.now();
  await work();
  assert.ok(performance.now() - from < AT_ONCE_MS, "it does not wait for the lock");
}

/** Works at once while the lock is held as by a process of Dovecot that goes on living. */
async function whileLocked(path: string, work: () => Promise<unknown>, ageSeconds = 0): Promise<void> {
  writeFileSync(path, `${process.pid}:${hostname()}`, { mode: 0o666 });
  const time = Date.now() / 1000 - ageSeconds;
  utimesSync(path, time, time);
  try {
    await atOnce(work);
  } finally {
    unlinkSync(path);
  }
}

describe("deliveries to Maildir", () => {
  let dovecot: RunningDovecot;
  const newMail = (): JournalRecord[] => dovecot.records().filter(({ event }) => event === "MessageNew");
  const lockFile = (user: string, folder = ""): string =>
    join(dovecot.home(user), "mail", folder, "dovecot-uidlist.lock");
  const lmtp = async (...to: string[]): Promise<void> => {
    for (const reply of await lmtpDeliver(dovecot, [{ to, mail: mail("lmtp", "<lmtp@x>") }]))
      assert.match(reply, /^250/);
  };
  const lda = async (user: string): Promise<void> => {
    const { code, stderr } = await deliverLda(dovecot, { user, mail: mail("lda", "<lda@x>") });
    assert.equal(code, 0, stderr);
  };

  before(async () => {
    dovecot = await startDovecot({
      protocols: ["lmtp"],
      users: ["jdoe", "anna", "sieve", ...users],
      protocolPlugins: { lda: PLUGINS, lmtp: PLUGINS },
      extra: ({ is24 }) =>
        `mail_fsync = never\n${is24 ? "sieve_script personal {\n  driver = file\n  path = ~/sieve\n  active_path = ~/.dovecot.sieve\n}\n" : ""}`,
    });
    writeFileSync(join(dovecot.home("sieve"), ".dovecot.sieve"), SIEVE);
    for (const user of ["jdoe", "anna", "sieve"]) await lmtp(user);
  });
  after(async () => dovecot.remove());
  beforeEach(() => {
    dovecot.clearJournal();
  });

  for (const [program, deliver] of Object.entries({ lmtp, lda })) {
    for (const age of [0, 30]) {
      test(`by ${program} go through at once while dovecot-uidlist is locked for ${age} s, and are told without a UID`, async () => {
        await whileLocked(lockFile("jdoe"), () => deliver("jdoe"), age);
        const [told, ...others] = newMail();
        assert.deepEqual(others, []);
        assert.equal(told?.uids, undefined);
        assert.equal(typeof told?.["uidvalidity"], "number");
        assert.equal(told?.["messageId"], `<${program}@x>`);
        await deliver("jdoe");
        assert.match(newMail().at(-1)?.uids ?? "", /^\d+$/);
      });
    }
  }

  test("go through at once also when the lock's time lies ahead, as after a clock was set back", async () => {
    await whileLocked(lockFile("jdoe"), () => lda("jdoe"), -86_400);
    assert.equal(newMail()[0]?.uids, undefined);
  });

  test("by Sieve into several folders wait for none of their locks, and get a UID where there is none", async () => {
    await lmtp("sieve");
    dovecot.clearJournal();
    await whileLocked(lockFile("sieve", ".Second"), () => lmtp("sieve"));
    const told = newMail().map(({ mailbox, uids }) => [mailbox, uids !== undefined]);
    assert.deepEqual(Object.fromEntries(told), { First: true, Second: false, INBOX: true });
    assert.equal(told.length, 3);
  });

  test("by doveadm save go through at once, too", async () => {
    await whileLocked(lockFile("jdoe"), async () => {
      const { code, stderr } = await dovecot.doveadm(["save", "-u", "jdoe"], mail("saved", "<saved@x>"));
      assert.equal(code, 0, stderr);
    });
    const told = dovecot.records().map(({ event, uids, messageId }) => ({ event, uids, messageId }));
    assert.deepEqual(told, [{ event: "MessageAppend", uids: undefined, messageId: "<saved@x>" }]);
  });

  test("of one mail to several users give each a UID", async () => {
    await lmtp("jdoe", "anna");
    assert.deepEqual(
      newMail().map(({ user, uids }) => [user, uids !== undefined]),
      [
        ["jdoe", true],
        ["anna", true],
      ],
    );
  });

  test(`${PARALLEL} at a time into one mailbox nearly all have a UID of their own`, async () => {
    let best = 0;
    for (let round = 0; round < ROUNDS && best < SHARE; round++) {
      dovecot.clearJournal();
      const mails = Array.from({ length: MAILS }, (_, n) => ({ to: ["anna"], mail: mail("many", `<${n}@x>`) }));
      const replies = await Promise.all(Array.from({ length: PARALLEL }, () => lmtpDeliver(dovecot, mails)));
      for (const reply of replies.flat()) assert.match(reply, /^250/);
      const uids = newMail().flatMap(({ uids: uid = [] }) => uid);
      assert.equal(new Set(uids).size, uids.length);
      assert.equal(newMail().length, PARALLEL * MAILS);
      best = uids.length / (PARALLEL * MAILS);
    }
    assert.ok(best >= SHARE, `${best} of them have a UID`);
  });

  test(`${PARALLEL} at a time to users who get their first mail all go through at once`, async () => {
    for (const user of users) {
      await atOnce(() => Promise.all(Array.from({ length: PARALLEL }, () => lmtp(user))));
      assert.equal(readdirSync(join(dovecot.home(user), "mail/new")).length, PARALLEL);
    }
  });

  test("leave nothing in the log that is an error", async () => {
    await dovecot.stop();
    assert.doesNotMatch(dovecot.log(), /(Error|Panic|Fatal):/);
  });
});
