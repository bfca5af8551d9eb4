import { Option } from "commander";
import { OcnotifyError } from "../errors.ts";

export const DEFAULT_SERVER = "--SERVER=127.0.0.1:11211";

/** The options that several commands share, spelled as the original tool spelled them. */
export const usernameOption = (): Option =>
  new Option("-U, --username <name>", "the user, as the resolver knows him").makeOptionMandatory();

export const serverOption = (): Option =>
  new Option("-H, --server <string>", "libmemcached configuration string of the resolver").default(DEFAULT_SERVER);

export const charsetOption = (): Option =>
  new Option("--charset <name>", 'the servers\' "dos charset"').default("cp850");

/** @throws OcnotifyError ERR_SEPARATOR: the record takes any byte, but no namespace has another than ASCII. */
export function checkSeparator(separator: string): void {
  if (!/^[ -~]$/.test(separator)) {
    throw new OcnotifyError(
      "ERR_SEPARATOR",
      `${JSON.stringify(separator)} is not a hierarchy separator: it must be one ASCII character such as "/"`,
    );
  }
}

/** A paragraph for `--help`. */
export function example(text: string): string {
  return `\nExample:\n  $ ${text}\n`;
}
