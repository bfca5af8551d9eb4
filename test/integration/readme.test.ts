import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { deliverLda, lmtpDeliver, mail, startDovecot, type RunningDovecot } from "../helpers/dovecot.ts";

const README = readFileSync(new URL("../../README.md", import.meta.url), "utf8");

/** The block of configuration in the README for that version. */
function snippet(version: "2.3" | "2.4"): string {
  const [, text = ""] = new RegExp(`^Dovecot ${version}[^]*?\n\`\`\`\n([^]*?)\n\`\`\`$`, "m").exec(README) ?? [];
  assert.ok(text.startsWith("protocol lda {"), `a block for Dovecot ${version}`);
  return text;
}

describe("a Dovecot with the README's configuration", () => {
  let dovecot: RunningDovecot;
  before(async () => {
    dovecot = await startDovecot({
      users: ["jdoe@example.com"],
      protocols: ["lmtp"],
      mailPlugins: [],
      extra: ({ is24 }) => snippet(is24 ? "2.4" : "2.3"),
    });
  });
  after(() => dovecot.remove());

  test("records what lda and lmtp deliver, with its settings", async () => {
    const { code, stderr } = await deliverLda(dovecot, {
      user: "jdoe@example.com",
      mail: mail("one", "<1@example.org>"),
    });
    assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
    const [reply] = await lmtpDeliver(dovecot, [{ to: ["jdoe@example.com"], mail: mail("two", "<2@example.org>") }]);
    assert.match(reply ?? "", /^250/);
    const settings = { resolver: "--SERVER=127.0.0.1:11211", cn: "username", backend: "sogo" };
    const records = dovecot.records().filter(({ event }) => event === "MessageNew");
    assert.deepEqual(
      records.map(({ service, resolver, cn, backend }) => ({ service, resolver, cn, backend })),
      [
        { service: "lda", ...settings },
        { service: "lmtp", ...settings },
      ],
    );
  });
});
