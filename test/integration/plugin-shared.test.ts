import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import type { ImapFlow } from "imapflow";
import { lmtpDeliver, mail, startDovecot, type RunningDovecot } from "../helpers/dovecot.ts";
import { openImap } from "../helpers/imap.ts";

/** Private namespaces have a prefix and a separator of their own here, so that the two views of a mailbox differ. */
describe("a mailbox of somebody else", () => {
  let dovecot: RunningDovecot;
  let imap: ImapFlow;

  const told = (): unknown[] =>
    dovecot
      .records()
      .map(({ event, user, by, mailbox, sep, uids, oldMailbox, oldUids }) =>
        JSON.parse(JSON.stringify({ event, user, by, mailbox, sep, uids, oldMailbox, oldUids })),
      );

  before(async () => {
    dovecot = await startDovecot({
      protocols: ["imap", "lmtp"],
      users: ["jdoe", "anna"],
      mailPlugins: ["notify", "openchange", "virtual"],
      separator: ".",
      prefix: "Mine.",
      extra: ({ is24 }) => `
namespace shared {
  type = shared
  separator = .
  prefix = shared.${is24 ? "$user" : "%%u"}.
  ${is24 ? "mail_driver = maildir\n  mail_path = %{owner_home}/mail" : "location = maildir:%%h/mail"}
  subscriptions = no
  list = children
}
namespace public {
  type = public
  separator = .
  prefix = public.
  ${is24 ? "mail_driver = maildir\n  mail_path = ~/public" : "location = maildir:~/public"}
  subscriptions = no
}
namespace virtual {
  separator = .
  prefix = virtual.
  ${is24 ? "mail_driver = virtual\n  mail_path = ~/virtual\n  mail_index_path = ~/virtual-index" : "location = virtual:~/virtual:INDEX=~/virtual-index"}
  subscriptions = no
}
namespace subscriptions {
  separator = .
  prefix =
  hidden = yes
  list = no
  ${is24 ? "mail_driver = maildir\n  mail_path = ~/subscriptions" : "location = maildir:~/subscriptions"}
}
`,
    });
    const virtual = join(dovecot.home("jdoe"), "virtual", "All");
    mkdirSync(virtual, { recursive: true });
    writeFileSync(join(virtual, "dovecot-virtual"), "Mine.Real\n  all\n");
    await lmtpDeliver(dovecot, [{ to: ["jdoe", "anna"], mail: mail("hello", "<1@x>") }]);
    imap = await openImap(dovecot, "jdoe");
    // Else it puts the prefix of the private namespace before every other.
    imap.namespace = { prefix: "", delimiter: "." };
    await imap.mailboxCreate("shared.anna.Work");
    await imap.mailboxCreate("public.All");
    await imap.mailboxCreate("Mine.Real");
  });
  after(async () => {
    await imap.logout();
    await dovecot.remove();
  });
  beforeEach(() => {
    dovecot.clearJournal();
  });

  test("is told to its owner, under the name that the owner sees, with the one who changed it", async () => {
    await imap.mailboxOpen("shared.anna.INBOX");
    await imap.messageFlagsAdd("1", ["\\Flagged"]);
    await imap.append("shared.anna.Work", mail("for you", "<2@x>"));
    await imap.mailboxCreate("shared.anna.Work.Sub");
    assert.deepEqual(told(), [
      { event: "FlagsSet", user: "anna", by: "jdoe", mailbox: "INBOX", sep: ".", uids: "1" },
      { event: "MessageAppend", user: "anna", by: "jdoe", mailbox: "Mine.Work", sep: ".", uids: "1" },
      { event: "MailboxCreate", user: "anna", by: "jdoe", mailbox: "Mine.Work.Sub", sep: "." },
      // The subscription is in the list of the one who subscribed.
      { event: "MailboxSubscribe", user: "jdoe", mailbox: "shared.anna.Work.Sub", sep: "." },
    ]);
  });

  test("moved or copied into, is an append to its owner and, of a move, an expunge to the other", async () => {
    await imap.append("INBOX", mail("mine", "<3@x>"));
    dovecot.clearJournal();
    await imap.mailboxOpen("INBOX");
    await imap.messageCopy("2", "shared.anna.Work", { uid: true });
    await imap.messageMove("2", "shared.anna.Work", { uid: true });
    assert.deepEqual(told(), [
      { event: "MessageAppend", user: "anna", by: "jdoe", mailbox: "Mine.Work", sep: ".", uids: "2" },
      { event: "MessageAppend", user: "anna", by: "jdoe", mailbox: "Mine.Work", sep: ".", uids: "3" },
      { event: "MessageExpunge", user: "jdoe", mailbox: "INBOX", sep: ".", uids: "2" },
    ]);
  });

  test("moved within, is one move to its owner", async () => {
    await imap.mailboxOpen("shared.anna.Work");
    await imap.messageMove("1", "shared.anna.INBOX", { uid: true });
    assert.deepEqual(told(), [
      {
        event: "MessageMove",
        user: "anna",
        by: "jdoe",
        mailbox: "INBOX",
        sep: ".",
        uids: "2",
        oldMailbox: "Mine.Work",
        oldUids: "1",
      },
    ]);
  });

  test("that is nobody's (a public namespace) is told to the one who changed it", async () => {
    await imap.append("public.All", mail("to all", "<4@x>"));
    assert.deepEqual(told(), [{ event: "MessageAppend", user: "jdoe", mailbox: "public.All", sep: ".", uids: "1" }]);
  });

  test("that is virtual is told by the mailbox that has the message, once", async () => {
    await imap.append("Mine.Real", mail("real", "<5@x>"));
    await imap.mailboxOpen("virtual.All");
    dovecot.clearJournal();
    await imap.messageFlagsAdd("1", ["\\Flagged"]);
    await imap.messageMove("1", "INBOX");
    const real = { user: "jdoe", mailbox: "Mine.Real", sep: ".", uids: "1" };
    assert.deepEqual(told(), [
      { event: "FlagsSet", ...real },
      { event: "MessageMove", ...real, mailbox: "INBOX", uids: "3", oldMailbox: "Mine.Real", oldUids: "1" },
    ]);
  });

  test("leaves no error in the log", () => {
    assert.doesNotMatch(dovecot.log(), /Error:|Panic:|Fatal:/);
  });
});
