import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { lmtpDeliver, mail, startDovecot, type RunningDovecot } from "../helpers/dovecot.ts";
import { openImap } from "../helpers/imap.ts";

/** A mail with a body of this type. */
const typed = (type: string, body: string, encoding = "8bit"): string =>
  [
    "From: anna@example.org",
    "Message-ID: <1@x>",
    "MIME-Version: 1.0",
    `Content-Type: ${type}`,
    `Content-Transfer-Encoding: ${encoding}`,
    "",
    body,
    "",
  ].join("\r\n");

const parts = ["--b", "Content-Type: text/plain", "", "the text", "--b", "Content-Type: application/pdf", "", "%PDF"];
const MAILS: readonly [what: string, mail: string, snippet: string | undefined][] = [
  ["a text, its lines joined", typed("text/plain", "Hello   there,\r\n\r\nhow are you?"), "Hello there, how are you?"],
  ["HTML without its tags", typed("text/html", "<style>a{}</style><p>Hi <b>there</b>"), "Hi there"],
  ["another charset as UTF-8", typed("text/plain; charset=iso-8859-1", "Gr=FC=DFe", "quoted-printable"), "Grüße"],
  ["bytes that are not UTF-8", typed("text/plain; charset=utf-8", "a=FFb", "quoted-printable"), "a\ufffdb"],
  ["the text beside an attachment", typed("multipart/mixed; boundary=b", [...parts, "--b--"].join("\r\n")), "the text"],
  ["no text", typed("application/pdf", "JVBERg==", "base64"), undefined],
  ["an empty text", typed("text/plain", ""), undefined],
  ["parts that are not there", typed("multipart/mixed; boundary=b", "nothing"), undefined],
];

for (const format of ["maildir", "sdbox"] as const) {
  describe(`the snippet of a new message on ${format}`, () => {
    let dovecot: RunningDovecot;
    const deliver = async (user: string, text: string): Promise<unknown> => {
      const [reply] = await lmtpDeliver(dovecot, [{ to: [user], mail: text }]);
      assert.match(reply ?? "", /^250/);
      const record = dovecot.records().at(-1);
      assert.equal(record?.event, "MessageNew");
      return record["snippet"];
    };

    before(async () => {
      dovecot = await startDovecot({
        format,
        protocols: ["lmtp", "imap"],
        users: [{ name: "jdoe", settings: { ocnotify_fields: "uid,snippet" } }, "anna"],
        mailPlugins: ["notify", "ocnotify"],
        extra: ({ is24 }) => `
namespace shared {
  type = shared
  separator = /
  prefix = shared/${is24 ? "$user" : "%%u"}/
  ${is24 ? `mail_driver = ${format}\n  mail_path = %{owner_home}/mail` : `location = ${format}:%%h/mail`}
  subscriptions = no
  list = children
}
`,
      });
      await deliver("jdoe", mail("create", "<0@x>"));
    });
    after(async () => dovecot.remove());

    for (const [what, text, snippet] of MAILS) {
      test(`of ${what} is ${JSON.stringify(snippet) ?? "none"}`, async () => {
        assert.equal(await deliver("jdoe", text), snippet);
      });
    }

    test("has at most 998 bytes, all of them whole characters", async () => {
      const smileys = Buffer.from("😀".repeat(1000)).toString("base64").replaceAll(/.{76}/g, "$&\r\n");
      const snippet = await deliver("jdoe", typed("text/plain; charset=utf-8", smileys, "base64"));
      assert.ok(typeof snippet === "string" && /^(😀)+$/u.test(snippet), String(snippet));
      assert.ok(Buffer.byteLength(snippet) <= 998);
    });

    test("is recorded only when asked for", async () => {
      assert.equal(await deliver("anna", mail("hello", "<2@x>")), undefined);
    });

    test("is there of what a client saves, also as a copy of somebody else's message, and of nothing else", async () => {
      await deliver("anna", mail("hers", "<3@x>", "from anna"));
      const imap = await openImap(dovecot, "jdoe");
      dovecot.clearJournal();
      await imap.append("INBOX", mail("mine", "<4@x>", "from a client"));
      await imap.mailboxOpen("shared/anna/INBOX");
      await imap.messageCopy("*", "INBOX");
      await imap.mailboxOpen("INBOX");
      await imap.messageFlagsAdd("1", ["\\Flagged"]);
      await imap.messageCopy("1", "INBOX");
      await imap.logout();
      assert.deepEqual(
        dovecot.records().map(({ event, snippet }) => [event, snippet]),
        [
          ["MessageAppend", "from a client"],
          ["MessageAppend", "from anna"],
          ["FlagsSet", undefined],
          ["MessageCopy", undefined],
        ],
      );
    });
  });
}
