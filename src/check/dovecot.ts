import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { parseConfigString } from "../protocols/memcached/config-string.ts";
import { checkConfinement } from "./confinement.ts";
import { fault, ok, warning, type Finding } from "./finding.ts";

const run = promisify(execFile);

const DELIVERIES = ["lda", "lmtp"] as const;
const PROTOCOLS = [...DELIVERIES, "imap", "pop3", "sieve", "doveadm"] as const;
const PLUGIN = "_openchange_plugin.so";
/** What enables the plugin: where the package puts it, and where `make install` does. */
const SNIPPET = ["/usr", "/usr/local"]
  .map((prefix) => `${prefix}/share/ocnotify/dovecot/99-ocnotify.conf`)
  .find((path) => existsSync(path));
const ENABLE =
  SNIPPET === undefined
    ? "enable it as docs/operations.md says, then doveadm reload"
    : `cp ${SNIPPET} /etc/dovecot/conf.d/ && doveadm reload`;

export interface DovecotOptions {
  /** The program `doveconf`. */
  readonly doveconf: string;
  /** A configuration file other than Dovecot's own. */
  readonly config: string | undefined;
  /** The journal that the daemon reads. */
  readonly journal: string;
}

export interface DovecotFindings {
  readonly findings: readonly Finding[];
  /** The plugin's settings, as far as they are set for everybody: `openchange_cn` and its like. */
  readonly settings: Readonly<Record<string, string>>;
}

/** Whether Dovecot's configuration names the plugin, with its settings right, and whether Dovecot can load it. */
export async function checkDovecot(options: DovecotOptions): Promise<DovecotFindings> {
  const doveconf = async (...args: string[]): Promise<string> => {
    const file = options.config === undefined ? [] : ["-c", options.config];
    return (await run(options.doveconf, [...file, ...args], { timeout: 20_000, maxBuffer: 16 * 1024 * 1024 })).stdout;
  };
  let changed: string;
  try {
    changed = await doveconf("-n");
  } catch (error) {
    const { code, stderr, message } = error as NodeJS.ErrnoException & { stderr?: string };
    const finding =
      code === "ENOENT"
        ? fault(
            "dovecot",
            `${options.doveconf} is not there`,
            "install Dovecot, or name its doveconf: --doveconf <file>",
          )
        : fault(
            "dovecot",
            `its configuration cannot be read: ${(stderr ?? message).trim().split("\n", 1)[0]}`,
            "run doveconf -n as root and repair what it says",
          );
    return { findings: [finding], settings: {} };
  }
  const version = /^# (\d+)\.(\d+)(\S*)/.exec(changed);
  const is24 = version !== null && (Number(version[1]) > 2 || Number(version[2]) >= 4);
  const findings = [ok("dovecot", `its configuration is read (${version?.[0].slice(2) ?? "version unknown"})`)];
  findings.push(...(await checkPlugins(doveconf)), ...(await checkModule(doveconf, is24)));
  const settings = Object.fromEntries(
    [...changed.matchAll(is24 ? /^(openchange_\w+) = (.*)$/gm : /^ {2}(openchange_\w+) = (.*)$/gm)].map(
      ([, name = "", value = ""]) => [name, value],
    ),
  );
  findings.push(...checkSettings(settings, options.journal));
  findings.push(...(await checkConfinement(doveconf, settings["openchange_journal"] || options.journal)));
  return { findings, settings };
}

type Doveconf = (...args: string[]) => Promise<string>;

async function checkPlugins(doveconf: Doveconf): Promise<Finding[]> {
  const everywhere = plugins(await doveconf("mail_plugins"));
  const enabled: string[] = [];
  const findings: Finding[] = [];
  for (const protocol of PROTOCOLS) {
    const own = plugins(await doveconf("-f", `protocol=${protocol}`, "mail_plugins"));
    // On 2.4 a block adds to the global list, and only the block is shown.
    const all = new Set(own.adds ? [...everywhere.names, ...own.names] : own.names);
    if (!all.has("openchange")) continue;
    enabled.push(protocol);
    if (!all.has("notify")) {
      findings.push(
        fault(
          "plugin",
          `protocol ${protocol} has openchange in its mail_plugins without notify, so nothing is delivered there`,
          "put notify before openchange",
        ),
      );
    }
  }
  if (enabled.length === 0) {
    return [fault("plugin", "no protocol has openchange in its mail_plugins: nothing is recorded", ENABLE)];
  }
  const named = `in the mail_plugins of ${enabled.join(", ")}`;
  findings.push(
    DELIVERIES.some((protocol) => enabled.includes(protocol))
      ? ok("plugin", named)
      : warning("plugin", `${named}, but of neither lda nor lmtp: new mail is not recorded`, ENABLE),
  );
  return findings;
}

/** `mail_plugins = a b`, or on 2.4 a block with a line for each, which may also be empty. */
function plugins(output: string): { names: string[]; adds: boolean } {
  const block = /^\s*mail_plugins\s*\{([^}]*)\}/m.exec(output);
  if (block === null) {
    const list = /^\s*mail_plugins\s*=(.*)$/m.exec(output)?.[1] ?? "";
    // 2.3 quotes a list that begins with a space, as `$mail_plugins notify` makes it of an empty one.
    return { names: list.replaceAll('"', "").trim().split(/\s+/), adds: false };
  }
  const names = [...(block[1] ?? "").matchAll(/^\s*(\S+)\s*=\s*yes\s*$/gm)].map(([, name = ""]) => name);
  return { names, adds: true };
}

async function checkModule(doveconf: Doveconf, is24: boolean): Promise<Finding[]> {
  const folder = (await doveconf("-h", "mail_plugin_dir")).trim();
  let files: string[];
  try {
    files = readdirSync(folder);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const remedy = code === "EACCES" ? "run this as root" : "install Dovecot's modules, or correct mail_plugin_dir";
    return [fault("plugin", `mail_plugin_dir ${folder}: ${message}`, remedy)];
  }
  const file = files.find((name) => name.endsWith(PLUGIN));
  if (file === undefined) {
    return [
      fault(
        "plugin",
        `${folder} has no lib20${PLUGIN}. Dovecot delivers nothing while its configuration names the plugin`,
        "install the package ocnotify, or make -C plugin install",
      ),
    ];
  }
  const findings: Finding[] = [];
  const notify = files.find((name) => name.endsWith("_notify_plugin.so"));
  const ours = abi(join(folder, file));
  const theirs = notify === undefined ? undefined : abi(join(folder, notify));
  if (theirs !== undefined && ours !== theirs) {
    findings.push(
      fault(
        "plugin",
        `${join(folder, file)} is built for Dovecot ${ours ?? "of an unknown version"}, and this is ${theirs}: Dovecot does not load it`,
        "install the package for this release, or build the plugin anew: make -C plugin clean install",
      ),
    );
  } else {
    findings.push(ok("plugin", `${join(folder, file)} is for this Dovecot${ours === undefined ? "" : ` (${ours})`}`));
  }
  if (is24 && !(await doveconf("openchange_cn")).includes("openchange_cn")) {
    findings.push(
      fault(
        "settings",
        "Dovecot does not know the settings openchange_*: lib20_openchange_settings.so is not in the folder settings beside its modules",
        "install the package ocnotify, or make -C plugin install",
      ),
    );
  }
  return findings;
}

/** What a module says that it is built for, `2.3.ABIv19(2.3.19.1)` or `2.4.ABIv1`; a module of another one is refused. */
function abi(file: string): string | undefined {
  return /\b\d+\.\d+\.ABIv\d+(?:\([\d.]+\))?/.exec(readFileSync(file, "latin1"))?.[0];
}

const WORDS = {
  openchange_events:
    "save copy delete undelete expunge flag_change mailbox_create mailbox_delete mailbox_rename mailbox_subscribe mailbox_unsubscribe",
  openchange_fields: "uid box msgid size from subject flags",
} as const;

function checkSettings(settings: Readonly<Record<string, string>>, journal: string): Finding[] {
  const findings: Finding[] = [];
  const wrong = (name: string, why: string): void => {
    findings.push(fault("settings", `${name} = ${settings[name]}: ${why}`, `correct it in Dovecot's configuration`));
  };
  const { openchange_cn: cn = "", openchange_journal: directory = "", openchange_resolver: resolver = "" } = settings;
  if (!["", "username", "email"].includes(cn)) wrong("openchange_cn", "must be username or email");
  for (const [name, words] of Object.entries(WORDS)) {
    const known = words.split(" ");
    const strange = (settings[name] ?? "").split(/[ ,\t]+/).find((word) => word !== "" && !known.includes(word));
    if (strange !== undefined) wrong(name, `"${strange}" is none of: ${words}`);
  }
  const fields = (settings["openchange_fields"] ?? "").split(/[ ,\t]+/).filter((word) => word !== "");
  if (fields.length > 0 && !fields.includes("uid")) {
    findings.push(
      warning(
        "settings",
        `openchange_fields = ${fields.join(" ")} has no uid: a server is told of no message, since it could not be named`,
        "add uid to openchange_fields in Dovecot's configuration",
      ),
    );
  }
  if (resolver !== "") {
    try {
      parseConfigString(resolver, { readFile: (path) => readFileSync(path, "utf8") });
    } catch (error) {
      wrong("openchange_resolver", (error as Error).message);
    }
  }
  if (directory !== "" && !directory.startsWith("/")) wrong("openchange_journal", "must be an absolute path");
  else if (directory !== "" && directory !== journal) {
    wrong("openchange_journal", `the daemon reads ${journal} (journal.directory in its configuration)`);
  }
  if (findings.length === 0) {
    const set = Object.entries(settings).map(([name, value]) => `${name} = ${value}`);
    findings.push(ok("settings", set.length === 0 ? "all openchange_* have their defaults" : set.join(", ")));
  }
  return findings;
}
