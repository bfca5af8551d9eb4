import { Option } from "commander";

/** The options that several commands share, spelled as the original tool spelled them. */
export const usernameOption = (): Option =>
  new Option("-U, --username <name>", "the user, as the resolver knows him").makeOptionMandatory();

export const serverOption = (): Option =>
  new Option("-H, --server <string>", "libmemcached configuration string of the resolver").default(
    "--SERVER=127.0.0.1:11211",
  );

export const charsetOption = (): Option =>
  new Option("--charset <name>", 'the servers\' "dos charset"').default("cp850");

/** A paragraph for `--help`. */
export function example(text: string): string {
  return `\nExample:\n  $ ${text}\n`;
}
