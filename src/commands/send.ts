import { InvalidArgumentError, type Command } from "commander";
import { charset } from "../destinations/openchange/codec/charset.ts";
import { emlName, encodeNewMail } from "../destinations/openchange/codec/newmail.ts";
import { OcnotifyError } from "../errors.ts";
import { printable } from "../printable.ts";
import { createPush, type PushSocket } from "../protocols/sp/push-socket.ts";
import { withResolver } from "./list.ts";
import { charsetOption, checkSeparator, example, serverOption, usernameOption } from "./options.ts";

interface SendOptions {
  username: string;
  server: string;
  newmail: string;
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
    .option("-n, --newmail <message>", "the message: its UID, or <uid>.eml", emlOf, emlName(1))
    .option("-b, --backend <name>", "mapistore backend", "sogo")
    .option("--dstfolder <folder>", "folder in which the message is", "INBOX")
    .option("--sep <character>", "hierarchy separator of the folder's name", "/")
    .addOption(charsetOption())
    .addHelpText("after", example("ocnotify send --username jdoe --newmail 42 --dstfolder INBOX/Work"))
    .action(async (options: SendOptions) => {
      for (const host of await sendNewMail(options)) process.stdout.write(`sent to ${printable(host)}\n`);
    });
}

const MAX_UID = 0xffff_ffff;

function emlOf(text: string): string {
  const uid = /^([1-9]\d{0,9})(\.eml)?$/.exec(text)?.[1];
  if (uid === undefined || Number(uid) > MAX_UID) {
    throw new InvalidArgumentError(`a UID from 1 to ${MAX_UID} is wanted, with or without .eml after it`);
  }
  return emlName(uid);
}

/**
 * Sends to each host in turn and returns those that have it.
 * @throws OcnotifyError ERR_NOBODY when none is registered, ERR_SEND when some could not be told: after all were tried
 */
async function sendNewMail(options: SendOptions): Promise<string[]> {
  const { backend, newmail: eml, dstfolder: folder, sep: separator } = options;
  checkSeparator(separator);
  const payload = encodeNewMail({ backend, eml, folder, separator }, charset(options.charset));
  const hosts = await withResolver(options, (resolver) => resolver.hosts(options.username));
  if (hosts.length === 0) {
    throw new OcnotifyError("ERR_NOBODY", `nobody is registered for ${options.username}: see ocnotify list`);
  }
  const sent: string[] = [];
  const failures: string[] = [];
  for await (const { host, error } of pushToEach(hosts, payload)) {
    if (error === undefined) sent.push(host);
    else failures.push(error.message);
  }
  if (failures.length > 0) {
    throw new OcnotifyError("ERR_SEND", `sent to ${sent.length} of ${hosts.length} hosts: ${failures.join("; ")}`);
  }
  return sent;
}

interface Pushed {
  readonly host: string;
  /** Undefined when the host has it. */
  readonly error: Error | undefined;
  /** Whether the host's address is one that can be connected to. */
  readonly connectable: boolean;
}

/** Sends the payload to one host after the other. */
export async function* pushToEach(hosts: readonly string[], payload: Buffer): AsyncGenerator<Pushed, void> {
  for (const host of hosts) {
    let push: PushSocket | undefined;
    let error: Error | undefined;
    try {
      push = createPush(host);
      await push.send(payload);
    } catch (failure) {
      error = failure as Error;
    } finally {
      await push?.close();
    }
    yield { host, error, connectable: push !== undefined };
  }
}
