import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { deliverLda, lmtpDeliver, mail, startDovecot, type RunningDovecot } from "../helpers/dovecot.ts";
import { openImap } from "../helpers/imap.ts";

/** What a record says of where and what. */
function told(dovecot: RunningDovecot): string[] {
  return dovecot.records().map((record) => {
    const { event, user, mailbox, uids, oldMailbox, oldUids } = record as Record<string, string | undefined>;
    const from = oldMailbox === undefined ? "" : ` <- ${oldMailbox} ${oldUids}`;
    return `${user}: ${event} ${mailbox}${uids === undefined ? "" : ` ${uids}`}${from}`;
  });
}

/** The tests of one format follow each other on the same mailbox and the same second store. */
for (const format of ["maildir", "mdbox"] as const) {
  describe(`a second store of a user on ${format}`, () => {
    let dovecot: RunningDovecot;
    let backup: string;
    let is24 = false;

    const doveadm = async (...args: string[]): Promise<void> => {
      const { code, stderr } = await dovecot.doveadm(args);
      assert.equal(code, 0, `doveadm ${args.join(" ")}: exit ${code}\n${stderr}`);
      assert.doesNotMatch(stderr, /Error|Panic|Fatal/);
    };
    const deliver = async (name: string): Promise<void> => {
      const { code } = await deliverLda(dovecot, { user: "jdoe", mail: mail(name, `<${name}@x>`) });
      assert.equal(code, 0);
    };
    /** A mail that only the second store has. */
    const deliverToBackup = async (name: string, ...more: string[]): Promise<void> => {
      const store = is24 ? ["mail_driver=maildir", `mail_path=${backup}`] : [`mail_location=maildir:${backup}`];
      const options = [...store, ...more].flatMap((setting) => ["-o", setting]);
      const { code, stderr } = await dovecot.doveadm([...options, "save", "-u", "jdoe"], mail(name, `<${name}@x>`));
      assert.equal(code, 0, stderr);
    };
    const sync = async (...args: string[]): Promise<void> =>
      doveadm(args[0] ?? "", "-u", "jdoe", ...args.slice(1), `maildir:${backup}`);

    before(async () => {
      dovecot = await startDovecot({
        format,
        protocols: ["lmtp"],
        users: ["jdoe", "anna"],
        extra: (context) => {
          ({ is24 } = context);
          return "";
        },
      });
      backup = join(dovecot.home("jdoe"), "backup");
      for (const name of ["1", "2", "3"]) await deliver(name);
    });
    after(async () => dovecot.remove());
    beforeEach(() => {
      dovecot.clearJournal();
    });

    test("that a backup writes to is no mailbox of the user's", async () => {
      await sync("backup");
      assert.deepEqual(told(dovecot), []);
    });

    test("that a one-way sync writes to is none either", async () => {
      await deliver("4");
      dovecot.clearJournal();
      await sync("sync", "-1");
      assert.deepEqual(told(dovecot), []);
    });

    test("that is synced both ways: what is new in the user's own is an append there", async () => {
      await deliver("5");
      await deliverToBackup("from-backup");
      dovecot.clearJournal();
      // -f: 2.4 takes two mailboxes with equal numbers of messages for the same.
      await sync("sync", "-f");
      // Both mails had UID 5, so both get another one; which is first is up to their GUIDs.
      const [moved, appended] = told(dovecot).toSorted().toReversed();
      assert.match(moved ?? "", /^jdoe: MessageMove INBOX [67] <- INBOX 5$/);
      assert.match(appended ?? "", /^jdoe: MessageAppend INBOX [67]$/);
      assert.equal(dovecot.records().length, 2);
    });

    test("that gets flags, expunges and mailboxes of the user's own tells nothing of them again", async () => {
      await doveadm("flags", "add", "-u", "jdoe", "\\Seen", "mailbox", "INBOX", "uid", "1");
      await doveadm("expunge", "-u", "jdoe", "mailbox", "INBOX", "uid", "2");
      await doveadm("mailbox", "create", "-u", "jdoe", "Work");
      await doveadm("copy", "-u", "jdoe", "Work", "mailbox", "INBOX", "uid", "1");
      dovecot.clearJournal();
      await sync("sync");
      assert.deepEqual(told(dovecot), []);
    });

    test("that a backup is taken back from: what is new in the user's own is an append there", async () => {
      await deliverToBackup("restored");
      dovecot.clearJournal();
      await sync("backup", "-R");
      assert.deepEqual(told(dovecot), ["jdoe: MessageAppend INBOX 8"]);
    });

    test("that is imported from: each message is an append", async () => {
      await doveadm("import", "-u", "jdoe", `maildir:${backup}`, "Old", "mailbox", "INBOX", "all");
      const records = told(dovecot);
      const appended = [1, 2, 3, 4, 5, 6].map((uid) => `jdoe: MessageAppend Old/INBOX ${uid}`);
      assert.deepEqual(
        records.filter((record) => !record.startsWith("jdoe: MailboxCreate Old")),
        appended,
      );
      assert.ok(records.includes("jdoe: MailboxCreate Old/INBOX"), records.join("\n"));
    });

    test("that is another user's, imported from, is not told to that one", async () => {
      await doveadm("import", "-u", "jdoe", "-U", "anna", `maildir:${backup}`, "Anna", "mailbox", "INBOX", "uid", "1");
      assert.deepEqual(
        told(dovecot).filter((record) => !record.startsWith("jdoe: MailboxCreate Anna")),
        ["jdoe: MessageAppend Anna/INBOX 1"],
      );
    });

    test("that a process has for itself is told as the user's own, unless the process is without the plugin", async () => {
      await deliverToBackup("alone");
      assert.deepEqual(
        told(dovecot).map((record) => record.replace(/\d+$/, "")),
        ["jdoe: MessageAppend INBOX "],
      );
      dovecot.clearJournal();
      await deliverToBackup("without", "mail_plugins=");
      assert.deepEqual(told(dovecot), []);
    });

    test("leaves the user's next delivery to be told", async () => {
      await deliver("last");
      assert.deepEqual(
        told(dovecot).map((record) => record.replace(/\d+$/, "")),
        ["jdoe: MessageNew INBOX "],
      );
    });
  });
}

describe("a user who is in one process twice", () => {
  let dovecot: RunningDovecot;

  before(async () => {
    dovecot = await startDovecot({
      protocols: ["imap", "lmtp"],
      users: ["jdoe", "anna"],
      extra: ({ is24 }) => `
service imap {
  client_limit = 2
  process_limit = 1
  ${is24 ? "restart_request_count = unlimited" : "service_count = 0"}
}
recipient_delimiter = +
`,
    });
  });
  after(async () => dovecot.remove());
  beforeEach(() => {
    dovecot.clearJournal();
  });

  test("with two IMAP sessions, is told of the changes of both", async () => {
    const first = await openImap(dovecot, "jdoe");
    const second = await openImap(dovecot, "jdoe");
    const pids = (await dovecot.doveadm(["who", "-1"])).stdout.split("\n").filter((line) => line.includes("jdoe"));
    assert.equal(new Set(pids.map((line) => line.split(/\s+/)[2])).size, 1, pids.join("\n"));
    await first.append("INBOX", mail("one", "<1@x>"));
    await second.append("INBOX", mail("two", "<2@x>"));
    await first.logout();
    await second.append("INBOX", mail("three", "<3@x>"));
    await second.logout();
    assert.deepEqual(
      told(dovecot).filter((record) => !record.includes("MailboxCreate")),
      ["1", "2", "3"].map((uid) => `jdoe: MessageAppend INBOX ${uid}`),
    );
  });

  test("as two of three recipients, is told of both mails", async () => {
    const to = ["jdoe+one", "anna", "jdoe+two"];
    const replies = await lmtpDeliver(dovecot, [{ to, mail: mail("to all", "<4@x>") }]);
    assert.ok(replies.length === 3 && replies.every((reply) => reply.startsWith("250")), replies.join("\n"));
    assert.deepEqual(
      told(dovecot).filter((record) => !record.includes("MailboxCreate")),
      ["jdoe: MessageNew INBOX 4", "anna: MessageNew INBOX 1", "jdoe: MessageNew INBOX 5"],
    );
  });

  test("leaves no error in the log", () => {
    assert.doesNotMatch(dovecot.log(), /Error:|Panic:|Fatal:/);
  });
});
