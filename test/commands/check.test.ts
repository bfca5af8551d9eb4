import assert from "node:assert/strict";
import { once } from "node:events";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Finding } from "../../src/check/finding.ts";
import { DEFAULT_CONFIG_FILE } from "../../src/config.ts";
import { Resolver } from "../../src/destinations/openchange/resolver.ts";
import { startDovecot, type RunningDovecot } from "../helpers/dovecot.ts";
import { startMemcached, type TestMemcached } from "../helpers/memcached.ts";
import {
  ocnotify,
  startDaemon,
  startListener,
  stateDirOf,
  writeConfig,
  type RunningDaemon,
} from "../helpers/ocnotify.ts";
import { freePort } from "../helpers/ports.ts";

/** The same configuration with the plugin under this name. */
const configNamed = ([option = "", file = ""]: string[], name: string): string[] => {
  const text = readFileSync(file, "utf8").replaceAll("  openchange = yes\n", `  ${name} = yes\n`);
  writeFileSync(file, text.replaceAll("notify openchange", `notify ${name}`));
  return [option, file];
};

describe("ocnotify check", () => {
  let dovecot: RunningDovecot;
  let memcached: TestMemcached;
  let daemon: RunningDaemon;
  const args = (...more: string[]): string[] => {
    const stateDir = stateDirOf(dovecot.folder);
    const own = ["--journal", dovecot.journalDir, "--state-dir", stateDir, "--dovecot-config", dovecot.config];
    return ["check", ...own, ...more];
  };
  const check = async (...more: string[]): Promise<{ code: number; findings: Finding[] }> => {
    const { code, stdout, stderr } = await ocnotify(args("--json", ...more));
    assert.equal(stderr, "");
    return {
      code,
      findings: stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as Finding),
    };
  };
  /** The only finding that is not ok. */
  const wrong = async (...more: string[]): Promise<Finding & { code: number }> => {
    const { code, findings } = await check(...more);
    const [finding, ...others] = findings.filter(({ state }) => state !== "ok");
    assert.ok(finding, "something is wrong");
    assert.deepEqual(others, []);
    assert.ok(finding.remedy, "with a remedy");
    return { code, ...finding };
  };
  /** A configuration that differs in what is replaced. */
  const configWith = (from: string, to: string): string[] => {
    const text = readFileSync(dovecot.config, "utf8");
    assert.ok(text.includes(from));
    const file = join(dovecot.folder, "other.conf");
    writeFileSync(file, text.replaceAll(from, to));
    return ["--dovecot-config", file];
  };
  const configWithout = (plugin: "notify" | "openchange"): string[] => {
    if (readFileSync(dovecot.config, "utf8").includes("dovecot_config_version")) {
      return configWith(`  ${plugin} = yes\n`, "");
    }
    return configWith("notify openchange", plugin === "notify" ? "openchange" : "notify");
  };

  /** A configuration with these lines beside the plugin's other settings. */
  const withSetting = (...lines: string[]): string[] => {
    const cn = readFileSync(dovecot.config, "utf8").match(/^( *)openchange_cn = email\n/m);
    return configWith(cn?.[0] ?? "", [cn?.[0] ?? "", ...lines.map((line) => `${cn?.[1] ?? ""}${line}\n`)].join(""));
  };

  before(async () => {
    memcached = await startMemcached();
    dovecot = await startDovecot({
      protocols: ["lmtp"],
      users: ["jdoe"],
      settings: { openchange_resolver: memcached.config, openchange_cn: "email" },
    });
    daemon = await startDaemon({ journal: dovecot.journalDir, stateDir: stateDirOf(dovecot.folder) });
  });
  after(async () => {
    await daemon.stop();
    await dovecot.remove();
    await memcached.stop();
  });

  test("finds everything in order, from Dovecot to the server of a user", async () => {
    const listener = await startListener("jdoe@example.com", memcached.config);
    try {
      const { code, findings } = await check("--user", "jdoe@example.com");
      assert.deepEqual(
        findings.filter(({ state }) => state !== "ok"),
        [],
      );
      assert.equal(code, 0);
      const parts = new Set(findings.map(({ part }) => part));
      const all = ["daemon", "dovecot", "plugin", "settings", "journal", "space", "memcached", "host"];
      assert.deepEqual([...parts].toSorted(), all.toSorted());
    } finally {
      await listener.stop();
    }
  });

  test("says in words what is wrong and what to do, a line each", async () => {
    const { code, stdout } = await ocnotify(args("--state-dir", "/nonexistent"));
    assert.equal(code, 1);
    assert.match(stdout, /^ok {6}dovecot {3}its configuration is read/m);
    assert.match(stdout, /^fault {3}daemon {4}no daemon answers at .*\n {18}→ systemctl start ocnotify/m);
  });

  test("finds a user for whom nobody is registered", async () => {
    const { code, state, part, message } = await wrong("--user", "nobody");
    assert.deepEqual({ code, state, part }, { code: 0, state: "warning", part: "user" });
    assert.match(message, /nobody is registered for nobody/);
  });

  test("finds a registered server that is gone", async () => {
    const resolver = new Resolver(memcached.config);
    const host = `tcp://127.0.0.1:${await freePort()}`;
    await resolver.register("gone", host);
    const { code, part, message } = await wrong("--user", "gone");
    await resolver.flush("gone");
    resolver.close();
    assert.deepEqual({ code, part }, { code: 1, part: "host" });
    assert.ok(message.includes(host), message);
  });

  test("finds a memcached that is gone", async () => {
    const port = await freePort();
    const { code, part, message } = await wrong(...configWith(memcached.config, `--SERVER=127.0.0.1:${port}`));
    assert.deepEqual({ code, part }, { code: 1, part: "memcached" });
    assert.ok(message.includes(`127.0.0.1:${port}`), message);
  });

  const smbConf = (cache: string): string => {
    const file = join(dovecot.folder, "smb.conf");
    writeFileSync(file, `[global]\n  mapistore:notification_cache = ${cache}\n`);
    return file;
  };

  const cacheFindings = async (cache: string, ...more: string[]): Promise<{ code: number; findings: Finding[] }> => {
    const { code, stdout } = await ocnotify(args("--json", ...more), "", smbConf(cache));
    const findings = stdout.trim().split("\n");
    const all = findings.map((line) => JSON.parse(line) as Finding);
    return { code, findings: all.filter(({ message }) => message.includes("smb.conf")) };
  };

  describe("with a notification cache in smb.conf", () => {
    test("finds one that is the plugin's in order, also in other words", async () => {
      for (const cache of [memcached.config, memcached.config.replace("127.0.0.1", "localhost")]) {
        const { code, findings } = await cacheFindings(`${cache} --CONNECT-TIMEOUT=5`);
        assert.deepEqual(
          { code, states: findings.map(({ part, state }) => [part, state]) },
          { code: 0, states: [["memcached", "ok"]] },
        );
      }
    });

    test("finds one that is another than the plugin's, and says which to set", async () => {
      for (const cache of [
        "--SERVER=192.0.2.1",
        `${memcached.config} --NAMESPACE=other`,
        `--SERVER=mc0 ${memcached.config}`,
      ]) {
        const { code, findings } = await cacheFindings(cache);
        assert.deepEqual([code, findings.length, findings[0]?.state], [0, 1, "warning"], cache);
        for (const part of [cache, memcached.config, "openchange_resolver in Dovecot's configuration"]) {
          assert.ok(findings[0]?.message.includes(part), findings[0]?.message);
        }
        assert.match(findings[0]?.remedy ?? "", /^set openchange_resolver in Dovecot's configuration to /);
      }
    });

    test("finds one that is another than the daemon's, where the plugin has none", async () => {
      const { findings } = await cacheFindings("--SERVER=192.0.2.1", "--no-dovecot");
      assert.equal(findings[0]?.state, "warning");
      assert.match(
        findings[0]?.message ?? "",
        /destinations\.openchange\.resolver in the daemon's configuration is --SERVER=127/,
      );
    });

    test("finds one that is no resolver string", async () => {
      const { code, findings } = await cacheFindings("127.0.0.1:11211");
      assert.deepEqual([code, findings.length, findings[0]?.state], [1, 1, "fault"]);
    });
  });

  test("finds a Dovecot that does not name the plugin, or names it without notify", async () => {
    const without = await wrong(...configWithout("openchange"));
    assert.deepEqual([without.code, without.part], [1, "plugin"]);
    assert.match(without.message, /no protocol has ocnotify or openchange/);
    const named = /\/\S+\.conf/.exec(without.remedy ?? "")?.[0];
    assert.ok(named === undefined || existsSync(named), "what it says to copy is there");
    const { code, findings } = await check(...configWithout("notify"));
    assert.equal(code, 1);
    const faults = findings.filter(({ state }) => state === "fault");
    assert.ok(faults.length > 0 && faults.every(({ message }) => message.includes("without notify")));
  });

  const pluginsFound = async (...more: string[]): Promise<string[]> => {
    const { code, findings } = await check(...more);
    assert.equal(code, 0);
    return findings.filter(({ part }) => part === "plugin").map(({ state, message }) => `${state} ${message}`);
  };

  test("finds the plugin in order under either name, and says which protocols have which", async () => {
    const text = readFileSync(dovecot.config, "utf8");
    const is24 = text.includes("dovecot_config_version");
    const one = await pluginsFound(...configNamed(configWith("protocols", "protocols"), "ocnotify"));
    assert.match(one.join("\n"), /^ok ocnotify in the mail_plugins of lda, lmtp, imap, pop3, sieve, doveadm$/m);
    assert.match(one.join("\n"), /^ok \S+\/lib20_ocnotify_plugin\.so is for this Dovecot/m);
    const list = is24 ? "  mail_plugins {\n    ocnotify = yes\n  }\n" : "  mail_plugins = notify ocnotify\n";
    const mixed = await pluginsFound(...configWith("protocol lmtp {\n", `protocol lmtp {\n${list}`));
    assert.match(
      mixed.join("\n"),
      /^ok ocnotify in the mail_plugins of lmtp; openchange in the mail_plugins of lda, /m,
    );
    assert.equal(mixed.filter((line) => line.includes("is for this Dovecot")).length, 1, "one file, one line");
  });

  test("finds a wrong setting, and a journal that is not the daemon's", async () => {
    const cn = await wrong(...configWith("openchange_cn = email", "openchange_cn = mail"));
    assert.deepEqual([cn.code, cn.part], [1, "settings"]);
    assert.match(cn.message, /openchange_cn = mail: must be username or email/);
    const ours = await wrong(...withSetting("ocnotify_fields = uid bogus"));
    assert.match(ours.message, /^ocnotify_fields = uid bogus: "bogus" is none of: uid box msgid size from .*snippet$/);
    const journal = `openchange_journal = ${dovecot.journalDir}`;
    const other = await wrong(...configWith(journal, "openchange_journal = /elsewhere"));
    assert.match(other.message, /the daemon reads/);
  });

  test("finds openchange_fields that leave out the UID, without which no server can be told", async () => {
    for (const name of ["openchange_fields", "ocnotify_fields"]) {
      const finding = await wrong(...withSetting(`${name} = box msgid`));
      assert.deepEqual([finding.part, finding.state, finding.code], ["settings", "warning", 0]);
      assert.ok(finding.message.startsWith(`${name} = box msgid has no uid`), finding.message);
    }
  });

  test("goes by ocnotify_* where both are set", async () => {
    const { code } = await check(...withSetting("openchange_fields = box", "ocnotify_fields = uid"));
    assert.equal(code, 0);
    const journal = await wrong(...withSetting("ocnotify_journal = /elsewhere"));
    assert.match(journal.message, /^ocnotify_journal = \/elsewhere: the daemon reads/);
  });

  test("finds a setting that is there only as openchange_*", async (t) => {
    if (readFileSync(dovecot.config, "utf8").includes("dovecot_config_version")) {
      return t.skip("Dovecot 2.4 itself refuses a setting that it does not know");
    }
    const finding = await wrong(...withSetting("ocnotify_cn = email"));
    assert.deepEqual([finding.part, finding.state, finding.remedy], ["settings", "warning", "write openchange_cn"]);
    assert.match(finding.message, /^ocnotify_cn = email: the plugin has no setting of that name/);
  });

  test("finds a plugin that is not there, or not for this Dovecot", async () => {
    const folder = join(dovecot.folder, "modules");
    const plugins = join(dovecot.folder, "plugins");
    mkdirSync(plugins);
    copyFileSync(join(folder, "lib15_notify_plugin.so"), join(plugins, "lib15_notify_plugin.so"));
    const config = configWith(`mail_plugin_dir = ${folder}`, `mail_plugin_dir = ${plugins}`);
    const missing = await wrong(...config);
    assert.match(missing.message, /has no lib20_openchange_plugin\.so/);
    const file = join(plugins, "lib20_openchange_plugin.so");
    const bytes = readFileSync(join(folder, "lib20_openchange_plugin.so"), "latin1");
    writeFileSync(file, bytes.replace(/\d\.\d\.ABIv/, "1.9.ABIv"), "latin1");
    const foreign = await wrong(...config);
    unlinkSync(file);
    assert.match(foreign.message, /is built for Dovecot 1\.9\.ABIv/);
  });

  test("finds a copy of the plugin where its second name should be a link, or a link that leads nowhere", async () => {
    const folder = join(dovecot.folder, "modules");
    const plugins = join(dovecot.folder, "copies");
    mkdirSync(plugins);
    for (const file of ["lib15_notify_plugin.so", "lib20_openchange_plugin.so", "lib20_ocnotify_plugin.so"]) {
      copyFileSync(join(folder, file), join(plugins, file));
    }
    const config = configWith(`mail_plugin_dir = ${folder}`, `mail_plugin_dir = ${plugins}`);
    const copy = await wrong(...config);
    assert.deepEqual([copy.code, copy.part], [1, "plugin"]);
    assert.match(copy.message, /lib20_ocnotify_plugin\.so and \S+ are two files: .* twice/);
    const link = join(plugins, "lib20_ocnotify_plugin.so");
    execFileSync("sh", ["-c", (copy.remedy ?? "").replace(/ && .*/, "")]);
    assert.equal((await check(...config)).code, 0, "the remedy helps");
    unlinkSync(link);
    symlinkSync("nowhere.so", link);
    const { findings } = await check(...configNamed(config, "ocnotify"));
    const first = findings.find(({ state }) => state === "fault");
    assert.match(first?.message ?? "", /has no lib20_ocnotify_plugin\.so/);
  });

  test("finds a journal that mail users cannot write to, or that is missing", async () => {
    chmodSync(dovecot.journalDir, 0o755);
    const closed = await wrong();
    chmodSync(dovecot.journalDir, 0o3733);
    assert.deepEqual([closed.code, closed.part], [1, "journal"]);
    assert.match(closed.message, /has mode 755: mail users cannot append/);
    const { findings } = await check("--journal", "/nonexistent/journal");
    assert.ok(findings.some(({ part, message }) => part === "journal" && message.includes("does not exist")));
  });

  test("says of which file it speaks, or that there is none, and finds values of no use in it", async (t) => {
    const file = writeConfig(dovecot.folder, { destinations: { a: { charset: "nonsense" } } });
    const unusable = await wrong("--config", file);
    assert.deepEqual([unusable.code, unusable.part], [1, "daemon"]);
    assert.ok(unusable.message.startsWith(`${file}: destinations.a.charset: "nonsense" is not a charset`));
    const { findings } = await check("--config", writeConfig(dovecot.folder, {}));
    assert.ok(findings.some(({ message }) => message === `its configuration ${file} is right`));
    if (existsSync(DEFAULT_CONFIG_FILE)) return t.skip(`there is a ${DEFAULT_CONFIG_FILE}`);
    const none = (await check()).findings.map(({ message }) => message);
    assert.ok(none.includes(`there is no ${DEFAULT_CONFIG_FILE}: the defaults are in effect`));
  });

  test("advises to start a daemon that is stopped, and to look after one that hangs", async () => {
    const folder = join(dovecot.folder, "hangs");
    mkdirSync(folder);
    const silent = createServer().listen(join(folder, "status.sock"));
    await once(silent, "listening");
    const hangs = (await check("--state-dir", folder)).findings.find(({ state }) => state === "fault");
    silent.close();
    assert.match(hangs?.message ?? "", /no answer within/);
    assert.match(hangs?.remedy ?? "", /^journalctl -u ocnotify, then systemctl restart/);
    const stopped = (await check("--state-dir", "/nonexistent")).findings.find(({ state }) => state === "fault");
    assert.match(stopped?.remedy ?? "", /^systemctl start ocnotify/);
  });

  test("finds a Dovecot whose configuration cannot be read, or none", async () => {
    const broken = await wrong(...configWith("protocols = lmtp", "nonsense"), "--server", memcached.config);
    assert.deepEqual([broken.code, broken.part], [1, "dovecot"]);
    const none = await wrong("--doveconf", "/nonexistent/doveconf", "--server", memcached.config);
    assert.match(none.message, /is not there/);
    const { code } = await check("--no-dovecot", "--server", memcached.config);
    assert.equal(code, 0);
  });
});
