import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { startDovecot, type RunningDovecot } from "../helpers/dovecot.ts";
import { waitFor } from "../helpers/wait.ts";

/** Bytes of a Message-ID. Fifteen of them are more than the mail process may have of memory. */
const LARGE = 9_000_000;
const MAILS = 15;

const mail = (id: string): Buffer => Buffer.from(`Message-ID: <${id}@x>\r\nSubject: s\r\n\r\nhello\r\n`);

describe("headers that are megabytes long", () => {
  let dovecot: RunningDovecot;
  before(async () => {
    dovecot = await startDovecot({
      users: ["jdoe"],
      protocols: ["imap"],
      mailPlugins: ["notify", "openchange"],
      settings: { openchange_fields: "uid box msgid size from subject" },
      extra: () => "service imap {\n  vsz_limit = 128 M\n}\n",
    });
  });
  after(() => dovecot.remove());

  test("cost the mail process no memory for each mail of a MULTIAPPEND, which is recorded without them", async () => {
    const socket = connect(dovecot.imapPort, "127.0.0.1");
    let text = "";
    let closed = false;
    socket.setEncoding("latin1").on("data", (chunk: string) => (text += chunk));
    socket.on("error", () => {});
    socket.on("close", () => (closed = true));
    const answer = async (pattern: RegExp): Promise<void> => {
      await waitFor(String(pattern), () => pattern.test(text) || closed);
      assert.match(text, pattern);
    };
    await answer(/^\* OK/);
    socket.write(`a LOGIN jdoe ${dovecot.password}\r\n`);
    await answer(/^a OK/m);
    socket.write("b APPEND INBOX");
    for (const each of [...Array.from({ length: MAILS }, () => mail("m".repeat(LARGE))), mail("small")]) {
      socket.write(` {${each.length}+}\r\n`);
      await new Promise((resolve) => socket.write(each, resolve));
    }
    socket.write("\r\n");
    await answer(/^b OK/m);
    socket.destroy();
    const records = dovecot.records().filter(({ event }) => event === "MessageAppend");
    assert.equal(records.length, MAILS + 1);
    assert.deepEqual(
      records.map(({ messageId }) => messageId),
      [...Array.from({ length: MAILS }, () => undefined), "<small@x>"],
    );
  });
});
