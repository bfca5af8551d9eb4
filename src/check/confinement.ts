import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { processLabel } from "../journal/remedy.ts";
import { fault, ok, warning, type Finding } from "./finding.ts";

/** Runs `doveconf` with these arguments and resolves with what it prints. */
type Doveconf = (...args: string[]) => Promise<string>;

/**
 * Whether the mail processes, which may be confined, see the same journal as everybody else: in the chroots that Dovecot's
 * configuration allows, and as the running master sees it.
 */
export async function checkConfinement(doveconf: Doveconf, journal: string): Promise<Finding[]> {
  if (identity(journal) === undefined) return [];
  const value = async (name: string): Promise<string> => (await doveconf("-h", name)).trim();
  const always = await value("mail_chroot");
  const possible = (await value("valid_chroot_dirs")).split(/[\s:]+/).filter((root) => root !== "");
  const findings = chrootFindings(always, possible, journal);
  const pid = masterPid(await value("base_dir"));
  if (pid !== undefined) findings.push(...masterFindings(pid, journal));
  return findings;
}

/**
 * @param always `mail_chroot`, into which every mail process goes; "" is none
 * @param possible `valid_chroot_dirs`, into which the userdb may send a user's processes
 */
export function chrootFindings(always: string, possible: readonly string[], journal: string): Finding[] {
  const isMissing = (root: string): boolean => identity(join(root, journal)) !== identity(journal);
  const mount = (root: string): string => {
    const inside = join(root, journal);
    return `mkdir -p ${inside} && mount --bind ${journal} ${inside}, and the same in /etc/fstab`;
  };
  const findings: Finding[] = [];
  // With a variable in it, each user has a chroot of his own.
  if (always !== "" && (always.includes("%") || isMissing(always))) {
    const told = `mail_chroot = ${always}: mail processes do not see ${journal} there, so nothing is recorded`;
    findings.push(fault("journal", told, always.includes("%") ? "do without mail_chroot" : mount(always)));
  }
  for (const root of possible.filter(isMissing)) {
    const told = `of users whom the userdb sends into the chroot ${root}, nothing is recorded: ${journal} is not there`;
    findings.push(warning("journal", told, mount(root)));
  }
  return findings;
}

/** What the running master of Dovecot sees, and so its children; nothing when this process may not look. */
export function masterFindings(pid: number, journal: string): Finding[] {
  const root = `/proc/${pid}/root`;
  if (identity(root) === undefined) return [];
  const unit = "systemctl cat dovecot";
  if (identity(join(root, journal)) !== identity(journal)) {
    const told = `Dovecot (pid ${pid}) does not see ${journal}, which is there: nothing is recorded`;
    const remedy = `systemd hides it from Dovecot (PrivateTmp=, ProtectHome=, TemporaryFileSystem= or InaccessiblePaths= in ${unit}), or Dovecot is in a container: name another directory, or show it there (BindPaths=${journal})`;
    return [fault("journal", told, remedy)];
  }
  if (isReadOnly(pid, journal)) {
    const told = `Dovecot (pid ${pid}) sees ${journal} read-only: nothing is recorded`;
    const remedy = `if ProtectSystem= or ReadOnlyPaths= in ${unit} makes it so: systemctl edit dovecot, below [Service] ReadWritePaths=${journal}`;
    return [fault("journal", told, remedy)];
  }
  const label = processLabel(pid);
  if (label === undefined) return [];
  return [ok("journal", `Dovecot runs as ${label}, which must let mail processes write ${join(journal, "*.ndjson")}`)];
}

function masterPid(baseDir: string): number | undefined {
  try {
    const pid = Number(readFileSync(join(baseDir, "master.pid"), "utf8"));
    return Number.isInteger(pid) && pid > 0 ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** Which directory it is, whatever its name; undefined when it cannot be looked at. */
function identity(path: string): string | undefined {
  try {
    const { dev, ino } = statSync(path);
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}

/** Whether the mount that has the directory is read-only for the process (proc(5), mountinfo). */
function isReadOnly(pid: number, directory: string): boolean {
  let mounts: string[][];
  try {
    mounts = readFileSync(`/proc/${pid}/mountinfo`, "utf8")
      .split("\n")
      .map((line) => line.split(" "));
  } catch {
    return false;
  }
  let best = { point: "", options: "" };
  for (const [, , , , escaped = "", options = ""] of mounts) {
    const point = escaped.replaceAll(/\\(\d{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    const has = point === "/" || directory === point || directory.startsWith(`${point}/`);
    // The last of several at one place is the one that is seen.
    if (has && point.length >= best.point.length) best = { point, options };
  }
  return best.options.split(",").includes("ro");
}
