import { lstatSync, statSync, type Stats } from "node:fs";
import { statfs } from "node:fs/promises";
import { dirname } from "node:path";
import type { Config } from "../config.ts";
import { lossesOf } from "../counters.ts";
import type { DeliveryStatus } from "../delivery/delivery.ts";
import { describeState } from "../delivery/state.ts";
import { loadKinds } from "../destinations/kinds.ts";
import { uidOfMailUser } from "../journal/owners.ts";
import { askStatus, type Status } from "../status.ts";
import { describeVersions, version, versions } from "../version.ts";
import { fault, ok, warning, type Finding } from "./finding.ts";

/** Below this the plugin stops recording (plugin/journal.c). */
const FLOOR_MIB = 16;
const LITTLE_MIB = 256;
const SLOW_SECONDS = 10;

/** Whether mail processes of any uid can append to the journal, the daemon can read it, and there is room. */
export async function checkJournal(path: string, status: Status | undefined): Promise<Finding[]> {
  const create = `install -d -o ocnotify -g ocnotify -m 3733 ${path}`;
  let stats: Stats;
  try {
    stats = lstatSync(path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return [fault("journal", `${path} does not exist: nothing is recorded`, create)];
    const remedy = code === "EACCES" ? "run this as root" : "correct journal.directory, or what is in the way there";
    return [fault("journal", `${path}: ${message}`, remedy)];
  }
  if (!stats.isDirectory()) return [fault("journal", `${path} is not a directory`, `remove it, then: ${create}`)];
  const findings = modeFindings(path, stats.mode, create);
  const closed = parents(path).find((parent) => (statSync(parent).mode & 0o001) === 0);
  if (closed !== undefined) {
    findings.push(fault("journal", `${closed} lets not every mail user through to ${path}`, `chmod o+x ${closed}`));
  }
  findings.push(...readerFindings(path, stats, status));
  if (findings.length === 0) {
    findings.push(ok("journal", `${path}: every mail user can append, and the daemon can read`));
  }
  findings.push(await checkSpace(path));
  return findings;
}

function modeFindings(path: string, mode: number, create: string): Finding[] {
  const octal = (mode & 0o7777).toString(8);
  if ((mode & 0o003) !== 0o003) {
    return [fault("journal", `${path} has mode ${octal}: mail users cannot append to it`, create)];
  }
  if ((mode & 0o1000) === 0) {
    return [fault("journal", `${path} has mode ${octal}: everybody can delete everybody's files`, create)];
  }
  if ((mode & 0o2000) === 0) {
    return [
      fault("journal", `${path} has mode ${octal}: what mail users write does not get the daemon's group`, create),
    ];
  }
  if ((mode & 0o044) !== 0) {
    return [warning("journal", `${path} has mode ${octal}: everybody can see who gets mail`, create)];
  }
  return [];
}

function parents(path: string): string[] {
  const parent = dirname(path);
  return parent === path ? [] : [...parents(parent), parent];
}

/** Lists with the owner's bits, reads segments (mode 0640) with the group's. */
function readerFindings(path: string, { uid, gid }: Stats, status: Status | undefined): Finding[] {
  const daemon = status === undefined ? undefined : processOwner(status.pid);
  if (daemon === undefined || daemon.uid === 0) return [];
  const remedy = `chown ${daemon.uid}:${daemon.gid} ${path}`;
  if (uid !== daemon.uid) {
    return [
      fault("journal", `${path} belongs to uid ${uid}, and the daemon is uid ${daemon.uid}: it cannot list it`, remedy),
    ];
  }
  if (gid !== daemon.gid) {
    return [
      warning(
        "journal",
        `${path} has the group ${gid}, and the daemon has ${daemon.gid}: it may not read what is there`,
        remedy,
      ),
    ];
  }
  return [];
}

function processOwner(pid: number): { uid: number; gid: number } | undefined {
  try {
    return statSync(`/proc/${pid}`);
  } catch {
    return undefined;
  }
}

async function checkSpace(path: string): Promise<Finding> {
  const { bavail, bsize, blocks } = await statfs(path);
  const free = Math.floor((bavail * bsize) / 1024 / 1024);
  const remedy = `free some: df -h ${path}`;
  if (blocks > 0 && free < FLOOR_MIB) {
    return fault("space", `${free} MiB are free: below ${FLOOR_MIB} the plugin records nothing`, remedy);
  }
  if (blocks > 0 && free < LITTLE_MIB) return warning("space", `only ${free} MiB are free for the journal`, remedy);
  return ok("space", `${free} MiB are free for the journal`);
}

/** What to do about a daemon that was asked in vain. */
function statusRemedy({ cause }: Error): string {
  switch ((cause as NodeJS.ErrnoException | undefined)?.code) {
    case "EACCES":
      return "run this as root";
    case "ENOENT":
    case "ECONNREFUSED":
      return "systemctl start ocnotify, then systemctl status ocnotify. What is recorded waits for it";
    default:
      return "journalctl -u ocnotify, then systemctl restart ocnotify. What is recorded waits for it";
  }
}

/** Whether the daemon runs, and how far behind it is. */
export async function checkDaemon(config: Config): Promise<{ findings: Finding[]; status: Status | undefined }> {
  let status: Status;
  try {
    status = await askStatus(config.state_directory);
  } catch (error) {
    return { findings: [fault("daemon", (error as Error).message, statusRemedy(error as Error))], status: undefined };
  }
  const findings: Finding[] = [];
  const running = describeVersions(status.version, status.node);
  if (running !== versions) {
    const told = `the daemon that runs is ${running}, and this is ${versions}`;
    findings.push(warning("daemon", told, "systemctl restart ocnotify"));
  }
  if (status.journal.directory !== config.journal.directory) {
    const told = `the daemon reads ${status.journal.directory}, and its configuration says ${config.journal.directory}`;
    findings.push(fault("daemon", told, "systemctl restart ocnotify"));
  }
  findings.push(ok("daemon", `it runs (pid ${status.pid}) since ${status.since}`));
  if (status.journal.inotify === "silent") {
    const told = `inotify does not tell the daemon of changes in ${status.journal.directory}: it lists the directory every second`;
    const remedy =
      "put the journal on a local file system (not NFS, virtiofs or an overlay); journalctl -u ocnotify says if a limit is the cause";
    findings.push(warning("daemon", told, remedy));
  }
  for (const [name, destination] of Object.entries(status.destinations)) {
    findings.push(...stateFindings(name, destination));
    const { lagRecords, lagSeconds, unreadBytes } = destination;
    const behind = `${name} is ${lagRecords} records and ${lagSeconds.toFixed(1)} s behind, ${unreadBytes} bytes are not read`;
    findings.push(
      lagSeconds > SLOW_SECONDS
        ? warning("daemon", behind, "ocnotify status, journalctl -u ocnotify: a server or a memcached does not answer")
        : ok("daemon", behind),
    );
  }
  const mailUids = new Set<number>();
  for (const user of config.journal.mail_users) {
    try {
      mailUids.add(await uidOfMailUser(user));
    } catch (error) {
      if (user === "vmail") continue;
      findings.push(warning("daemon", (error as Error).message, "correct journal.mail_users"));
    }
  }
  // What another version counts, and means, need not be this one's.
  if (status.version === version) findings.push(...(await lossFindings(status, mailUids)));
  return { findings, status };
}

function stateFindings(name: string, { state }: DeliveryStatus): Finding[] {
  if (state.name === "delivering") return [];
  const message = `${name} is ${describeState(state)}`;
  if (state.name === "held") return [fault("daemon", message, "journalctl -u ocnotify says more")];
  const kept = "nothing is notified, and the journal keeps what is recorded";
  return [warning("daemon", `${message}: ${kept}`, `ocnotify resume ${name}`)];
}

async function lossFindings(status: Status, mailUids: ReadonlySet<number>): Promise<Finding[]> {
  const kinds = await loadKinds(Object.values(status.destinations).map(({ type }) => type));
  return lossesOf(status, kinds).map(({ destination, counter, state, message, remedy }) => {
    const finding = state === "fault" ? fault : warning;
    if (destination === undefined) return finding("journal", message, remedy);
    const left = status.destinations[destination]?.left ?? [];
    const isNamed = counter === "leftSegments" && left.some(({ uid }) => mailUids.has(uid));
    const restart = "systemctl restart ocnotify: journal.mail_users has been changed since it was started";
    const since = state === "warning" ? ", since its start" : "";
    return finding("daemon", `${destination}${since}: ${message}`, isNamed ? restart : remedy);
  });
}
