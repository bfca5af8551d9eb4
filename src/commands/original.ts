import { Command } from "commander";
import { OcnotifyError } from "../errors.ts";
import { withResolver } from "./list.ts";
import { charsetOption, example, serverOption, usernameOption } from "./options.ts";
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
    .addHelpText("after", example("ocnotify -U jdoe --list"))
    .action(async (options: OriginalOptions) => {
      const { server, username, newmail } = options;
      // Whatever else it was asked, it ended in failure when nobody was registered.
      const hosts = await withResolver(server, (resolver) => resolver.hosts(username));
      if (hosts.length === 0) throw new OcnotifyError("ERR_NOBODY", `nobody is registered for ${username}`);
      if (options.list === true) list(username, hosts);
      try {
        if (newmail !== undefined) await send({ ...options, newmail });
      } finally {
        // After a failure all the more: a host that is gone is what it is there for.
        if (options.flush === true) await withResolver(server, (resolver) => resolver.flush(username));
      }
    });
}

function list(username: string, hosts: readonly string[]): void {
  process.stdout.write(`${hosts.length} servers found for '${username}'\n`);
  for (const host of hosts) process.stdout.write(`\t* ${host}\n`);
}

async function send(options: SendOptions & Pick<OriginalOptions, "verbose">): Promise<void> {
  for (const host of await sendNewMail(options)) {
    if (options.verbose > 0) process.stdout.write(`message sent to ${host}\n`);
  }
}
