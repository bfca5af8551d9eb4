import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { checkConfinement } from "./confinement.ts";
import { checkSettings, dovecotSettings, settingInEffect, type DovecotSettings } from "./dovecot-settings.ts";
import { fault, ok, warning, type Finding } from "./finding.ts";

const run = promisify(execFile);

const DELIVERIES = ["lda", "lmtp"] as const;
const PROTOCOLS = [...DELIVERIES, "imap", "pop3", "sieve", "doveadm"] as const;
/** The plugin's names. Its file has the second, and a symbolic link the first. */
const NAMES = ["ocnotify", "openchange"] as const;
type Name = (typeof NAMES)[number];
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
  readonly settings: DovecotSettings;
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
  const { named, findings: ofPlugins } = await checkPlugins(doveconf);
  findings.push(...ofPlugins, ...(await checkModules(doveconf, named, is24)));
  const settings = dovecotSettings(changed, is24);
  findings.push(...checkSettings(settings, options.journal));
  findings.push(...(await checkConfinement(doveconf, settingInEffect(settings, "journal").value || options.journal)));
  return { findings, settings };
}

type Doveconf = (...args: string[]) => Promise<string>;

/** @returns the names of the plugin that `mail_plugins` of any protocol has */
async function checkPlugins(doveconf: Doveconf): Promise<{ named: readonly Name[]; findings: Finding[] }> {
  const everywhere = plugins(await doveconf("mail_plugins"));
  /** The protocols that have each name. */
  const enabled = new Map<Name, string[]>(NAMES.map((name) => [name, []]));
  const findings: Finding[] = [];
  for (const protocol of PROTOCOLS) {
    const own = plugins(await doveconf("-f", `protocol=${protocol}`, "mail_plugins"));
    // On 2.4 a block adds to the global list, and only the block is shown.
    const all = new Set(own.adds ? [...everywhere.names, ...own.names] : own.names);
    const names = NAMES.filter((name) => all.has(name));
    for (const name of names) enabled.get(name)?.push(protocol);
    if (names.length > 0 && !all.has("notify")) {
      findings.push(
        fault(
          "plugin",
          `protocol ${protocol} has ${names.join(" and ")} in its mail_plugins without notify, so nothing is delivered there`,
          `put notify before ${names.join(" and ")}`,
        ),
      );
    }
  }
  const named = NAMES.filter((name) => enabled.get(name)?.length !== 0);
  if (named.length === 0) {
    const none = "no protocol has ocnotify or openchange in its mail_plugins: nothing is recorded";
    return { named, findings: [fault("plugin", none, ENABLE)] };
  }
  const where = named.map((name) => `${name} in the mail_plugins of ${enabled.get(name)?.join(", ") ?? ""}`).join("; ");
  const protocols = new Set([...enabled.values()].flat());
  findings.push(
    DELIVERIES.some((protocol) => protocols.has(protocol))
      ? ok("plugin", where)
      : warning("plugin", `${where}, but of neither lda nor lmtp: new mail is not recorded`, ENABLE),
  );
  return { named, findings };
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

async function checkModules(doveconf: Doveconf, named: readonly Name[], is24: boolean): Promise<Finding[]> {
  const folder = (await doveconf("-h", "mail_plugin_dir")).trim();
  let files: string[];
  try {
    files = readdirSync(folder);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const remedy = code === "EACCES" ? "run this as root" : "install Dovecot's modules, or correct mail_plugin_dir";
    return [fault("plugin", `mail_plugin_dir ${folder}: ${message}`, remedy)];
  }
  const moduleOf = (name: string): string | undefined => {
    const file = files.find((each) => each.endsWith(`_${name}_plugin.so`));
    return file === undefined ? undefined : join(folder, file);
  };
  const findings: Finding[] = [];
  /** Modules that are files, by which file that is: a link that leads nowhere is none. */
  const modules = new Map<string, string>();
  for (const name of named.length === 0 ? NAMES : named) {
    const file = moduleOf(name);
    const id = file === undefined ? undefined : identity(file);
    if (file !== undefined && id !== undefined) {
      if (!modules.has(id)) modules.set(id, file);
      continue;
    }
    findings.push(
      fault(
        "plugin",
        `${folder} has no lib20_${name}_plugin.so. Dovecot delivers nothing while its configuration names the plugin ${name}`,
        "install the package ocnotify, or make -C plugin install",
      ),
    );
  }
  const notify = moduleOf("notify");
  const theirs = notify === undefined ? undefined : abi(notify);
  for (const file of modules.values()) {
    const ours = abi(file);
    findings.push(
      theirs === undefined || ours === theirs
        ? ok("plugin", `${file} is for this Dovecot${ours === undefined ? "" : ` (${ours})`}`)
        : fault(
            "plugin",
            `${file} is built for Dovecot ${ours ?? "of an unknown version"}, and this is ${theirs}: Dovecot does not load it`,
            "install the package for this release, or build the plugin anew: make -C plugin clean install",
          ),
    );
  }
  const [link = "", file = ""] = NAMES.map(moduleOf);
  if (identity(link) !== undefined && identity(file) !== undefined && identity(link) !== identity(file)) {
    findings.push(
      fault(
        "plugin",
        `${link} and ${file} are two files: a process that loads both records each change twice`,
        `ln -sfn ${basename(file)} ${link} && doveadm reload`,
      ),
    );
  }
  if (is24 && !(await doveconf("ocnotify_journal")).includes("ocnotify_journal")) {
    findings.push(
      fault(
        "settings",
        "Dovecot does not know the settings ocnotify_* and openchange_*: lib20_openchange_settings.so is not in the folder settings beside its modules, or is older than the plugin",
        "install the package ocnotify, or make -C plugin install",
      ),
    );
  }
  return findings;
}

/** Which file it is, whatever its name: Dovecot loads one file once. Undefined when it is not there. */
function identity(path: string): string | undefined {
  const file = statSync(path, { throwIfNoEntry: false });
  return file === undefined ? undefined : `${file.dev}:${file.ino}`;
}

/** What a module says that it is built for, `2.3.ABIv19(2.3.19.1)` or `2.4.ABIv1`; a module of another one is refused. */
function abi(file: string): string | undefined {
  return /\b\d+\.\d+\.ABIv\d+(?:\([\d.]+\))?/.exec(readFileSync(file, "latin1"))?.[0];
}
