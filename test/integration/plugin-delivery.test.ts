import assert from "node:assert/strict";
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
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
import { waitFor } from "../helpers/wait.ts";

const RESOLVER = "--SERVER=10.0.0.5:11211";

/** Each wrong setting has a user of its own, who gets it from the userdb. It is logged as it is, or as `logged`. */
const WRONG_SETTINGS: Record<string, { setting: string; value: string; logged?: string; says: string }> = {
  cn: { setting: "openchange_cn", value: "mail", says: "must be username or email" },
  events: { setting: "openchange_events", value: "save,bogus", says: "save copy delete undelete expunge flag_change" },
  fields: { setting: "openchange_fields", value: "uid,bogus", says: "uid box msgid size from subject flags" },
  backend: {
    setting: "openchange_backend",
    value: "so\u007fgo",
    logged: "(control)",
    says: "must not have control characters",
  },
  resolver: {
    setting: "openchange_resolver",
    value: "--SERVER=a\u007f",
    logged: "(control)",
    says: "must not have control characters",
  },
  journal: { setting: "openchange_journal", value: "var/journal", says: "must be the absolute path of a directory" },
};

/** A record without what differs from run to run. */
function steady({ ts, session, uidvalidity, ...rest }: JournalRecord): Record<string, unknown> {
  assert.ok(typeof ts === "number" && Math.abs(ts / 1000 - Date.now()) < 60_000, "ts is microseconds of now");
  assert.ok(session === undefined || typeof session === "string");
  assert.ok(uidvalidity === undefined || typeof uidvalidity === "number");
  return rest;
}

describe("a delivery", () => {
  let dovecot: RunningDovecot;
  const lastOf = (user: string): JournalRecord => {
    const record = dovecot.records().findLast((one) => one.user === user);
    assert.ok(record, `a record of ${user}`);
    return record;
  };

  before(async () => {
    dovecot = await startDovecot({
      protocols: ["lmtp"],
      users: [
        "jdoe",
        "anna",
        "juergen@example.com",
        "longtext",
        {
          name: "set@example.com",
          settings: { openchange_cn: "email", openchange_backend: "sogo", openchange_resolver: RESOLVER },
        },
        { name: "fields", settings: { openchange_fields: "uid,box,msgid,size,from,subject,flags" } },
        { name: "nothing", settings: { openchange_fields: "box" } },
        { name: "deletions", settings: { openchange_events: "expunge,delete" } },
        ...Object.entries(WRONG_SETTINGS).map(([name, { setting, value }]) => ({
          name: `wrong-${name}`,
          settings: { [setting]: value },
        })),
        { name: "without", settings: { mail_plugins: "notify" } },
        { name: "missing", settings: { openchange_journal: "/nonexistent/journal" } },
      ],
    });
  });
  after(async () => dovecot.remove());
  beforeEach(() => {
    dovecot.clearJournal();
  });

  test("by dovecot-lda is one MessageNew, its keys in the documented order", async () => {
    await deliverLda(dovecot, { user: "jdoe", mail: mail("create", "<0@x>") });
    dovecot.clearJournal();
    assert.equal((await deliverLda(dovecot, { user: "jdoe", mail: mail("hello", "<1@x>") })).code, 0);
    const records = dovecot.records();
    assert.deepEqual(records.map(steady), [
      {
        v: 1,
        event: "MessageNew",
        user: "jdoe",
        mailbox: "INBOX",
        sep: "/",
        uids: "2",
        size: 191,
        messageId: "<1@x>",
        service: "lda",
      },
    ]);
    assert.deepEqual(Object.keys(records[0] ?? {}), [
      "v",
      "ts",
      "event",
      "user",
      "mailbox",
      "sep",
      "uidvalidity",
      "uids",
      "size",
      "messageId",
      "service",
      "session",
    ]);
  });

  test("by LMTP to two users is a record for each, and the first one of a mailbox tells that it was created", async () => {
    const replies = await lmtpDeliver(dovecot, [
      { to: ["anna", "juergen@example.com"], mail: mail("one", "<2@x>") },
      { to: ["anna"], mail: mail("two", "<3@x>") },
    ]);
    assert.ok(
      replies.every((reply) => reply.startsWith("250")),
      replies.join("\n"),
    );
    assert.deepEqual(
      dovecot.records().map(({ event, user, mailbox, uids, messageId, service }) => ({
        event,
        user,
        mailbox,
        uids,
        messageId,
        service,
      })),
      [
        {
          event: "MailboxCreate",
          user: "anna",
          mailbox: "INBOX",
          uids: undefined,
          messageId: undefined,
          service: "lmtp",
        },
        { event: "MessageNew", user: "anna", mailbox: "INBOX", uids: "1", messageId: "<2@x>", service: "lmtp" },
        {
          event: "MailboxCreate",
          user: "juergen@example.com",
          mailbox: "INBOX",
          uids: undefined,
          messageId: undefined,
          service: "lmtp",
        },
        {
          event: "MessageNew",
          user: "juergen@example.com",
          mailbox: "INBOX",
          uids: "1",
          messageId: "<2@x>",
          service: "lmtp",
        },
        { event: "MessageNew", user: "anna", mailbox: "INBOX", uids: "2", messageId: "<3@x>", service: "lmtp" },
      ],
    );
  });

  test("leaves a segment of mode 0640 that belongs to the mail uid and is named after it", async () => {
    await deliverLda(dovecot, { user: "jdoe", mail: mail("hello", "<4@x>") });
    const [name = ""] = readdirSync(dovecot.journalDir);
    const { uid, mode } = statSync(join(dovecot.journalDir, name));
    assert.equal(name.split(".")[1], String(uid));
    assert.equal(uid, statSync(dovecot.home("jdoe")).uid);
    assert.equal(mode & 0o7777, 0o640);
    assert.ok(Math.abs(Number(name.split(".")[0]) - Date.now() / 600_000) <= 1);
  });

  test("tells cn, backend and resolver when the operator set them", async () => {
    await deliverLda(dovecot, { user: "set@example.com", mail: mail("hello", "<5@x>") });
    const record = lastOf("set@example.com");
    const { cn, backend, resolver } = record;
    assert.deepEqual({ cn, backend, resolver }, { cn: "email", backend: "sogo", resolver: RESOLVER });
    assert.deepEqual(Object.keys(record).slice(-3), ["cn", "backend", "resolver"]);
  });

  test("tells from, subject and flags only when asked to, as decoded text", async () => {
    const text = mail(
      "=?utf-8?q?Gr=C3=BC=C3=9Fe?= =?iso-8859-1?q?_=E4?=",
      "<6@x>",
      "x",
      "=?utf-8?b?SsO8cmdlbg==?= <j@example.org>",
    );
    await deliverLda(dovecot, { user: "fields", mail: text });
    const { subject, from, flags } = lastOf("fields");
    assert.deepEqual({ subject, from, flags }, { subject: "Grüße ä", from: "Jürgen <j@example.org>", flags: [] });
  });

  test("cuts a long subject at 998 bytes, between two characters", async () => {
    // 1 + 2 n bytes: 998 would cut a character in two.
    const subject = `x${"ü".repeat(600)}`;
    const words =
      subject.match(/.{1,20}/gu)?.map((part) => `=?utf-8?b?${Buffer.from(part).toString("base64")}?=`) ?? [];
    await deliverLda(dovecot, { user: "fields", mail: mail(words.join("\r\n "), "<7@x>") });
    assert.equal(lastOf("fields")["subject"], `x${"ü".repeat(498)}`);
  });

  test("tells of the message no more than asked for", async () => {
    await deliverLda(dovecot, { user: "nothing", mail: mail("hello", "<8@x>") });
    assert.deepEqual(steady(lastOf("nothing")), {
      v: 1,
      event: "MessageNew",
      user: "nothing",
      mailbox: "INBOX",
      sep: "/",
      service: "lda",
    });
  });

  test("is recorded without its Message-ID if that alone would fill a record", async () => {
    await deliverLda(dovecot, { user: "longtext", mail: mail("hello", `<${"x".repeat(70_000)}@x>`) });
    const record = lastOf("longtext");
    assert.equal(record.event, "MessageNew");
    assert.equal(record["messageId"], undefined);
    assert.equal(record.uids, "1");
  });

  test("escapes what a header may do to JSON", async () => {
    await deliverLda(dovecot, { user: "fields", mail: mail('a "quote" \\ \u0001 \u{1F600} \xff', '<"\\@x>') });
    const record = lastOf("fields");
    assert.match(String(record["subject"]), /^a "quote" \\ /);
    assert.equal(record["messageId"], '<"\\@x>');
  });

  test("is not recorded when openchange_events leaves it out", async () => {
    const replies = await lmtpDeliver(dovecot, [{ to: ["deletions"], mail: mail("hello", "<9@x>") }]);
    assert.match(replies.join(), /^250/);
    assert.deepEqual(dovecot.records(), []);
  });

  test("to a user without the plugin, by a process that has it loaded, is not recorded", async () => {
    const replies = await lmtpDeliver(dovecot, [
      { to: ["anna"], mail: mail("with", "<with@x>") },
      { to: ["without", "anna"], mail: mail("both", "<both@x>") },
    ]);
    assert.ok(
      replies.every((reply) => reply.startsWith("250")),
      replies.join("\n"),
    );
    assert.deepEqual(
      dovecot.records().map(({ user, messageId }) => [user, messageId]),
      [
        ["anna", "<with@x>"],
        ["anna", "<both@x>"],
      ],
    );
  });

  /** Two mails on one connection, so by one process; resolves with its error lines, all of which stand before its last line. */
  const errorsOf = async (user: string): Promise<string[]> => {
    const replies = await lmtpDeliver(dovecot, [
      { to: [user], mail: mail("one", `<1-${user}@x>`) },
      { to: [user], mail: mail("two", `<2-${user}@x>`) },
    ]);
    assert.deepEqual(
      replies.map((reply) => reply.slice(0, 3)),
      ["250", "250"],
    );
    await waitFor("the log of both deliveries", () =>
      dovecot.log().includes(`msgid=<2-${user}@x>: saved mail to INBOX`),
    );
    return dovecot
      .log()
      .split("\n")
      .filter((line) => line.includes("Error:") && line.includes(`(${user})`));
  };

  for (const [name, { setting, value, logged = value, says }] of Object.entries(WRONG_SETTINGS)) {
    test(`goes through in spite of a wrong ${setting}, with one error line that says what is right`, async () => {
      const errors = await errorsOf(`wrong-${name}`);
      assert.equal(errors.length, 1, errors.join("\n"));
      assert.ok(errors[0]?.includes(`Invalid ${setting} = "${logged}"`), errors[0]);
      assert.ok(errors[0]?.includes(says), errors[0]);
      assert.deepEqual(dovecot.records(), []);
    });
  }

  test("goes through without a journal directory, with one error line that says how to make it", async () => {
    const errors = await errorsOf("missing");
    assert.equal(errors.length, 1, errors.join("\n"));
    assert.match(
      errors[0] ?? "",
      /openchange_journal: \/nonexistent\/journal: .*install -d .* -m 3733 \/nonexistent\/journal/,
    );
  });
});

test("a delivery goes through with a journal directory that it may not write to, with one error line that names the mode", async () => {
  const dovecot = await startDovecot({ protocols: ["lmtp"], users: ["jdoe"] });
  try {
    chmodSync(dovecot.journalDir, 0o555);
    const replies = await lmtpDeliver(dovecot, [
      { to: ["jdoe"], mail: mail("one", "<1@x>") },
      { to: ["jdoe"], mail: mail("two", "<2@x>") },
    ]);
    assert.deepEqual(
      replies.map((reply) => reply.slice(0, 3)),
      ["250", "250"],
    );
    await dovecot.stop();
    const errors = dovecot
      .log()
      .split("\n")
      .filter((line) => line.includes("Error:"));
    assert.equal(errors.length, 1, errors.join("\n"));
    assert.match(errors[0] ?? "", /openchange_journal: .* the directory needs mode 3733/);
  } finally {
    await dovecot.remove();
  }
});

const IS_ROOT = process.getuid?.() === 0;
test(
  "a delivery in a chroot that has no journal goes through, with one error line that names the chroot and how to bring it there",
  { skip: IS_ROOT ? false : "only root can chroot" },
  async () => {
    const dovecot = await startDovecot({
      protocols: ["lmtp"],
      users: ["jdoe"],
      extra: ({ folder }) => `valid_chroot_dirs = ${folder}/homes\n`,
    });
    try {
      const users = join(dovecot.folder, "users");
      writeFileSync(users, readFileSync(users, "utf8").replace("/homes/jdoe", "/homes/./jdoe"));
      const { code, stderr } = await deliverLda(dovecot, { user: "jdoe", mail: mail("one", "<1@x>") });
      assert.equal(code, 0, stderr);
      assert.deepEqual(dovecot.records(), []);
      await dovecot.stop();
      const errors = dovecot
        .log()
        .split("\n")
        .filter((line) => line.includes("Error:"));
      assert.equal(errors.length, 1, errors.join("\n"));
      const { folder, journalDir } = dovecot;
      assert.ok(errors[0]?.includes(`does not exist in the chroot ${folder}/homes of this process`), errors[0]);
      assert.ok(errors[0]?.includes(`mount --bind ${journalDir} ${folder}/homes${journalDir})`), errors[0]);
    } finally {
      await dovecot.remove();
    }
  },
);
