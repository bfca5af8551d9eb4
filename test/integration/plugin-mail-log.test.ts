import assert from "node:assert/strict";
import { test } from "node:test";
import type { ImapFlow } from "imapflow";
import {
  deliverLda,
  lmtpDeliver,
  mail,
  startDovecot,
  type JournalRecord,
  type RunningDovecot,
} from "../helpers/dovecot.ts";
import { waitFor } from "../helpers/wait.ts";
import { openImap } from "../helpers/imap.ts";

const MAIL_LOG_EVENTS = "delete undelete expunge save copy mailbox_create mailbox_delete mailbox_rename flag_change";
const STEPS = 250;
const BOXES = ["INBOX", "Work", "Père Noël", "Deep/Er"];

/** The same numbers at every run. */
function pseudoRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function expand(set: unknown): number[] {
  return String(set)
    .split(",")
    .flatMap((part) => {
      const [first = 0, last = first] = part.split(":").map(Number);
      return Array.from({ length: last - first + 1 }, (_, i) => first + i);
    });
}

/** What mail_log would say of a record, in its order of fields, a line per message. */
function asMailLog(record: JournalRecord): string[] {
  const { event, mailbox, uids, oldMailbox, oldUids, messageId, size, flags } = record;
  const each = (word: string): string[] => expand(uids).map((uid) => `${word}: box=${mailbox}, uid=${uid}`);
  switch (event) {
    case "MessageNew":
    case "MessageAppend":
      return each("save").map((line) => `${line}, msgid=${String(messageId)}, size=${Number(size)}`);
    case "MessageCopy":
      return each(`copy from ${String(oldMailbox)}`);
    case "MessageMove":
      return [
        ...each(`copy from ${String(oldMailbox)}`),
        ...expand(oldUids).map((uid) => `expunge: box=${String(oldMailbox)}, uid=${uid}`),
      ];
    case "MessageExpunge":
      return each("expunge");
    case "FlagsSet":
      return each(String(flags) === "\\Deleted" ? "delete" : "flag_change");
    case "FlagsClear":
      return each(String(flags) === "\\Deleted" ? "undelete" : "flag_change");
    case "MailboxCreate":
      return [`Mailbox created: ${mailbox}`];
    case "MailboxDelete":
      return [`Mailbox deleted: ${mailbox}`];
    case "MailboxRename":
      return [`Mailbox renamed: ${String(oldMailbox)} -> ${mailbox}`];
    default:
      return [];
  }
}

/** mail_log's own lines in the form of `asMailLog`. Dovecot 2.4 puts the mailbox before all, and only there for some. */
function fromMailLog(log: string): string[] {
  const words =
    /: Info: (?:Mailbox (.*?): )?((?:save|copy from .*|expunge|delete|undelete|flag_change): box=.*|Mailbox (?:created|deleted|renamed)(?:: .*)?)$/;
  return log.split("\n").flatMap((line) => {
    const [, box = "", said] = words.exec(line) ?? [];
    if (said === undefined) return [];
    if (said.startsWith("save")) return [said];
    if (said.startsWith("Mailbox ")) return [said.includes(": ") ? said : `${said}: ${box}`];
    return [said.replace(/(, uid=\d+),.*$/, "$1")];
  });
}

/** Each line once where mail_log says it once for the flags and once for the keywords of a message, and we for set and cleared. */
function compare(lines: readonly string[]): string[] {
  const changes = new Set(lines.filter((line) => line.startsWith("flag_change")));
  return [...lines.filter((line) => !line.startsWith("flag_change")), ...changes].toSorted((a, b) =>
    a.localeCompare(b),
  );
}

async function script(dovecot: RunningDovecot, imap: ImapFlow, random: (below: number) => number): Promise<void> {
  const pick = (): string => BOXES[random(BOXES.length)] ?? "INBOX";
  const flags = ["\\Seen", "\\Flagged", "\\Answered", "$Label1", "work"];
  let renamed = 0;
  for (const box of BOXES.slice(1)) await imap.mailboxCreate(box);
  for (let step = 0; step < STEPS; step += 1) {
    const what = random(12);
    const exists = imap.mailbox === false ? 0 : imap.mailbox.exists;
    const first = 1 + random(Math.max(exists, 1));
    const some = `${first}:${Math.min(first + random(4), Math.max(exists, 1))}`;
    const text = mail(`mail ${step}`, `<${step}@x>`, "x".repeat(random(300)));
    if (what <= 2 || exists === 0) await imap.append(pick(), text, random(2) === 0 ? ["\\Seen"] : []);
    else if (what === 3) await imap.messageFlagsAdd(some, [flags[random(5)] ?? "", flags[random(5)] ?? ""]);
    else if (what === 4) await imap.messageFlagsRemove(some, [flags[random(5)] ?? ""]);
    else if (what === 5) await imap.messageFlagsAdd(some, ["\\Deleted"]);
    else if (what === 6) await imap.messageFlagsRemove(some, ["\\Deleted"]);
    else if (what === 7) await imap.messageCopy(some, pick());
    else if (what === 8) await imap.messageMove(some, pick());
    else if (what === 9) await imap.messageDelete(some);
    else if (what === 10) await lmtpDeliver(dovecot, [{ to: ["jdoe"], mail: text }]);
    else {
      renamed += 1;
      await imap.mailboxCreate(`Temporary ${renamed}`);
      await imap.mailboxRename(`Temporary ${renamed}`, `Renamed ${renamed}`);
      await deliverLda(dovecot, { user: "jdoe", mail: text, folder: `Renamed ${renamed}` });
      await imap.mailboxDelete(`Renamed ${renamed}`);
    }
    if (step % 5 === 0) await imap.mailboxOpen(pick());
    else await imap.noop();
  }
}

for (const format of ["maildir", "mdbox"] as const) {
  test(`what a long use of a mailbox on ${format} left in the journal is what mail_log logged of it`, async () => {
    const dovecot = await startDovecot({
      format,
      protocols: ["imap", "lmtp"],
      users: ["jdoe"],
      mailPlugins: ["notify", "openchange", "mail_log"],
      settings: { mail_log_events: MAIL_LOG_EVENTS, mail_log_fields: "uid box msgid size" },
    });
    try {
      const imap = await openImap(dovecot, "jdoe");
      await imap.mailboxOpen("INBOX");
      await script(dovecot, imap, pseudoRandom(20_261_123));
      await imap.logout();
      await waitFor("the end of the log", () =>
        /imap\(jdoe\).*: Info: (Disconnected: )?Logged out/.test(dovecot.log()),
      );
      await dovecot.stop();

      const records = dovecot.records();
      const ours = compare(records.flatMap(asMailLog));
      const theirs = compare(fromMailLog(dovecot.log()));
      assert.ok(theirs.length > STEPS, `${theirs.length} lines`);
      assert.deepEqual(ours, theirs);
      assert.equal(new Set(records.map(({ event }) => event)).size, 13, "every event but MailboxUnSubscribe came");
      assert.doesNotMatch(dovecot.log(), /Error:|Panic:|Fatal:/);
    } finally {
      await dovecot.remove();
    }
  });
}
