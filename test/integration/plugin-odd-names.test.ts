import assert from "node:assert/strict";
import { chownSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { parseRecord, type MailboxEvent } from "../../src/events/event.ts";
import { RecordScanner } from "../../src/events/record-scanner.ts";
import { deliverLda, mail, startDovecot, type RunningDovecot } from "../helpers/dovecot.ts";
import { openImap } from "../helpers/imap.ts";

/** What a client may call a mailbox. */
const NAMES = [
  "del\u007fx",
  "c1\u009bx",
  "line\u2028separator",
  "rtl\u202ex",
  "\ufffdx",
  "😀",
  '"q\\',
  " a b ",
  "%x*",
  "R&D",
  "x".repeat(200),
];

/** Not for new mailboxes, but Dovecot uses those that it finds: by the name of the folder. */
const FOUND = { "ctl&AAE-x": "ctl\u0001x", "tab&AAk-x": "tab\tx", "esc&ABs-x": "esc\u001bx", "nl&AAo-x": "nl\nx" };

/** Whatever IMAP lets a client put into a keyword. */
const KEYWORDS = Array.from({ length: 94 }, (_, index) => String.fromCharCode(33 + index))
  .filter((char) => !'(){%*"\\]'.includes(char))
  .map((char, index) => `k${index}${char}`);

function lines(dovecot: RunningDovecot): Buffer[] {
  return readdirSync(dovecot.journalDir)
    .toSorted()
    .flatMap((name) => readFileSync(join(dovecot.journalDir, name), "latin1").split(/(?<=\n)/))
    .map((line) => Buffer.from(line, "latin1"));
}

/** The events of the journal as the daemon reads them; none is refused, and the scanner reads none otherwise. */
function read(dovecot: RunningDovecot): MailboxEvent[] {
  const scanner = new RecordScanner();
  return lines(dovecot).map((line) => {
    const event = parseRecord(line.toString("utf8", 0, line.length - 1));
    for (const [field, value] of Object.entries(scanner.scan(line, 0, line.length) ?? {})) {
      assert.equal(value, (event as unknown as Record<string, unknown>)[field], field);
    }
    return event;
  });
}

for (const format of ["maildir", "sdbox"] as const) {
  describe(`odd names on ${format}`, () => {
    let dovecot: RunningDovecot;

    const doveadm = async (args: readonly string[], input?: string): Promise<void> => {
      const { code, stderr } = await dovecot.doveadm(args, input);
      assert.equal(code, 0, stderr);
    };
    /** The mailboxes of the new mail that was delivered there. */
    const delivered = async (folder: string): Promise<string[]> => {
      const { code, stderr } = await deliverLda(dovecot, { user: "jdoe", mail: mail("m", "<m@x>"), folder });
      assert.equal(code, 0, stderr);
      return read(dovecot).flatMap(({ event, mailbox }) => (event === "MessageNew" ? [mailbox] : []));
    };

    before(async () => {
      dovecot = await startDovecot({
        format,
        protocols: ["imap"],
        users: ["jdoe", "with space", "ünï 日本", "x".repeat(200)],
      });
    });
    after(async () => dovecot.remove());
    beforeEach(() => {
      dovecot.clearJournal();
    });

    test("that a client may give its mailboxes are told", async () => {
      await doveadm(["mailbox", "create", "-u", "jdoe", ...NAMES]);
      const created = read(dovecot).flatMap(({ event, mailbox }) =>
        event === "MailboxCreate" && mailbox !== "INBOX" ? [mailbox] : [],
      );
      assert.deepEqual(created, NAMES);
      for (const name of NAMES) {
        dovecot.clearJournal();
        assert.deepEqual(await delivered(name), [name]);
      }
      const [name = ""] = NAMES;
      await doveadm(["mailbox", "rename", "-u", "jdoe", name, `${name} renamed`]);
      const renamed = read(dovecot).find(({ event }) => event === "MailboxRename");
      assert.ok(renamed?.event === "MailboxRename");
      assert.deepEqual([renamed.oldMailbox, renamed.mailbox], [name, `${name} renamed`]);
    });

    test(
      "of 1,200 characters in 20 levels, in UTF-8 3,600 bytes, are told",
      { skip: format === "maildir" },
      async () => {
        const name = Array.from({ length: 20 }, () => "日".repeat(60)).join("/");
        await doveadm(["mailbox", "create", "-u", "jdoe", name]);
        assert.deepEqual(await delivered(name), [name]);
      },
    );

    test("that Dovecot finds on disk are told", { skip: format !== "maildir" }, async () => {
      await doveadm(["mailbox", "create", "-u", "jdoe", "made"]);
      for (const [folder, name] of Object.entries(FOUND)) {
        dovecot.clearJournal();
        for (const part of ["", "cur", "new", "tmp"]) {
          const path = join(dovecot.home("jdoe"), "mail", `.${folder}`, part);
          mkdirSync(path);
          if (process.getuid?.() === 0) chownSync(path, 65_534, 65_534);
        }
        assert.deepEqual(await delivered(name), [name]);
      }
    });

    test("of users are told", async () => {
      for (const user of ["with space", "ünï 日本", "x".repeat(200)]) {
        dovecot.clearJournal();
        await doveadm(["save", "-u", user], mail("m", "<m@x>"));
        assert.ok(read(dovecot).every((event) => event.user === user));
        assert.equal(read(dovecot).at(-1)?.event, "MessageAppend");
      }
    });

    test("of keywords are told", async () => {
      await delivered("INBOX");
      dovecot.clearJournal();
      const imap = await openImap(dovecot, "jdoe");
      await imap.mailboxOpen("INBOX");
      await imap.messageFlagsAdd("1", KEYWORDS);
      await imap.logout();
      const [set] = read(dovecot);
      assert.ok(set?.event === "FlagsSet");
      assert.deepEqual(new Set(set.flags), new Set(KEYWORDS));
    });

    test("in a Message-ID are told", async () => {
      const { code } = await deliverLda(dovecot, { user: "jdoe", mail: mail("m", '<\u0001\t\u007f"\\ü\u009b@x>') });
      assert.equal(code, 0);
      const event = read(dovecot).at(-1);
      assert.ok(event?.event === "MessageNew");
      assert.equal(event.messageId, '<\u0001\t\u007f"\\ü\u009b@x>');
    });
  });
}

test("a separator that no other mail server has is told", async () => {
  for (const separator of ["~", "\u007f"]) {
    const dovecot = await startDovecot({ separator, protocols: ["lmtp"], users: ["jdoe"] });
    try {
      const name = ["Work", "Sub"].join(separator);
      await dovecot.doveadm(["mailbox", "create", "-u", "jdoe", name]);
      const [created] = read(dovecot);
      assert.deepEqual([created?.mailbox, created?.sep], [name, separator]);
    } finally {
      await dovecot.remove();
    }
  }
});

test("what cannot be told is refused by the daemon with the user and the folder", async () => {
  const users = { "ctl\u0001x": '"ctl\\u0001x"', "del\u007fx": '"del\\u007fx"' };
  const dovecot = await startDovecot({ protocols: ["imap"], users: Object.keys(users) });
  try {
    for (const [user, shown] of Object.entries(users)) {
      dovecot.clearJournal();
      const imap = await openImap(dovecot, user);
      await imap.append("INBOX", mail("m", "<m@x>"));
      await imap.logout();
      const line = lines(dovecot).at(-1)?.toString().trim() ?? "";
      assert.throws(() => parseRecord(line), {
        code: "ERR_RECORD",
        message: `field "user": has a control character (user ${shown}, mailbox "INBOX")`,
      });
    }
  } finally {
    await dovecot.remove();
  }
});
