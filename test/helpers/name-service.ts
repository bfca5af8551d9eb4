import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Stands in for getent(1): answers from a file, and writes down what it was asked. */
const GETENT = `#!/bin/sh
cd "$(dirname "$0")"
[ "$1 $2" = "passwd --" ] || exit 1
printf '%s\\n' "$3" >>asked
[ ! -e broken ] || exit 1
KEY=$3 awk -F: '{ if (($1 "") == ENVIRON["KEY"] || ($3 "") == ENVIRON["KEY"]) { print; found = 1; exit } }
  END { exit found ? 0 : 2 }' passwd
`;

/** Users of the system as the test says, in place of this machine's, for what this process and its children ask. */
export class TestNameService {
  readonly #folder = mkdtempSync(join(tmpdir(), "ocnotify-names-"));
  readonly #path = process.env["PATH"];

  constructor(users: Readonly<Record<string, number>>) {
    writeFileSync(join(this.#folder, "getent"), GETENT);
    chmodSync(join(this.#folder, "getent"), 0o755);
    this.set(users);
    process.env["PATH"] = `${this.#folder}:${this.#path}`;
  }

  /** From now on, these are the users, each with its uid. A uid's name is the first that has it. */
  set(users: Readonly<Record<string, number>>): void {
    const lines = Object.entries(users).map(([name, uid]) => `${name}:x:${uid}:${uid}::/nonexistent:/bin/false\n`);
    writeFileSync(join(this.#folder, "passwd"), lines.join(""));
  }

  /** Whether it gives any answer at all. */
  answers(yes: boolean): void {
    rmSync(join(this.#folder, "broken"), { force: true });
    if (!yes) writeFileSync(join(this.#folder, "broken"), "");
  }

  /** The names and uids that were asked for, in order. */
  get asked(): string[] {
    const file = join(this.#folder, "asked");
    return existsSync(file) ? readFileSync(file, "utf8").split("\n").slice(0, -1) : [];
  }

  remove(): void {
    process.env["PATH"] = this.#path;
    rmSync(this.#folder, { recursive: true });
  }
}
