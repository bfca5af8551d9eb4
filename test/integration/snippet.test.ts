import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { test } from "node:test";

test("what enables the plugin does so for deliveries and, as it is, for nothing else", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "ocnotify-snippet-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const [version = ""] = /^\d+\.\d+/.exec(execFileSync("dovecot", ["--version"], { encoding: "utf8" })) ?? [];
  const snippet = resolve(import.meta.dirname, `../../packaging/dovecot/dovecot-${version}.conf`);
  const begin = version === "2.4" ? "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n" : "";
  const config = join(folder, "dovecot.conf");
  writeFileSync(config, `${begin}ssl = no\n!include ${snippet}\n`);
  const enabled = ["lda", "lmtp", "imap", "pop3", "doveadm", "sieve"].filter((protocol) => {
    const args = ["-c", config, "-f", `protocol=${protocol}`, "mail_plugins"];
    const plugins = execFileSync("doveconf", args, { encoding: "utf8" });
    const names: readonly string[] = plugins.match(/\w+/g) ?? [];
    assert.equal(names.includes("notify"), names.includes("ocnotify"), protocol);
    return names.includes("ocnotify");
  });
  assert.deepEqual(enabled, ["lda", "lmtp"]);
});
