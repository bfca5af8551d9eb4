import { Command } from "commander";
import { OcnotifyError } from "../errors.ts";
import { withResolver } from "./list.ts";
import { charsetOption, serverOption, usernameOption } from "./options.ts";
import { sendNewMail, type SendOptions } from "./send.ts";

interface OriginalOptions extends Omit<SendOptions, "newmail"> {
  list?: true;
  flush?: true;
  newmail?: string | true;
  verbose: number;
}

/** The tool of the same name that came with OpenChange: the same options, the same lines on stdout. */
export function originalProgram(): Command {
  return new Command("ocnotify")
    .description("the options of the original tool; ocnotify --help shows the commands")
    .addOption(usernameOption())
    .addOption(serverOption())
    .option("-b, --backend <name>", "mapistore backend", "sogo")
    .option("--dstfolder <folder>", "folder in which the new message is", "INBOX")
    .option("--sep <character>", "hierarchy separator of the folder's name", "/")
    .option("--list", "list the servers registered for the user")
    .option("--flush", "delete the user's record")
    .option("-n, --newmail [eml]", "send a new-mail notification to each of them")
    .option("-v, --verbose", "say more; can be given several times", (_, count: number) => count + 1, 0)
    .addOption(charsetOption())
    .action(async (options: OriginalOptions) => {
      if (options.list === true) await list(options);
      if (options.newmail !== undefined) {
        for (const host of await sendNewMail({ ...options, newmail: options.newmail })) {
          if (options.verbose > 0) process.stdout.write(`message sent to ${host}\n`);
        }
      }
      if (options.flush === true) await withResolver(options.server, (resolver) => resolver.flush(options.username));
    });
}

async function list({ server, username }: OriginalOptions): Promise<void> {
  const hosts = await withResolver(server, (resolver) => resolver.hosts(username));
  if (hosts.length === 0) throw new OcnotifyError("ERR_NOBODY", `nobody is registered for ${username}`);
  process.stdout.write(`${hosts.length} servers found for '${username}'\n`);
  for (const host of hosts) process.stdout.write(`\t* ${host}\n`);
}
