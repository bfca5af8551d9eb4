import { execFileSync, spawn } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join, resolve } from "node:path";
import { freePort } from "./ports.ts";
import { waitFor } from "./wait.ts";

/** Where `make -C plugin` leaves what it builds. */
const BUILD_FOLDER = resolve(import.meta.dirname, "../../plugin");
const PASSWORD = "secret";
/** Debian has it where an ordinary user's PATH does not look. */
const DOVECOT =
  [...(process.env["PATH"] ?? "").split(":"), "/usr/local/sbin", "/usr/sbin"]
    .map((path) => join(path, "dovecot"))
    .find((path) => existsSync(path)) ?? "dovecot";
/** `nobody`: any uid that is not root's will do, Dovecot refuses to serve mail as root. */
const DEFAULT_MAIL_UID = 65534;
const READY_TIMEOUT_MS = 20_000;

/** One line of the journal, not yet judged: tests assert on what is really there. */
export type JournalRecord = Record<string, unknown> & {
  event: string;
  user: string;
  uids?: string;
  mailbox?: string;
};

export interface DovecotUser {
  name: string;
  /** Owner of the mail. Only root can give one; anybody else is served under the own uid. */
  uid?: number;
  /** Settings that the userdb gives this user, for example `{ openchange_cn: "email" }`. */
  settings?: Record<string, string>;
}

export interface DovecotOptions {
  users?: readonly (string | DovecotUser)[];
  protocols?: readonly ("lmtp" | "imap" | "pop3" | "sieve")[];
  format?: "maildir" | "sdbox" | "mdbox";
  /** For every program, doveadm too. */
  mailPlugins?: readonly string[];
  /** Instead of `mailPlugins` in `protocol <name> { }`. */
  protocolPlugins?: Record<string, readonly string[]>;
  /** Plugin settings. `openchange_journal` is the instance's own unless a journal is named here; "" leaves it out. */
  settings?: Record<string, string>;
  /** The separator of the private namespace. */
  separator?: string;
  /** The prefix of the private namespace. */
  prefix?: string;
  /** More configuration, in the syntax of the running version. */
  extra?: (context: { folder: string; is24: boolean }) => string;
}

export interface RunningDovecot {
  folder: string;
  config: string;
  journalDir: string;
  imapPort: number;
  pop3Port: number;
  lmtpPort: number;
  sievePort: number;
  /** Pid of the master. */
  pid: number;
  password: string;
  home: (user: string) => string;
  /** Everything logged so far; whole only after `stop()`, since Dovecot logs through a process of its own. */
  log: () => string;
  doveadm: (args: readonly string[], input?: string) => Promise<CommandResult>;
  records: () => JournalRecord[];
  /** Forgets the records so far. */
  clearJournal: () => void;
  stop: () => Promise<void>;
  /** `stop()`, and the folder is gone. */
  remove: () => Promise<void>;
}

export interface CommandResult {
  code: number;
  stdout: string;
  stderr: string;
}

/** `[major, minor]` of the installed Dovecot. */
function dovecotVersion(): [number, number] {
  const match = /^(\d+)\.(\d+)/.exec(execFileSync(DOVECOT, ["--version"], { encoding: "utf8" }));
  if (match === null) throw new Error("dovecot --version says no version");
  return [Number(match[1]), Number(match[2])];
}

/** Runs a program to its end; a code other than 0 is for the caller to judge. */
export async function run(
  command: string,
  args: readonly string[],
  input: string | Buffer = "",
): Promise<CommandResult> {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"] });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
  // A program that ends without reading its input is no error of ours.
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  const code = await new Promise<number>((done, fail) => {
    child.once("error", fail);
    child.once("close", (status) => {
      done(status ?? -1);
    });
  });
  return { code, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() };
}

/** The journal's records: segments by time bucket, then by writer, each in the order written. */
export function readJournal(folder: string): JournalRecord[] {
  const files = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isFile());
  const names = files.map(({ name }) => name).filter((name) => name.endsWith(".ndjson"));
  names.sort((a, b) => {
    const [bucketA = 0, uidA = 0] = a.split(".", 2).map(Number);
    const [bucketB = 0, uidB = 0] = b.split(".", 2).map(Number);
    return bucketA - bucketB || uidA - uidB;
  });
  return names
    .flatMap((name) => readFileSync(join(folder, name), "utf8").split("\n"))
    .filter((line) => line !== "")
    .map(parseRecord);
}

function parseRecord(line: string): JournalRecord {
  const record: unknown = JSON.parse(line);
  if (!isRecord(record)) throw new Error(`no record: ${line}`);
  return record;
}

function isRecord(value: unknown): value is JournalRecord {
  return typeof value === "object" && value !== null && "event" in value && "user" in value;
}

/** A mail of one's own wording, with the CRLF of the wire. */
export function mail(subject: string, messageId: string, body = "hello", from = "Anna <anna@example.org>"): string {
  return [
    `From: ${from}`,
    "To: somebody@example.org",
    `Subject: ${subject}`,
    `Message-ID: ${messageId}`,
    "Date: Mon, 23 Nov 2026 10:00:00 +0000",
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=utf-8",
    "",
    body,
    "",
  ].join("\r\n");
}

/** `dovecot-lda -d user`, as a mail transfer agent runs it. */
export async function deliverLda(
  dovecot: RunningDovecot,
  delivery: { user: string; mail: string; folder?: string },
): Promise<CommandResult> {
  const folder = delivery.folder === undefined ? [] : ["-m", delivery.folder];
  const args = ["-c", dovecot.config, "-d", delivery.user, "-f", "sender@example.org", ...folder];
  return run(join(dovecotFolder(), "dovecot-lda"), args, delivery.mail.replaceAll("\r\n", "\n"));
}

/**
 * Delivers mails over one LMTP connection, which one process serves. Resolves with the final reply to each recipient of each mail.
 */
export async function lmtpDeliver(
  dovecot: RunningDovecot,
  mails: readonly { to: readonly string[]; mail: string }[],
): Promise<string[]> {
  const socket = connect(dovecot.lmtpPort, "127.0.0.1");
  try {
    const lines = replies(socket);
    const reply = async (): Promise<string> => {
      const { value, done } = await lines.next();
      if (done === true) throw new Error("the LMTP server closed the connection");
      return value;
    };
    const command = async (line: string): Promise<string> => {
      socket.write(`${line}\r\n`);
      return reply();
    };
    const results: string[] = [];
    await reply();
    await command("LHLO localhost");
    for (const { to, mail: text } of mails) {
      await command("MAIL FROM:<sender@example.org>");
      let accepted = 0;
      for (const recipient of to) {
        const answer = await command(`RCPT TO:<${recipient}>`);
        if (answer.startsWith("2")) accepted += 1;
        else results.push(answer);
      }
      if (accepted === 0) continue;
      await command("DATA");
      const last = text.endsWith("\r\n") ? text : `${text}\r\n`;
      socket.write(`${last.replaceAll(/^\./gm, "..")}.\r\n`);
      for (; accepted > 0; accepted -= 1) results.push(await reply());
    }
    await command("QUIT");
    return results;
  } finally {
    socket.destroy();
  }
}

/** Each reply's last line (LMTP, POP3 without multi-line answers). */
async function* replies(socket: Socket): AsyncGenerator<string, undefined> {
  let rest = "";
  socket.setEncoding("utf8");
  for await (const chunk of socket) {
    const lines = (rest + String(chunk)).split("\r\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (!/^\d{3}-/.test(line)) yield line;
  }
  return undefined;
}

/** Sends POP3 commands one by one and resolves with their status lines; for commands with one-line answers. */
export async function pop3(dovecot: RunningDovecot, user: string, commands: readonly string[]): Promise<string[]> {
  const socket = connect(dovecot.pop3Port, "127.0.0.1");
  try {
    const lines = replies(socket);
    const answers: string[] = [];
    await lines.next();
    for (const command of [`USER ${user}`, `PASS ${dovecot.password}`, ...commands, "QUIT"]) {
      socket.write(`${command}\r\n`);
      const { value, done } = await lines.next();
      if (done === true) throw new Error(`the POP3 server closed the connection at ${command}`);
      answers.push(value);
    }
    return answers;
  } finally {
    socket.destroy();
  }
}

/**
 * Logs in over ManageSieve (RFC 5804), sends the commands one by one and resolves with their final lines (`OK`, `NO`).
 */
export async function manageSieve(
  dovecot: RunningDovecot,
  user: string,
  commands: readonly string[],
): Promise<string[]> {
  const socket = connect(dovecot.sievePort, "127.0.0.1");
  try {
    const lines = replies(socket);
    const answer = async (after: string): Promise<string> => {
      for (;;) {
        const { value, done } = await lines.next();
        if (done === true) throw new Error(`the ManageSieve server closed the connection at ${after}`);
        if (/^(OK|NO|BYE)\b/.test(value)) return value;
      }
    };
    const answers: string[] = [];
    await answer("the greeting");
    const login = Buffer.from(`\0${user}\0${dovecot.password}`).toString("base64");
    for (const command of [`AUTHENTICATE "PLAIN" "${login}"`, ...commands, "LOGOUT"]) {
      socket.write(`${command}\r\n`);
      answers.push(await answer(command));
    }
    return answers;
  } finally {
    socket.destroy();
  }
}

/** Folder of dovecot-lda and its like. */
function dovecotFolder(): string {
  const folder = ["/usr/lib/dovecot", "/usr/libexec/dovecot"].find((path) => existsSync(join(path, "dovecot-lda")));
  if (folder === undefined) throw new Error("dovecot-lda is not installed");
  return folder;
}

/**
 * A module folder with the system's modules and the plugin that was built here, so that nothing must be installed.
 * Not for the settings module of 2.4: `doveconf` looks for it in the system's folder only.
 */
function makeModuleFolder(folder: string): void {
  const system = execFileSync("sh", ["-c", `. ${dovecotFolder()}/dovecot-config && printf %s "$dovecot_moduledir"`], {
    encoding: "utf8",
  });
  const plugins = ["lib20_openchange_plugin.so", "lib20_ocnotify_plugin.so"];
  mkdirSync(folder);
  for (const name of readdirSync(system)) {
    if (!plugins.includes(name)) symlinkSync(join(system, name), join(folder, name));
  }
  for (const plugin of plugins) {
    if (!existsSync(join(BUILD_FOLDER, plugin))) throw new Error(`${plugin} is not built: make -C plugin`);
    symlinkSync(join(BUILD_FOLDER, plugin), join(folder, plugin));
  }
}

interface Instance {
  folder: string;
  options: DovecotOptions;
  settings: Record<string, string>;
  ports: { imap: number; pop3: number; lmtp: number; sieve: number };
  isRoot: boolean;
}

const listen = (name: string, port: number, is24: boolean): string =>
  `  inet_listener ${name} {\n${is24 ? "    listen = 127.0.0.1\n" : "    address = 127.0.0.1\n"}    port = ${port}\n  }\n`;

/** What both syntaxes have in common. */
function commonConfig({ folder, options, ports, isRoot }: Instance, is24: boolean): string {
  const { protocols = ["lmtp", "imap", "pop3"] } = options;
  const me = userInfo().username;
  const group = isRoot ? "" : execFileSync("id", ["-gn"], { encoding: "utf8" }).trim();
  const login = (name: string, port: number, service = name): string =>
    `service ${service}-login {\n  chroot =\n${listen(name, port, is24)}${listen(`${name}s`, 0, is24)}}\n`;
  const mode = "mode = 0666";
  return `
base_dir = ${folder}/run
state_dir = ${folder}/state
log_path = ${folder}/log
protocols = ${protocols.join(" ")}
listen = 127.0.0.1
ssl = no
first_valid_uid = 1
mail_plugin_dir = ${folder}/modules
${isRoot ? "" : `default_internal_user = ${me}\ndefault_login_user = ${me}\ndefault_internal_group = ${group}\n`}
service anvil {
  chroot =
}
service stats {
  chroot =
}
service auth {
  unix_listener auth-userdb {
    ${mode}
  }
}
${protocols.includes("imap") ? login("imap", ports.imap) : ""}
${protocols.includes("pop3") ? login("pop3", ports.pop3) : ""}
${protocols.includes("sieve") ? login("sieve", ports.sieve, "managesieve") : ""}
${
  protocols.includes("lmtp")
    ? `service lmtp {\n${isRoot ? "" : `  user = ${me}\n`}${listen("lmtp", ports.lmtp, is24)}}\nprotocol lmtp {\n  auth_username_format = %${is24 ? "{user}" : "u"}\n}\n`
    : ""
}
`;
}

function config23(instance: Instance): string {
  const { folder, options } = instance;
  const { format = "maildir", mailPlugins = ["notify", "openchange"], separator = "/", prefix = "" } = options;
  const protocolPlugins = Object.entries(options.protocolPlugins ?? {}).map(
    ([name, plugins]) => `protocol ${name} {\n  mail_plugins = ${plugins.join(" ")}\n}\n`,
  );
  const settings = Object.entries(instance.settings).map(([name, value]) => `  ${name} = ${value}\n`);
  return `${commonConfig(instance, false)}
disable_plaintext_auth = no
auth_username_chars =
mail_location = ${format}:~/mail
mail_plugins = ${mailPlugins.join(" ")}
namespace inbox {
  inbox = yes
  separator = ${separator}
  prefix = ${prefix}
}
passdb {
  driver = passwd-file
  args = scheme=PLAIN ${folder}/users
}
userdb {
  driver = passwd-file
  args = ${folder}/users
}
${protocolPlugins.join("")}
plugin {
${settings.join("")}}
`;
}

function config24(instance: Instance): string {
  const { folder, options } = instance;
  const { format = "maildir", mailPlugins = ["notify", "openchange"], separator = "/", prefix = "" } = options;
  const plugins = mailPlugins.map((name) => `  ${name} = yes\n`);
  // A block would add to the global list, a plain value replaces it.
  const protocolPlugins = Object.entries(options.protocolPlugins ?? {}).map(
    ([name, names]) => `protocol ${name} {\n  mail_plugins = ${names.join(" ")}\n}\n`,
  );
  const settings = Object.entries(instance.settings).map(([name, value]) => `${name} = ${value}\n`);
  return `dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
${commonConfig(instance, true)}
auth_allow_cleartext = yes
auth_username_chars =
mail_driver = ${format}
mail_path = ~/mail
mail_plugins {
${plugins.join("")}}
namespace inbox {
  inbox = yes
  separator = ${separator}
  prefix = ${prefix}
}
passdb passwd-file {
  passwd_file_path = ${folder}/users
}
userdb passwd-file {
  passwd_file_path = ${folder}/users
}
${protocolPlugins.join("")}
${settings.join("")}
`;
}

/** Writes the configuration, starts Dovecot in the foreground and waits until every listener greets. */
export async function startDovecot(options: DovecotOptions = {}): Promise<RunningDovecot> {
  const folder = mkdtempSync(join(tmpdir(), "ocnotify-dovecot-"));
  const isRoot = process.getuid?.() === 0;
  const [major, minor] = dovecotVersion();
  const is24 = major > 2 || minor >= 4;
  // Mail processes of any uid pass through here.
  chmodSync(folder, 0o755);
  for (const name of ["run", "state", "homes", "journal"]) mkdirSync(join(folder, name));
  chmodSync(join(folder, "journal"), 0o3733);
  makeModuleFolder(join(folder, "modules"));
  writeFileSync(join(folder, "log"), "");
  chmodSync(join(folder, "log"), 0o666);

  const home = (user: string): string => join(folder, "homes", user);
  for (const entry of options.users ?? ["jdoe", "anna"]) {
    const user = typeof entry === "string" ? { name: entry } : entry;
    const uid = isRoot ? (user.uid ?? DEFAULT_MAIL_UID) : (process.getuid?.() ?? 0);
    const gid = isRoot ? uid : (process.getgid?.() ?? 0);
    const extra = Object.entries(user.settings ?? {}).map(([name, value]) => ` userdb_${name}=${value}`);
    mkdirSync(home(user.name));
    if (isRoot) chownSync(home(user.name), uid, gid);
    appendFileSync(
      join(folder, "users"),
      `${user.name}:{PLAIN}${PASSWORD}:${uid}:${gid}::${home(user.name)}::${extra.join("").trim()}\n`,
    );
  }

  const journalDir = join(folder, "journal");
  const own = options.settings?.["ocnotify_journal"] === undefined ? { openchange_journal: journalDir } : {};
  const settings = { ...own, ...options.settings };
  const ports = { imap: await freePort(), pop3: await freePort(), lmtp: await freePort(), sieve: await freePort() };
  const instance: Instance = {
    folder,
    options,
    ports,
    isRoot,
    settings: Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== "")),
  };
  const config = join(folder, "dovecot.conf");
  writeFileSync(config, (is24 ? config24(instance) : config23(instance)) + (options.extra?.({ folder, is24 }) ?? ""));

  const child = spawn(DOVECOT, ["-F", "-c", config], { stdio: ["ignore", "ignore", "pipe"] });
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const ended = new Promise<void>((done) => {
    child.once("close", () => {
      done();
    });
  });
  const log = (): string => readFileSync(join(folder, "log"), "utf8");
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
    await ended;
  };
  const remove = async (): Promise<void> => {
    await stop();
    rmSync(folder, { recursive: true, force: true });
  };

  try {
    for (const protocol of options.protocols ?? (["lmtp", "imap", "pop3"] as const)) {
      await waitFor(
        `${protocol} to greet`,
        async () => {
          if (child.exitCode !== null) throw new Error(`dovecot ended:\n${stderr}\n${log()}`);
          return greets(ports[protocol]);
        },
        READY_TIMEOUT_MS,
      );
    }
  } catch (error) {
    const said = `${stderr}\n${log()}`;
    await remove();
    throw new Error(`Dovecot did not start:\n${said}`, { cause: error });
  }

  return {
    folder,
    config,
    journalDir,
    imapPort: ports.imap,
    pop3Port: ports.pop3,
    lmtpPort: ports.lmtp,
    sievePort: ports.sieve,
    pid: child.pid ?? 0,
    password: PASSWORD,
    home,
    log,
    doveadm: async (args, input) => run("doveadm", ["-c", config, ...args], input),
    records: () => readJournal(journalDir),
    clearJournal: () => {
      for (const name of readdirSync(journalDir)) rmSync(join(journalDir, name));
    },
    stop,
    remove,
  };
}

async function greets(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  return new Promise((done) => {
    const end = (result: boolean) => () => {
      socket.destroy();
      done(result);
    };
    socket.once("data", end(true));
    socket.once("error", end(false));
    socket.once("close", end(false));
  });
}
