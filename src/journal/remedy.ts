import { readFileSync, statSync } from "node:fs";

/** What of rwx is wanted. */
export const MAY = { read: 4, write: 2, search: 1 } as const;

/**
 * What to do about a file of the journal, or its directory, that this process cannot use. A process may be confined; then
 * the modes are in order already, and advice about them would lead nowhere.
 * @param wanted sum of `MAY`, which the modes of `path` must allow
 * @param usual the advice when they do not
 */
export function remedyOf(code: string | undefined, path: string, wanted: number, usual: string): string {
  if (code === "EROFS") {
    return `If only the daemon sees the file system read-only, put ReadWritePaths=${path} below [Service] with systemctl edit ocnotify`;
  }
  if (code === "EMFILE")
    return "Raise the limit of open files: LimitNOFILE= below [Service] with systemctl edit ocnotify";
  if (code === "ENFILE")
    return "The system has no file left to open: raise the sysctl fs.file-max, or find what opens that many";
  if (code === "ENOENT") {
    return `${usual}. If it is there, the daemon sees another file system: a container's, or what ProtectHome= and PrivateTmp= leave it (systemctl cat ocnotify)`;
  }
  if ((code === "EACCES" || code === "EPERM") && modesAllow(path, wanted)) return confinement(path, processLabel());
  return usual;
}

/** @param label what the kernel calls the process: see `processLabel` */
export function confinement(path: string, label: string | undefined): string {
  if (label === undefined) {
    return `The modes allow it, so something else refuses: AppArmor or SELinux (dmesg, ausearch -m avc), an ACL (getfacl ${path}), or systemd (systemctl cat ocnotify)`;
  }
  return label.includes("(")
    ? `The modes allow it, so it is the daemon's AppArmor profile ${label}: add "${path}{,/**} rw," to it and load it with apparmor_parser -r`
    : `The modes allow it, so it is SELinux, where the daemon is ${label}: ausearch -m avc shows what was refused`;
}

/** A profile of AppArmor (`name (enforce)`) or a context of SELinux; undefined for a process that has none. */
export function processLabel(pid: number | "self" = "self"): string | undefined {
  let label: string;
  try {
    label = readFileSync(`/proc/${pid}/attr/current`, "latin1").split(/[\0\n]/, 1)[0] ?? "";
  } catch {
    return undefined;
  }
  return label === "" || label === "unconfined" ? undefined : label;
}

function modesAllow(path: string, wanted: number): boolean {
  const euid = process.geteuid?.();
  try {
    const { uid, gid, mode } = statSync(path);
    if (euid === 0) return true;
    const groups = [process.getegid?.(), ...(process.getgroups?.() ?? [])];
    const shift = uid === euid ? 6 : groups.includes(gid) ? 3 : 0;
    return ((mode >> shift) & wanted) === wanted;
  } catch {
    return false;
  }
}
