import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { ImapFlow } from "imapflow";
import { mail, pop3, startDovecot, type JournalRecord, type RunningDovecot } from "../helpers/dovecot.ts";
import { openImap } from "../helpers/imap.ts";

type Facts = Record<string, unknown>;

/** A record without what differs from run to run; a uidvalidity only has to be there. */
function facts({ v, ts, session, ...rest }: JournalRecord): Facts {
  assert.equal(v, 1);
  assert.equal(typeof ts, "number");
  assert.ok(session === undefined || typeof session === "string");
  for (const name of ["uidvalidity", "oldUidvalidity"]) if (name in rest) rest[name] = typeof rest[name];
  return rest;
}

/** As an IMAP sequence-set of neighbours. */
const range = (uids: readonly number[]): string => (uids.length === 1 ? `${uids[0]}` : `${uids[0]}:${uids.at(-1)}`);

const FORMATS = [
  { format: "maildir", separator: "/" },
  { format: "sdbox", separator: "." },
  { format: "mdbox", separator: "/" },
] as const;

for (const { format, separator } of FORMATS) {
  describe(`on ${format} with the separator ${separator}`, () => {
    let dovecot: RunningDovecot;
    let imap: ImapFlow;
    const common = { user: "jdoe", sep: separator, service: "imap" };
    const inbox = { ...common, mailbox: "INBOX", uidvalidity: "number" };
    const fromInbox = { oldMailbox: "INBOX", oldUidvalidity: "number" };

    /** The records that `action` makes. */
    const recorded = async (action: () => Promise<unknown>): Promise<Facts[]> => {
      dovecot.clearJournal();
      await action();
      return dovecot.records().map(facts);
    };
    /** Puts mails into INBOX, resolves with their UIDs. */
    const append = async (count: number): Promise<number[]> => {
      const uids: number[] = [];
      for (let i = 0; i < count; i += 1) {
        const result = await imap.append("INBOX", mail(`mail ${i}`, `<${i}@x>`));
        uids.push(result === false ? 0 : (result.uid ?? 0));
      }
      await imap.noop();
      dovecot.clearJournal();
      return uids;
    };
    const box = (...parts: string[]): string => parts.join(separator);

    before(async () => {
      dovecot = await startDovecot({
        format,
        separator,
        protocols: ["imap", "pop3"],
        users: ["jdoe", "popper"],
        extra: ({ is24 }) => `
namespace second {
  separator = ${separator}
  prefix = Second${separator}
  ${is24 ? `mail_driver = ${format}\n  mail_path = ~/second` : `location = ${format}:~/second`}
}
`,
      });
      imap = await openImap(dovecot, "jdoe");
      await imap.mailboxCreate("Arbeit & Büro");
      await imap.mailboxCreate(["Second", "Box"]);
      await imap.append("INBOX", mail("first", "<first@x>"));
      await imap.mailboxOpen("INBOX");
    });
    after(async () => {
      await imap.logout();
      await dovecot.remove();
    });

    test("an append is a MessageAppend", async () => {
      const records = await recorded(async () => imap.append("INBOX", mail("a", "<a@x>"), ["\\Seen"]));
      assert.deepEqual(records, [{ event: "MessageAppend", ...inbox, uids: "2", size: 187, messageId: "<a@x>" }]);
      await imap.noop();
    });

    test("flags and keywords that are set at once are one FlagsSet, with a MessageRead for \\Seen", async () => {
      const uids = range(await append(3));
      const records = await recorded(async () =>
        imap.messageFlagsAdd(uids, ["\\Seen", "\\Flagged", "$Label1", "work"], { uid: true }),
      );
      assert.deepEqual(records, [
        { event: "FlagsSet", ...inbox, uids, flags: ["\\Flagged", "\\Seen", "$Label1", "work"] },
        { event: "MessageRead", ...inbox, uids },
      ]);
    });

    test("flags that are replaced are told as what was set and what was cleared", async () => {
      const uids = range(await append(2));
      await imap.messageFlagsAdd(uids, ["\\Flagged", "one"], { uid: true });
      const records = await recorded(async () => imap.messageFlagsSet(uids, ["\\Answered", "two"], { uid: true }));
      assert.deepEqual(records, [
        { event: "FlagsSet", ...inbox, uids, flags: ["\\Answered", "two"] },
        { event: "FlagsClear", ...inbox, uids, flags: ["\\Flagged", "one"] },
      ]);
    });

    test("flags that are there already are no event", async () => {
      const uids = range(await append(1));
      await imap.messageFlagsAdd(uids, ["\\Flagged", "one"], { uid: true });
      assert.deepEqual(await recorded(async () => imap.messageFlagsAdd(uids, ["\\Flagged", "one"], { uid: true })), []);
    });

    test("messages with the same change share a record", async () => {
      const [a = 0, b = 0, c = 0] = await append(3);
      await imap.messageFlagsAdd(`${b}`, ["\\Flagged"], { uid: true });
      const records = await recorded(async () =>
        imap.messageFlagsSet(`${a}:${c}`, ["\\Flagged", "\\Draft"], { uid: true }),
      );
      assert.deepEqual(records, [
        { event: "FlagsSet", ...inbox, uids: `${a},${c}`, flags: ["\\Flagged", "\\Draft"] },
        { event: "FlagsSet", ...inbox, uids: `${b}`, flags: ["\\Draft"] },
      ]);
    });

    test("\\Deleted is a MessageTrash, and expunging is one MessageExpunge for all", async () => {
      const uids = range(await append(3));
      assert.deepEqual(await recorded(async () => imap.messageDelete(uids, { uid: true })), [
        { event: "FlagsSet", ...inbox, uids, flags: ["\\Deleted"] },
        { event: "MessageTrash", ...inbox, uids },
        { event: "MessageExpunge", ...inbox, uids },
      ]);
    });

    test("a copy names source and destination in matching order", async () => {
      const [a = 0, , c = 0, d = 0] = await append(4);
      const records = await recorded(async () => imap.messageCopy(`${a},${c}:${d}`, "Arbeit & Büro", { uid: true }));
      assert.deepEqual(records, [
        {
          event: "MessageCopy",
          ...inbox,
          mailbox: "Arbeit & Büro",
          uids: "1,2:3",
          ...fromInbox,
          oldUids: `${a},${c}:${d}`,
        },
      ]);
    });

    test("a move is one MessageMove without an expunge", async () => {
      const [a = 0, b = 0, c = 0] = await append(3);
      const records = await recorded(async () => imap.messageMove(`${a},${c}`, "Arbeit & Büro", { uid: true }));
      assert.deepEqual(records, [
        { event: "MessageMove", ...inbox, mailbox: "Arbeit & Büro", uids: "4,5", ...fromInbox, oldUids: `${a},${c}` },
      ]);
      const later = await recorded(async () => imap.messageDelete(`${b}`, { uid: true }));
      assert.deepEqual(later.at(-1), { event: "MessageExpunge", ...inbox, uids: `${b}` });
    });

    test("a move within one mailbox is a MessageMove", async () => {
      const uids = await append(2);
      const [a = 0, b = 0] = uids;
      assert.deepEqual(await recorded(async () => imap.messageMove(range(uids), "INBOX", { uid: true })), [
        { event: "MessageMove", ...inbox, uids: `${a + 2}:${b + 2}`, ...fromInbox, oldUids: `${a}:${b}` },
      ]);
    });

    test("a move to another namespace of the same user is a MessageMove", async () => {
      const uids = range(await append(2));
      const records = await recorded(async () => imap.messageMove(uids, box("Second", "Box"), { uid: true }));
      assert.deepEqual(records, [
        { event: "MessageMove", ...inbox, mailbox: box("Second", "Box"), uids: "1:2", ...fromInbox, oldUids: uids },
      ]);
    });

    test("creating, renaming, subscribing and deleting a mailbox are told by its name", async () => {
      const records = await recorded(async () => {
        await imap.mailboxCreate("Entwürfe 日本");
        await imap.mailboxRename("Entwürfe 日本", box("Neu", "Sub"));
        await imap.mailboxSubscribe(box("Neu", "Sub"));
        await imap.mailboxUnsubscribe(box("Neu", "Sub"));
        await imap.mailboxDelete(box("Neu", "Sub"));
      });
      const there = { ...common, mailbox: "Entwürfe 日本" };
      const renamed = { ...common, mailbox: box("Neu", "Sub") };
      assert.deepEqual(records, [
        { event: "MailboxCreate", ...there },
        // imapflow subscribes to what it creates
        { event: "MailboxSubscribe", ...there },
        { event: "MailboxRename", ...renamed, oldMailbox: "Entwürfe 日本" },
        { event: "MailboxSubscribe", ...renamed },
        { event: "MailboxUnSubscribe", ...renamed },
        { event: "MailboxDelete", ...renamed },
      ]);
    });

    test("2,000 messages flagged and moved are a few records", async () => {
      const records = await recorded(async () => {
        await dovecot.doveadm(["mailbox", "create", "-u", "jdoe", "Many", "Moved"]);
        await dovecot.doveadm(["save", "-u", "jdoe", "-m", "Many"], mail("m", "<m@x>"));
        // Doubles what is there, eleven times.
        for (let i = 0; i < 11; i += 1) await dovecot.doveadm(["copy", "-u", "jdoe", "Many", "mailbox", "Many", "ALL"]);
        dovecot.clearJournal();
        await imap.mailboxOpen("Many");
        await imap.messageFlagsAdd("1:*", ["\\Seen"]);
        await imap.messageMove("1:*", "Moved");
        await imap.mailboxOpen("INBOX");
      });
      const set = { uids: "1:2048", sep: separator, uidvalidity: "number", user: "jdoe", service: "imap" };
      assert.deepEqual(records, [
        { event: "FlagsSet", ...set, mailbox: "Many", flags: ["\\Seen"] },
        { event: "MessageRead", ...set, mailbox: "Many" },
        // Dovecot commits a long move after each 1,000 messages.
        ...["1:1000", "1001:2000", "2001:2048"].map((uids) => ({
          event: "MessageMove",
          ...set,
          uids,
          mailbox: "Moved",
          oldMailbox: "Many",
          oldUidvalidity: "number",
          oldUids: uids,
        })),
      ]);
    });

    test("a POP3 client's RETR and DELE are a MessageRead and a MessageExpunge", async () => {
      await dovecot.doveadm(["save", "-u", "popper", "-m", "INBOX"], mail("p", "<p@x>"));
      const records = await recorded(async () => pop3(dovecot, "popper", ["DELE 1"]));
      const popped = { ...inbox, user: "popper", service: "pop3" };
      assert.deepEqual(records.at(-1), { event: "MessageExpunge", ...popped, uids: "1" });
    });

    test("doveadm's save, flags, move and expunge are told like a client's", async () => {
      const admin = { ...inbox, user: "popper", service: "doveadm" };
      const doveadm = async (...args: string[]): Promise<Facts[]> =>
        recorded(async () => dovecot.doveadm([...args.slice(0, 1), ...args.slice(1)], mail("d", "<d@x>")));
      await dovecot.doveadm(["mailbox", "create", "-u", "popper", "Old"]);
      const [saved] = await doveadm("save", "-u", "popper", "-m", "INBOX");
      assert.equal(saved?.["event"], "MessageAppend");
      const uids = saved?.["uids"];
      assert.deepEqual(await doveadm("flags", "add", "-u", "popper", "\\Seen", "mailbox", "INBOX", "ALL"), [
        { event: "FlagsSet", ...admin, uids, flags: ["\\Seen"] },
        { event: "MessageRead", ...admin, uids },
      ]);
      assert.deepEqual(await doveadm("move", "-u", "popper", "Old", "mailbox", "INBOX", "ALL"), [
        { event: "MessageMove", ...admin, mailbox: "Old", uids: "1", ...fromInbox, oldUids: uids },
      ]);
      assert.deepEqual(await doveadm("expunge", "-u", "popper", "mailbox", "Old", "ALL"), [
        { event: "MessageExpunge", ...admin, mailbox: "Old", uids: "1" },
      ]);
    });

    test("nothing in the log is an error", () => {
      assert.doesNotMatch(dovecot.log(), /Error:|Panic:|Fatal:/);
    });
  });
}

test("a set too long for a record is split over records of at most 64 KiB, in matching order", async () => {
  const dovecot = await startDovecot({ format: "mdbox", protocols: ["imap"], users: ["jdoe"] });
  try {
    // Ten digits each, so that fewer messages do.
    const firstUid = 4_000_000_000;
    const doublings = 14;
    await dovecot.doveadm(["mailbox", "create", "-u", "jdoe", "Many", "Copies"]);
    await dovecot.doveadm(["mailbox", "update", "-u", "jdoe", "--min-next-uid", `${firstUid}`, "Many"]);
    await dovecot.doveadm(["save", "-u", "jdoe", "-m", "Many"], mail("m", "<m@x>"));
    for (let i = 0; i < doublings; i += 1) {
      await dovecot.doveadm(["copy", "-u", "jdoe", "Many", "mailbox", "Many", "ALL"]);
    }
    const everySecond = Array.from({ length: 2 ** (doublings - 1) }, (_, i) => firstUid + 2 * i);
    const imap = await openImap(dovecot, "jdoe");
    await imap.mailboxOpen("Many");
    for (let i = 0; i < everySecond.length; i += 512) {
      await imap.messageFlagsAdd(everySecond.slice(i, i + 512).join(","), ["second"], { uid: true });
    }
    await imap.logout();
    dovecot.clearJournal();

    await dovecot.doveadm(["flags", "add", "-u", "jdoe", "\\Flagged", "mailbox", "Many", "KEYWORD", "second"]);
    await dovecot.doveadm(["copy", "-u", "jdoe", "Copies", "mailbox", "Many", "KEYWORD", "second"]);
    const records = dovecot.records();
    for (const record of records) assert.ok(Buffer.byteLength(JSON.stringify(record)) < 65_536);
    const all = (event: string, key: "uids" | "oldUids"): number[] =>
      records
        .filter((record) => record.event === event)
        .flatMap((record) => String(record[key]).split(",").map(Number));
    assert.ok(records.filter(({ event }) => event === "FlagsSet").length > 1);
    assert.deepEqual(all("FlagsSet", "uids"), everySecond);
    assert.ok(records.filter(({ event }) => event === "MessageCopy").length > 1);
    assert.deepEqual(all("MessageCopy", "oldUids"), everySecond);
    assert.deepEqual(
      all("MessageCopy", "uids"),
      everySecond.map((_, i) => i + 1),
    );
  } finally {
    await dovecot.remove();
  }
});
