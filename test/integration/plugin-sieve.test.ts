import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { deliverLda, lmtpDeliver, mail, manageSieve, startDovecot, type RunningDovecot } from "../helpers/dovecot.ts";
import { waitFor } from "../helpers/wait.ts";

const RESOLVER = "--SERVER=10.0.0.5:11211 --SERVER=10.0.0.6:11211 --DISTRIBUTION=consistent";

const SCRIPT = `require ["fileinto", "mailbox", "copy", "imap4flags"];
if header :contains "subject" "list" { fileinto :create "Listen/Größe"; }
elsif header :contains "subject" "both" { fileinto :copy :create "Copies"; }
elsif header :contains "subject" "flagged" { addflag "\\\\Flagged"; keep; }
elsif header :contains "subject" "discard" { discard; }
`;

describe("a delivery through Sieve", () => {
  let dovecot: RunningDovecot;

  before(async () => {
    const plugins = ["notify", "openchange", "sieve"];
    dovecot = await startDovecot({
      protocols: ["lmtp"],
      users: ["jdoe"],
      protocolPlugins: { lda: plugins, lmtp: plugins },
      settings: { openchange_resolver: RESOLVER, openchange_fields: "uid box msgid flags" },
      extra: ({ is24 }) =>
        is24 ? "sieve_script personal {\n  driver = file\n  path = ~/sieve\n  active_path = ~/.dovecot.sieve\n}\n" : "",
    });
    writeFileSync(join(dovecot.home("jdoe"), ".dovecot.sieve"), SCRIPT);
    await deliverLda(dovecot, { user: "jdoe", mail: mail("create the inbox", "<0@x>") });
  });
  after(async () => dovecot.remove());
  beforeEach(() => {
    dovecot.clearJournal();
  });

  const programs = {
    lda: async (text: string) => deliverLda(dovecot, { user: "jdoe", mail: text }),
    lmtp: async (text: string) => lmtpDeliver(dovecot, [{ to: ["jdoe"], mail: text }]),
  };
  for (const [service, deliver] of Object.entries(programs)) {
    const delivered = async (subject: string): Promise<unknown[]> => {
      await deliver(mail(subject, `<${subject}@x>`));
      return dovecot
        .records()
        .filter(({ event }) => event === "MessageNew")
        .map(({ mailbox, uids, flags, messageId, resolver }) => ({ mailbox, uids, flags, messageId, resolver }));
    };
    const resolver = RESOLVER;
    // Each test follows one of the same by the program before.
    const nth = (first: number): string => String(service === "lda" ? first : first + 1);

    test(`${service}: fileinto is a MessageNew in that folder only`, async () => {
      assert.deepEqual(await delivered("list"), [
        { mailbox: "Listen/Größe", uids: nth(1), flags: [], messageId: "<list@x>", resolver },
      ]);
    });

    test(`${service}: fileinto :copy is a MessageNew in both folders`, async () => {
      await delivered("both");
      const boxes = dovecot.records().filter(({ event }) => event === "MessageNew");
      assert.deepEqual(new Set(boxes.map(({ mailbox }) => mailbox)), new Set(["Copies", "INBOX"]));
      assert.equal(boxes.length, 2);
    });

    test(`${service}: flags that the script adds are the message's from the beginning`, async () => {
      const [record] = await delivered("flagged");
      assert.deepEqual(record, {
        mailbox: "INBOX",
        uids: service === "lda" ? "3" : "5",
        flags: ["\\Flagged"],
        messageId: "<flagged@x>",
        resolver,
      });
      assert.equal(dovecot.records().length, 1);
    });

    test(`${service}: a mail that is discarded is no event`, async () => {
      assert.deepEqual(await delivered("discard"), []);
      assert.deepEqual(dovecot.records(), []);
    });
  }
});

describe("editing scripts over ManageSieve", () => {
  let dovecot: RunningDovecot;

  before(async () => {
    dovecot = await startDovecot({
      protocols: ["lmtp", "sieve"],
      users: ["jdoe", { name: "anna", settings: { openchange_events: "MessageNoo" } }],
      // For every program: in `protocol sieve` alone, 2.4 does not load them.
      mailPlugins: ["notify", "openchange"],
      protocolPlugins: { lmtp: ["notify", "openchange", "sieve"] },
      settings: { openchange_resolver: RESOLVER },
      extra: ({ is24 }) =>
        is24
          ? "sieve_script personal {\n  driver = file\n  path = ~/sieve\n  active_path = ~/.dovecot.sieve\n}\n"
          : "plugin {\n  sieve = file:~/sieve;active=~/.dovecot.sieve\n}\n",
    });
  });
  after(async () => dovecot.remove());

  test("is no event but the creation of INBOX at a first login, and what the script does to a delivery is told", async () => {
    const script = SCRIPT.replaceAll("\n", "\r\n");
    const put = `PUTSCRIPT "mine" {${Buffer.byteLength(script)}+}\r\n${script}`;
    const commands = ["LISTSCRIPTS", put, 'SETACTIVE "mine"', 'RENAMESCRIPT "mine" "ours"', 'GETSCRIPT "ours"'];
    const answers = await manageSieve(dovecot, "jdoe", commands);
    assert.deepEqual(
      answers.map((answer) => answer.slice(0, 3).trim()),
      ["OK", ...commands.map(() => "OK"), "OK"],
      answers.join("\n"),
    );
    // A user's first login creates INBOX. The service is "managesieve" on 2.3 and "sieve" on 2.4.
    const created = dovecot.records().map(({ event, user, mailbox }) => ({ event, user, mailbox }));
    assert.deepEqual(created, [{ event: "MailboxCreate", user: "jdoe", mailbox: "INBOX" }]);
    assert.match(String(dovecot.records()[0]?.["service"]), /sieve$/);
    await manageSieve(dovecot, "jdoe", ['SETACTIVE ""', 'SETACTIVE "ours"']);
    assert.equal(dovecot.records().length, 1);

    await lmtpDeliver(dovecot, [{ to: ["jdoe"], mail: mail("list", "<list@x>") }]);
    const told = dovecot.records().filter(({ event }) => event === "MessageNew");
    assert.deepEqual(
      told.map(({ mailbox }) => mailbox),
      ["Listen/Größe"],
    );
    assert.doesNotMatch(dovecot.log(), /(Error|Warning|Panic|Fatal):/);
  });

  test("runs the plugin: a setting with a mistake is an error line of managesieve too", async () => {
    assert.match((await manageSieve(dovecot, "anna", ["LISTSCRIPTS"]))[1] ?? "", /^OK/);
    await waitFor("the error line", () => /sieve\(anna\).*MessageNoo/.test(dovecot.log()));
  });
});
