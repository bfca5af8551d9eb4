import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { deliverLda, lmtpDeliver, mail, startDovecot, type RunningDovecot } from "../helpers/dovecot.ts";
import { openImap } from "../helpers/imap.ts";
import { waitFor } from "../helpers/wait.ts";

/** One change by each program that may load the plugin. Resolves with what is recorded: `lmtp MessageNew …`. */
async function changes(dovecot: RunningDovecot): Promise<string[]> {
  await lmtpDeliver(dovecot, [{ to: ["jdoe"], mail: mail("create", "<0@x>") }]);
  dovecot.clearJournal();
  const replies = await lmtpDeliver(dovecot, [{ to: ["jdoe"], mail: mail("lmtp", "<lmtp@x>") }]);
  assert.match(replies.join(), /^250/);
  assert.equal((await deliverLda(dovecot, { user: "jdoe", mail: mail("lda", "<lda@x>") })).code, 0);
  const imap = await openImap(dovecot, "jdoe");
  await imap.append("INBOX", mail("imap", "<imap@x>"));
  await imap.mailboxOpen("INBOX");
  await imap.messageFlagsAdd("1", ["\\Flagged"]);
  await imap.messageCopy("1", "INBOX");
  await imap.mailboxCreate("Work");
  await imap.logout();
  const { code, stderr } = await dovecot.doveadm(["save", "-u", "jdoe"], mail("doveadm", "<doveadm@x>"));
  assert.equal(code, 0, stderr);
  return dovecot.records().map(({ event, service, uids }) => `${String(service)} ${event} ${uids ?? ""}`.trim());
}

const ONE_OF_EACH = [
  "lmtp MessageNew 2",
  "lda MessageNew 3",
  "imap MessageAppend 4",
  "imap FlagsSet 1",
  "imap MessageCopy 5",
  "imap MailboxCreate",
  "imap MailboxSubscribe",
  "doveadm MessageAppend 6",
];

for (const plugins of [["ocnotify"], ["openchange", "ocnotify"]]) {
  test(`mail_plugins = notify ${plugins.join(" ")}: one record for each change`, async () => {
    const dovecot = await startDovecot({
      protocols: ["lmtp", "imap"],
      users: ["jdoe"],
      mailPlugins: ["notify", ...plugins],
    });
    try {
      assert.deepEqual(await changes(dovecot), ONE_OF_EACH);
      await dovecot.stop();
      assert.doesNotMatch(dovecot.log(), /Error:|Panic:/);
    } finally {
      await dovecot.remove();
    }
  });
}

test("protocols that name the plugin differently: one record for each change", async () => {
  const dovecot = await startDovecot({
    protocols: ["lmtp", "imap"],
    users: ["jdoe"],
    mailPlugins: [],
    protocolPlugins: {
      lda: ["notify", "openchange"],
      lmtp: ["notify", "openchange", "ocnotify"],
      imap: ["notify", "ocnotify"],
      doveadm: ["notify", "openchange"],
    },
  });
  try {
    assert.deepEqual(await changes(dovecot), ONE_OF_EACH);
  } finally {
    await dovecot.remove();
  }
});

const named = (name: string, plugins: string): { name: string; settings: Record<string, string> } => ({
  name,
  settings: { mail_plugins: plugins },
});

test("users whose userdb names the plugin differently, in one process: one record for each who names it", async () => {
  const dovecot = await startDovecot({
    protocols: ["lmtp"],
    users: [
      named("first", "notify,openchange"),
      named("second", "notify,ocnotify"),
      named("both", "notify,ocnotify,openchange"),
      named("neither", "notify"),
    ],
  });
  try {
    const replies = await lmtpDeliver(
      dovecot,
      ["first", "second", "both", "neither", "second", "first"].map((user, index) => ({
        to: [user],
        mail: mail("hello", `<${index}@x>`),
      })),
    );
    assert.ok(
      replies.every((reply) => reply.startsWith("250")),
      replies.join("\n"),
    );
    const records = dovecot.records().filter(({ event }) => event === "MessageNew");
    assert.deepEqual(
      records.map(({ user, messageId }) => [user, messageId]),
      [
        ["first", "<0@x>"],
        ["second", "<1@x>"],
        ["both", "<2@x>"],
        ["second", "<4@x>"],
        ["first", "<5@x>"],
      ],
    );
  } finally {
    await dovecot.remove();
  }
});

for (const plugin of ["ocnotify", "openchange"]) {
  describe(`with mail_plugins = notify ${plugin}, of the settings`, () => {
    let dovecot: RunningDovecot;
    /** The keys of what a delivery to this user records that its fields choose. */
    const recorded = async (user: string): Promise<string[]> => {
      const { code, stderr } = await deliverLda(dovecot, { user, mail: mail("hello", `<${user}@x>`) });
      assert.equal(code, 0, stderr);
      const record = dovecot.records().findLast((one) => one.user === user && one.event === "MessageNew");
      return Object.keys(record ?? {}).filter((key) => ["size", "messageId", "from", "subject"].includes(key));
    };

    before(async () => {
      dovecot = await startDovecot({
        protocols: ["lmtp"],
        mailPlugins: ["notify", plugin],
        settings: { ocnotify_fields: "size", openchange_fields: "subject", openchange_events: "save" },
        users: [
          "jdoe",
          { name: "ours", settings: { ocnotify_fields: "from" } },
          { name: "originals", settings: { openchange_fields: "msgid" } },
          { name: "each", settings: { openchange_fields: "msgid", ocnotify_fields: "from" } },
          { name: "events", settings: { ocnotify_events: "expunge" } },
          { name: "wrong-ours", settings: { ocnotify_fields: "bogus", openchange_fields: "size" } },
          { name: "wrong-originals", settings: { openchange_fields: "bogus" } },
          { name: "wrong-events", settings: { ocnotify_events: "bogus" } },
          { name: "wrong-journal", settings: { ocnotify_journal: "var/journal" } },
          { name: "no-journal", settings: { ocnotify_journal: "/nonexistent/journal" } },
          { name: "only-originals", settings: { ocnotify_resolver: "--SERVER=x", ocnotify_cn: "email" } },
        ],
      });
    });
    after(async () => dovecot.remove());
    beforeEach(() => {
      dovecot.clearJournal();
    });

    test("ocnotify_* goes before openchange_*, which is read too", async () => {
      assert.deepEqual(await recorded("jdoe"), ["size"]);
      assert.deepEqual(
        dovecot.records().map(({ event }) => event),
        ["MessageNew"],
        "openchange_events leaves out the creation of the mailbox",
      );
    });

    test("what the userdb says goes before what holds for all, under either name", async () => {
      assert.deepEqual(await recorded("ours"), ["from"]);
      assert.deepEqual(await recorded("originals"), ["messageId"]);
      assert.deepEqual(await recorded("each"), ["from"]);
      assert.deepEqual(await recorded("events"), []);
    });

    test("resolver, cn and backend are there as openchange_* only", async () => {
      await recorded("only-originals");
      const [record] = dovecot.records().slice(-1);
      assert.ok(record);
      assert.deepEqual([record["resolver"], record["cn"]], [undefined, undefined]);
    });

    test("a journal that is not there is logged under the name of the setting that says where", async () => {
      assert.deepEqual(await recorded("no-journal"), []);
      await waitFor("the log", () => /Error: ocnotify: ocnotify_journal: \/nonexistent\/journal: /.test(dovecot.log()));
    });

    for (const [user, setting] of [
      ["wrong-ours", "ocnotify_fields"],
      ["wrong-originals", "openchange_fields"],
      ["wrong-events", "ocnotify_events"],
      ["wrong-journal", "ocnotify_journal"],
    ] as const) {
      test(`a wrong ${setting} is logged under that name, and the mail is delivered`, async () => {
        assert.deepEqual(await recorded(user), []);
        await waitFor("the log", () => dovecot.log().includes(`msgid=<${user}@x>: saved mail to INBOX`));
        const errors = dovecot
          .log()
          .split("\n")
          .filter((line) => line.includes("Error:") && line.includes(`(${user})`));
        assert.equal(errors.length, 1, errors.join("\n"));
        assert.ok(errors[0]?.includes(`ocnotify: Invalid ${setting} = `), errors[0]);
      });
    }
  });
}
