import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import type { ImapFlow } from "imapflow";
import { deliverLda, mail, startDovecot, type RunningDovecot } from "../helpers/dovecot.ts";
import { openImap } from "../helpers/imap.ts";

/** What a record says of where and what: `MessageMove Work (/) 1 <- Archive.2026 (.) 7`. */
function told(dovecot: RunningDovecot): string[] {
  return dovecot.records().map((record) => {
    const { event, mailbox, sep, uids, oldMailbox, oldSep, oldUids } = record as Record<string, string | undefined>;
    assert.ok(oldSep === undefined || oldSep !== sep, "oldSep says what sep says");
    const from = oldMailbox === undefined ? "" : ` <- ${place(oldMailbox, oldSep ?? sep, oldUids)}`;
    return `${event} ${place(mailbox, sep, uids)}${from}`;
  });
}

function place(name: string | undefined, separator: string | undefined, uids: string | undefined): string {
  return `${name} (${separator})${uids === undefined ? "" : ` ${uids}`}`;
}

async function login(dovecot: RunningDovecot): Promise<ImapFlow> {
  const imap = await openImap(dovecot, "jdoe");
  // Else it puts the prefix of the private namespace before every name.
  imap.namespace = { prefix: "", delimiter: "" };
  return imap;
}

async function deliver(dovecot: RunningDovecot, folder?: string): Promise<void> {
  const delivery = { user: "jdoe", mail: mail("hello", "<1@x>"), ...(folder === undefined ? {} : { folder }) };
  const { code, stderr } = await deliverLda(dovecot, delivery);
  assert.equal(code, 0, stderr);
}

for (const { format, aliasFor } of [
  { format: "maildir", aliasFor: true },
  { format: "sdbox", aliasFor: false },
] as const) {
  describe(`hidden names of old clients on ${format}, ${aliasFor ? "with" : "without"} alias_for`, () => {
    let dovecot: RunningDovecot;
    let imap: ImapFlow;

    before(async () => {
      dovecot = await startDovecot({
        format,
        protocols: ["imap"],
        users: ["jdoe"],
        extra: ({ is24 }) => {
          const alias = aliasFor ? `alias_for = ${is24 ? "inbox" : ""}` : "";
          return `
namespace courier {
  prefix = INBOX.
  separator = .
  hidden = yes
  list = no
  ${alias}
}
namespace uw {
  prefix = mail/
  separator = /
  hidden = yes
  list = no
  ${alias}
}
`;
        },
      });
      await deliver(dovecot);
      imap = await login(dovecot);
    });
    after(async () => {
      await imap.logout();
      await dovecot.remove();
    });
    beforeEach(() => {
      dovecot.clearJournal();
    });

    test("are told as the names that clients list", async () => {
      await imap.mailboxCreate("INBOX.Work.Sub");
      await deliver(dovecot, "Work/Sub");
      await deliver(dovecot, "INBOX.Work.Sub");
      await deliver(dovecot, "mail/Work/Sub");
      await imap.mailboxOpen("INBOX.Work.Sub");
      await imap.messageFlagsAdd("1", ["\\Flagged"]);
      await imap.messageDelete("3");
      assert.deepEqual(told(dovecot), [
        "MailboxCreate Work/Sub (/)",
        "MailboxSubscribe Work/Sub (/)",
        "MessageNew Work/Sub (/) 1",
        "MessageNew Work/Sub (/) 2",
        "MessageNew Work/Sub (/) 3",
        "FlagsSet Work/Sub (/) 1",
        "FlagsSet Work/Sub (/) 3",
        "MessageTrash Work/Sub (/) 3",
        "MessageExpunge Work/Sub (/) 3",
      ]);
      assert.deepEqual(
        (await imap.list()).map(({ path }) => path).filter((path) => path.includes("Sub")),
        ["Work/Sub"],
      );
    });

    test("are told so as source and target of copies and moves", async () => {
      await imap.mailboxOpen("INBOX.Work.Sub");
      await imap.messageCopy("1", "mail/Work/Sub", { uid: true });
      await imap.messageMove("1", "INBOX", { uid: true });
      await imap.mailboxOpen("INBOX");
      await imap.messageMove("2", "INBOX.Work.Sub", { uid: true });
      assert.deepEqual(told(dovecot), [
        "MessageCopy Work/Sub (/) 4 <- Work/Sub (/) 1",
        "MessageMove INBOX (/) 2 <- Work/Sub (/) 1",
        "MessageMove Work/Sub (/) 5 <- INBOX (/) 2",
      ]);
    });

    test("are told so when mailboxes are renamed, subscribed and deleted", async () => {
      await imap.mailboxRename("INBOX.Work.Sub", "INBOX.Neu.Größe");
      await imap.mailboxUnsubscribe("mail/Neu/Größe");
      await imap.mailboxSubscribe("mail/Neu/Größe");
      await imap.mailboxDelete("mail/Neu/Größe");
      const records = told(dovecot);
      assert.equal(records[0], "MailboxRename Neu/Größe (/) <- Work/Sub (/)");
      assert.equal(records.at(-1), "MailboxDelete Neu/Größe (/)");
      assert.ok(
        records.slice(1).every((record) => record.includes(" Neu/Größe (/)")),
        records.join("\n"),
      );
      assert.ok(records.includes("MailboxSubscribe Neu/Größe (/)"));
    });

    test("of INBOX are INBOX, where they are that and not another mailbox", async () => {
      for (const isThere of [false, true]) {
        // Dovecot 2.3 with Maildir lets a client make another mailbox of that name.
        if (isThere) await imap.mailboxCreate("INBOX.INBOX").catch(() => undefined);
        dovecot.clearJournal();
        await deliver(dovecot, "INBOX.INBOX");
        const records = dovecot.records().filter(({ event }) => event === "MessageNew");
        const [record] = records;
        assert.ok(record !== undefined && records.length === 1, `${records.length} records`);
        const { mailbox = "", uids, uidvalidity } = record;
        const status = ["-f", "flow", "mailbox", "status", "-u", "jdoe", "uidvalidity uidnext", mailbox];
        assert.equal(
          (await dovecot.doveadm(status)).stdout.trim(),
          `${mailbox} uidnext=${Number(uids) + 1} uidvalidity=${String(uidvalidity)}`,
        );
      }
    });
  });
}

describe("a name without the prefix that clients list", () => {
  let dovecot: RunningDovecot;
  let imap: ImapFlow;

  before(async () => {
    dovecot = await startDovecot({
      protocols: ["imap"],
      users: ["jdoe", "anna"],
      separator: ".",
      prefix: "INBOX.",
      extra: ({ is24 }) => `
namespace plain {
  prefix =
  separator = .
  hidden = yes
  list = no
  alias_for = ${is24 ? "inbox" : "INBOX."}
}
namespace shared {
  type = shared
  separator = .
  prefix = shared.${is24 ? "$user" : "%%u"}.
  ${is24 ? "mail_driver = maildir\n  mail_path = %{owner_home}/mail" : "location = maildir:%%h/mail"}
  subscriptions = no
  list = children
}
`,
    });
    for (const user of ["jdoe", "anna"]) await deliverLda(dovecot, { user, mail: mail("hello", "<1@x>") });
    imap = await login(dovecot);
    dovecot.clearJournal();
  });
  after(async () => {
    await imap.logout();
    await dovecot.remove();
  });

  test("is told with it, to the user and to the owner of a shared mailbox", async () => {
    await imap.mailboxCreate("Work");
    await imap.append("Work", mail("mine", "<3@x>"));
    await imap.append("INBOX", mail("mine", "<4@x>"));
    await imap.mailboxCreate("shared.anna.Work");
    await imap.append("shared.anna.Work", mail("yours", "<5@x>"));
    const told = dovecot
      .records()
      .map(({ event, user, mailbox, sep }) => `${user}: ${event} ${mailbox} (${String(sep)})`);
    assert.deepEqual(told, [
      "jdoe: MailboxCreate INBOX.Work (.)",
      "jdoe: MailboxSubscribe INBOX.Work (.)",
      "jdoe: MessageAppend INBOX.Work (.)",
      "jdoe: MessageAppend INBOX (.)",
      "anna: MailboxCreate INBOX.Work (.)",
      "jdoe: MailboxSubscribe shared.anna.Work (.)",
      "anna: MessageAppend INBOX.Work (.)",
    ]);
  });
});

test("INBOX and its namespace are told also when they are hidden and not listed", async () => {
  const dovecot = await startDovecot({
    protocols: ["lmtp"],
    users: ["jdoe"],
    // One must be listed.
    extra: ({ is24 }) => `
namespace inbox {
  hidden = yes
  list = no
}
namespace listed {
  prefix = Listed/
  separator = /
  ${is24 ? "mail_driver = maildir\n  mail_path = ~/listed" : "location = maildir:~/listed"}
}
`,
  });
  try {
    await deliver(dovecot);
    await dovecot.doveadm(["mailbox", "create", "-u", "jdoe", "Work"]);
    await deliver(dovecot, "Work");
    const records = told(dovecot).filter((record) => !record.startsWith("MailboxCreate INBOX"));
    assert.deepEqual(records, ["MessageNew INBOX (/) 1", "MailboxCreate Work (/)", "MessageNew Work (/) 1"]);
  } finally {
    await dovecot.remove();
  }
});

for (const format of ["maildir", "sdbox"] as const) {
  const location = (is24: boolean, folder: string): string =>
    is24 ? `mail_driver = ${format}\n  mail_path = ~/${folder}` : `location = ${format}:~/${folder}`;

  describe(`a namespace that is not listed on ${format}`, () => {
    let dovecot: RunningDovecot;
    let imap: ImapFlow;

    before(async () => {
      dovecot = await startDovecot({
        format,
        protocols: ["imap"],
        users: ["jdoe"],
        mailPlugins: ["notify", "openchange", "lazy_expunge"],
        extra: ({ is24 }) => `
namespace expunged {
  prefix = .EXPUNGED/
  separator = /
  hidden = yes
  list = no
  ${location(is24, "expunged")}
}
namespace archive {
  prefix = Archive.
  separator = .
  list = no
  ${location(is24, "archive")}
}
namespace hidden {
  prefix = Hidden.
  separator = .
  hidden = yes
  list = no
  ${location(is24, "hidden")}
}
${is24 ? "lazy_expunge_mailbox = .EXPUNGED/INBOX" : "plugin {\n  lazy_expunge = .EXPUNGED/\n}"}
`,
      });
      for (let i = 0; i < 6; i++) await deliver(dovecot);
      imap = await login(dovecot);
      await imap.mailboxCreate("Work/Sub");
    });
    after(async () => {
      await imap.logout();
      await dovecot.remove();
    });
    beforeEach(() => {
      dovecot.clearJournal();
    });

    test("and not hidden: is told with its separator, as source and as target", async () => {
      await imap.mailboxCreate("Archive.2026.Q1");
      dovecot.clearJournal();
      await imap.mailboxOpen("INBOX");
      await imap.messageMove("5", "Archive.2026.Q1", { uid: true });
      await imap.messageCopy("6", "Work/Sub", { uid: true });
      await imap.mailboxOpen("Archive.2026.Q1");
      await imap.messageMove("1", "Work/Sub", { uid: true });
      await imap.mailboxClose();
      await imap.mailboxRename("Archive.2026.Q1", "Work/Q1");
      assert.deepEqual(told(dovecot).slice(0, 4), [
        "MessageMove Archive.2026.Q1 (.) 1 <- INBOX (/) 5",
        "MessageCopy Work/Sub (/) 1 <- INBOX (/) 6",
        "MessageMove Work/Sub (/) 2 <- Archive.2026.Q1 (.) 1",
        "MailboxRename Work/Q1 (/) <- Archive.2026.Q1 (.)",
      ]);
      const keys = Object.keys(dovecot.records()[0] ?? {});
      assert.equal(keys[keys.indexOf("oldMailbox") + 1], "oldSep", "the documented order");
    });

    test("and hidden: gets what is expunged (lazy_expunge): an expunge, no move and no creation", async () => {
      await imap.mailboxOpen("INBOX");
      await imap.messageDelete("1:2", { uid: true });
      assert.deepEqual(told(dovecot).slice(-1), ["MessageExpunge INBOX (/) 1:2"]);
      assert.ok(!/Move|Create|EXPUNGED/.test(told(dovecot).join()), told(dovecot).join("\n"));
    });

    test("and hidden: gets what a mailbox has that is deleted: expunges and the deletion", async () => {
      await imap.mailboxCreate("Old");
      await imap.messageCopy("3:4", "Old", { uid: true });
      dovecot.clearJournal();
      await imap.mailboxDelete("Old");
      assert.deepEqual(told(dovecot), ["MessageExpunge Old (/) 1:2", "MailboxDelete Old (/)"]);
    });

    test("and hidden: gets what a client moves there: an expunge; what it copies there is nothing", async () => {
      await imap.mailboxCreate(".EXPUNGED/Mine");
      await imap.mailboxOpen("INBOX");
      await imap.messageCopy("3", ".EXPUNGED/Mine", { uid: true });
      await imap.messageMove("3", ".EXPUNGED/Mine", { uid: true });
      assert.deepEqual(told(dovecot), ["MessageExpunge INBOX (/) 3"]);
    });

    test("and hidden: tells nothing of what happens in it", async () => {
      await deliver(dovecot, ".EXPUNGED/Mine");
      await imap.mailboxOpen(".EXPUNGED/Mine");
      await imap.messageFlagsAdd("1:*", ["\\Flagged"]);
      await imap.messageMove("1", ".EXPUNGED/INBOX");
      await imap.mailboxSubscribe(".EXPUNGED/Mine");
      assert.deepEqual(told(dovecot), []);
    });

    test("and hidden: gives back what is copied or moved out of it: appends", async () => {
      await imap.mailboxOpen(".EXPUNGED/INBOX");
      await imap.messageCopy("1", "INBOX");
      await imap.messageMove("2", "Work/Sub");
      assert.deepEqual(told(dovecot), ["MessageAppend INBOX (/) 7", "MessageAppend Work/Sub (/) 3"]);
    });

    test("and hidden: takes a mailbox with its children by a rename: deletions; gives it back: creations", async () => {
      await imap.mailboxClose();
      // Dovecot itself loses the children where a mailbox of Maildir++ goes to another namespace.
      const hasChildren = format !== "maildir";
      if (hasChildren) await imap.mailboxCreate("Work/Sub/Größe");
      await imap.mailboxCreate("Work/Subway");
      dovecot.clearJournal();
      await imap.mailboxRename("Work/Sub", "Hidden.Gone.Sub");
      assert.deepEqual(told(dovecot), [
        "MailboxDelete Work/Sub (/)",
        ...(hasChildren ? ["MailboxDelete Work/Sub/Größe (/)"] : []),
      ]);
      dovecot.clearJournal();
      await imap.mailboxRename("Hidden.Gone.Sub", "Hidden.Gone.Twice");
      assert.deepEqual(told(dovecot), []);
      await imap.mailboxRename("Hidden.Gone.Twice", "Back/Again");
      assert.deepEqual(told(dovecot), [
        "MailboxCreate Back/Again (/)",
        ...(hasChildren ? ["MailboxCreate Back/Again/Größe (/)"] : []),
      ]);
    });

    test("leaves no error in the log", () => {
      assert.doesNotMatch(dovecot.log(), /Error:|Panic:|Fatal:/);
    });
  });
}
