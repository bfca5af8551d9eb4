import { Command, CommanderError, Option } from "commander";
import { charset } from "../destinations/openchange/codec/charset.ts";
import { encodeNewMail } from "../destinations/openchange/codec/newmail.ts";
import { notificationCache } from "../destinations/openchange/smb-conf.ts";
import { OcnotifyError } from "../errors.ts";
import { printable } from "../printable.ts";
import { withResolver } from "./list.ts";
import { charsetOption, DEFAULT_SERVER, usernameOption } from "./options.ts";
import { fromPopt, poptTerm, poptUsage } from "./popt.ts";
import { pushToEach } from "./send.ts";

interface OriginalOptions {
  username: string;
  server?: string;
  backend?: string;
  dstfolder?: string;
  sep?: string;
  list?: true;
  flush?: true;
  newmail?: string;
  charset: string;
}

/**
 * The tool of the same name that came with OpenChange: the same options, the same lines on stdout, the same exit codes, because
 * scripts depend on them. What went wrong besides is on stderr.
 */
export function originalProgram(): Command {
  const program = new Command("ocnotify")
    .description("the options of the original tool; ocnotify --help shows the commands")
    .usage("[OPTION...]")
    .addOption(new Option("--usage", "show the options in short"))
    .addOption(usernameOption())
    .option(
      "-H, --server <string>",
      `resolver; default: mapistore:notification_cache of smb.conf, or ${DEFAULT_SERVER}`,
    )
    .option("--list", "list the servers registered for the user")
    .option("--flush", "delete the user's record")
    .option("-n, --newmail <eml>", "send a new-mail notification to each of them; needs -b and --dstfolder")
    .option("-b, --backend <name>", "mapistore backend")
    .option("--dstfolder <folder>", "folder in which the new message is")
    .option("--sep <character>", "hierarchy separator of the folder's name; NUL without it")
    .option("-v, --verbose", "accepted; everything is said without it")
    .addOption(charsetOption())
    .helpOption("-?, --help", "show this help")
    .configureHelp({ optionTerm: poptTerm })
    .action(run);
  return program.on("option:usage", () => {
    process.stdout.write(poptUsage(program.name(), [new Option("-?, --help"), ...program.options]));
    throw new CommanderError(0, "ocnotify.usage", "usage shown");
  });
}

/** The original's command line for `originalProgram`. */
export function originalArguments(program: Command, args: readonly string[]): string[] {
  return fromPopt(args, program.options);
}

async function run(options: OriginalOptions): Promise<void> {
  const { username } = options;
  const resolver = {
    server: options.server ?? notificationCache()?.resolver ?? DEFAULT_SERVER,
    charset: options.charset,
  };
  // Whatever else it was asked, it ended in failure when nobody was registered.
  const hosts = await withResolver(resolver, (opened) => opened.hosts(username));
  if (hosts.length === 0) throw new OcnotifyError("ERR_NOBODY", `nobody is registered for ${username}`);
  if (options.list === true) list(username, hosts);
  if (options.newmail !== undefined) await send(hosts, { ...options, newmail: options.newmail });
  if (options.flush === true) await withResolver(resolver, (opened) => opened.flush(username));
}

function list(username: string, hosts: readonly string[]): void {
  process.stdout.write(`${hosts.length} servers found for '${username}'\n`);
  for (const host of hosts) process.stdout.write(`\t* ${printable(host)}\n`);
}

async function send(hosts: readonly string[], options: OriginalOptions & { newmail: string }): Promise<void> {
  const { newmail: eml, backend, dstfolder: folder, sep = "" } = options;
  if (backend === undefined || folder === undefined) {
    throw new OcnotifyError("ERR_NEWMAIL", "nothing was sent: -n needs -b (--backend) and --dstfolder too");
  }
  // The first byte, and of an empty string the NUL that ends it.
  const separator = String.fromCharCode(Buffer.from(sep)[0] ?? 0);
  const payload = encodeNewMail({ backend, eml, folder, separator }, charset(options.charset));
  for await (const { host, error, connectable } of pushToEach(hosts, payload)) {
    if (error !== undefined) process.stderr.write(`ocnotify: ${printable(error.message)}\n`);
    // Said of a host that is gone too: only an address that is none was an error.
    if (connectable) process.stdout.write(`message sent to ${printable(host)}\n`);
  }
}
