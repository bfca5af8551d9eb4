import { connect } from "node:net";
import { createInterface } from "node:readline/promises";
import type { Command } from "commander";
import { OcnotifyError } from "../errors.ts";
import { printable } from "../printable.ts";
import { parseAddress, type SpAddress } from "../protocols/sp/address.ts";
import { encodeHandshake } from "../protocols/sp/handshake.ts";
import { withResolver, type ListOptions } from "./list.ts";
import { charsetOption, example, serverOption, usernameOption } from "./options.ts";

/** Hosts that are tried, all at once. A longer record is mostly of dead ones, and those who registered last stand last. */
const MAX_TRIED = 100;
const TRY_MS = 2_000;
/** Hosts that are named. */
const MAX_NAMED = 5;

interface FlushOptions extends ListOptions {
  yes?: true;
}

export function addFlush(program: Command): void {
  program
    .command("flush")
    .description(
      "deletes a user's record with all its hosts. An OpenChange server registers again only when Outlook connects again",
    )
    .addOption(usernameOption())
    .addOption(serverOption())
    .addOption(charsetOption())
    .option("--yes", "also when hosts of the record still answer, without a question")
    .addHelpText("after", example("ocnotify flush --username jdoe"))
    .action(async (options: FlushOptions) => {
      if (options.yes !== true) await confirm(options);
      const existed = await withResolver(options, (resolver) => resolver.flush(options.username));
      process.stdout.write(existed ? "flushed\n" : "there was no record\n");
    });
}

/** @throws OcnotifyError ERR_FLUSH when hosts of the record answer and nobody says that it may be deleted */
async function confirm(options: FlushOptions): Promise<void> {
  const { username } = options;
  const all = await hostsOf(options);
  const hosts = all.slice(-MAX_TRIED);
  const tries = await Promise.all(hosts.map(answers));
  const answering = hosts.filter((_, index) => tries[index]);
  if (answering.length === 0) return;
  const named = answering.slice(0, MAX_NAMED).map(printable).join(", ");
  const others = answering.length > MAX_NAMED ? ` and ${answering.length - MAX_NAMED} more` : "";
  const what =
    `${answering.length} of ${all.length > MAX_TRIED ? "the last " : ""}${hosts.length} hosts of ${username} still answer: ${named}${others}. ` +
    "An OpenChange server among them is not told anything more of this user until Outlook connects again";
  if (!process.stdin.isTTY) {
    throw new OcnotifyError(
      "ERR_FLUSH",
      `${what}. Nothing was deleted: hosts that refuse are taken out by the daemon (remove_refused_after). ` +
        `To delete the record all the same: ocnotify flush --username ${username} --yes`,
    );
  }
  if (!(await isYes(`${what}. Delete the record? [y/N] `))) {
    throw new OcnotifyError("ERR_FLUSH", "nothing was deleted");
  }
}

/** None of a record that does not decode: to delete that is what the command is for. */
async function hostsOf(options: FlushOptions): Promise<string[]> {
  try {
    return await withResolver(options, (resolver) => resolver.hosts(options.username));
  } catch (error) {
    if ((error as { code?: unknown }).code === "ERR_RESOLVER_RECORD") return [];
    throw error;
  }
}

/** Whether something accepts connections at a host's address, be it a server that hangs. */
function answers(host: string): Promise<boolean> {
  let address: SpAddress;
  try {
    address = parseAddress(host);
  } catch {
    return Promise.resolve(false);
  }
  return new Promise((resolve) => {
    const socket = connect(address.transport === "ipc" ? { path: address.path } : address);
    const timer = setTimeout(() => socket.destroy(), TRY_MS);
    socket.on("connect", () => {
      resolve(true);
      // As a sender that has nothing to say: a receiver is not to take it for a fault.
      socket.end(encodeHandshake("PUSH"));
      socket.resume();
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      clearTimeout(timer);
      resolve(false);
    });
  });
}

async function isYes(question: string): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  // At the end of the input, the question is never answered.
  const ended = new Promise<string>((resolve) => terminal.once("close", () => resolve("")));
  const answer = await Promise.race([terminal.question(question), ended]);
  terminal.close();
  return /^\s*y(es)?\s*$/i.test(answer);
}
