import type { Command } from "commander";
import { charset } from "../destinations/openchange/codec/charset.ts";
import { encodeNewMail } from "../destinations/openchange/codec/newmail.ts";
import { OcnotifyError } from "../errors.ts";
import { createPush, type PushSocket } from "../protocols/sp/push-socket.ts";
import { withResolver } from "./list.ts";
import { charsetOption, example, serverOption, usernameOption } from "./options.ts";

export interface SendOptions {
  username: string;
  server: string;
  newmail: string | true;
  backend: string;
  dstfolder: string;
  sep: string;
  charset: string;
}

export function addSend(program: Command): void {
  program
    .command("send")
    .description("sends one new-mail notification to every host that is registered for a user")
    .addOption(usernameOption())
    .addOption(serverOption())
    .option("-n, --newmail <eml>", "the message, as <uid>.eml", "1.eml")
    .option("-b, --backend <name>", "mapistore backend", "sogo")
    .option("--dstfolder <folder>", "folder in which the message is", "INBOX")
    .option("--sep <character>", "hierarchy separator of the folder's name", "/")
    .addOption(charsetOption())
    .addHelpText("after", example("ocnotify send --username jdoe --newmail 42.eml --dstfolder INBOX/Work"))
    .action(async (options: SendOptions) => {
      for (const host of await sendNewMail(options)) process.stdout.write(`sent to ${host}\n`);
    });
}

/**
 * Sends to each host in turn and returns those that have it.
 * @throws OcnotifyError ERR_NOBODY when none is registered, ERR_SEND when some could not be told: after all were tried
 */
export async function sendNewMail(options: SendOptions): Promise<string[]> {
  const payload = encodeNewMail(
    {
      backend: options.backend,
      eml: options.newmail === true ? "1.eml" : options.newmail,
      folder: options.dstfolder,
      separator: options.sep,
    },
    charset(options.charset),
  );
  const hosts = await withResolver(options.server, (resolver) => resolver.hosts(options.username));
  if (hosts.length === 0) {
    throw new OcnotifyError("ERR_NOBODY", `nobody is registered for ${options.username}: see ocnotify list`);
  }
  const sent: string[] = [];
  const failures: string[] = [];
  for (const host of hosts) {
    let push: PushSocket | undefined;
    try {
      push = createPush(host);
      await push.send(payload);
      sent.push(host);
    } catch (error) {
      failures.push((error as Error).message);
    } finally {
      await push?.close();
    }
  }
  if (failures.length > 0) {
    throw new OcnotifyError("ERR_SEND", `sent to ${sent.length} of ${hosts.length} hosts: ${failures.join("; ")}`);
  }
  return sent;
}
