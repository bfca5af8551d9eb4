import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * Stands in for getent(1): users and host names under .test are in its files, or nowhere; names under .hang.test are those of
 * a name server that does not answer. Every other question is for the system.
 */
const GETENT = `#!/bin/sh
here=$(dirname "$0")
case "$1 $3" in
  "ahosts "*.hang.test) exec sleep 20 ;;
  "ahosts "*.test)
    while read -r address name; do
      if [ "$name" = "$3" ]; then printf '%s STREAM %s\\n' "$address" "$name"; exit 0; fi
    done <"$here/hosts"
    exit 2 ;;
  "passwd "*)
    KEY=$3 awk -F: '{ if (($1 "") == ENVIRON["KEY"] || ($3 "") == ENVIRON["KEY"]) { print; found = 1; exit } }
      END { exit found ? 0 : 2 }' "$here/passwd" && exit 0 ;;
esac
PATH=\${PATH#*:} exec getent "$@"
`;

/** The system's names cannot be told to fail without touching the system, so a daemon with this environment finds another getent. */
export class FakeGetent {
  readonly environment: Readonly<Record<string, string>>;
  readonly #folder: string;

  constructor(parent: string) {
    this.#folder = join(parent, "getent");
    mkdirSync(this.#folder);
    writeFileSync(join(this.#folder, "getent"), GETENT);
    chmodSync(join(this.#folder, "getent"), 0o755);
    this.environment = { PATH: `${this.#folder}:${process.env["PATH"]}` };
    this.setUsers({});
    this.setHosts({});
  }

  /** From now on, these are users of the system beside its own, each with its uid. */
  setUsers(users: Readonly<Record<string, number>>): void {
    const lines = Object.entries(users).map(([name, uid]) => `${name}:x:${uid}:${uid}::/nonexistent:/bin/false\n`);
    writeFileSync(join(this.#folder, "passwd"), lines.join(""));
  }

  /** From now on, these names have these addresses. */
  setHosts(hosts: Readonly<Record<string, string>>): void {
    const lines = Object.entries(hosts).map(([name, address]) => `${address} ${name}\n`);
    writeFileSync(join(this.#folder, "hosts"), lines.join(""));
  }
}
