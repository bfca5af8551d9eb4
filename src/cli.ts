#!/usr/bin/env node
import { Command, CommanderError } from "commander";
import { example } from "./commands/options.ts";
import { printable } from "./printable.ts";
import { versions } from "./version.ts";

/** Exit codes: 0 done, 1 it could not be done, 2 the command line is wrong. */
const FAILED = 1;
const USAGE = 2;

/**
 * Each command is loaded when it is called: the daemon is ready sooner without what only the others need. The order is
 * that of the help.
 */
const COMMANDS: Readonly<Record<string, () => Promise<(program: Command) => void>>> = {
  run: async () => (await import("./commands/run.ts")).addRun,
  status: async () => (await import("./commands/status.ts")).addStatus,
  check: async () => (await import("./commands/check.ts")).addCheck,
  pause: async () => (await import("./commands/pause.ts")).addPause,
  resume: async () => (await import("./commands/pause.ts")).addResume,
  tail: async () => (await import("./commands/tail.ts")).addTail,
  config: async () => (await import("./commands/config.ts")).addConfig,
  listen: async () => (await import("./commands/listen.ts")).addListen,
  send: async () => (await import("./commands/send.ts")).addSend,
  list: async () => (await import("./commands/list.ts")).addList,
  flush: async () => (await import("./commands/flush.ts")).addFlush,
  which: async () => (await import("./commands/which.ts")).addWhich,
  decode: async () => (await import("./commands/codec.ts")).addDecode,
  encode: async () => (await import("./commands/codec.ts")).addEncode,
};

/** Whether the command line is one of the original tool, which had options and no commands. */
function isOriginal([first]: readonly string[]): boolean {
  return first !== undefined && first.startsWith("-") && !["-h", "--help", "-V", "--version"].includes(first);
}

async function programFor(args: readonly string[]): Promise<Command> {
  const program = new Command("ocnotify")
    .description("turns mailbox changes in Dovecot into notifications")
    .version(versions)
    .addHelpText("after", example("ocnotify listen --username jdoe"));
  const called = Object.hasOwn(COMMANDS, args[0] ?? "") ? COMMANDS[args[0] ?? ""] : undefined;
  for (const load of called === undefined ? Object.values(COMMANDS) : [called]) (await load())(program);
  return program;
}

/** commander inherits settings only when a command is made from its parent before they are set. */
function settle(command: Command, name = command.name()): Command {
  command.exitOverride().configureOutput({
    outputError: (message, write) => {
      const what = message
        .replace(/^error: /, "")
        .trim()
        .replaceAll("\n", " ")
        .replace(/\.+$/, "");
      write(`ocnotify: ${printable(what)}. See ${name} --help\n`);
    },
  });
  // commander tells of an option that is missing before one that it does not know, which mostly is the same, misspelt.
  const required = command.options.filter((option) => option.mandatory);
  for (const option of required) option.mandatory = false;
  command.hook("preAction", () => {
    const missing = required.find((option) => command.getOptionValue(option.attributeName()) === undefined);
    if (missing !== undefined) command.error(`required option '${missing.flags}' not specified`);
  });
  for (const child of command.commands) settle(child, `${name} ${child.name()}`);
  return command;
}

let unread = false;
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  if (unread) return;
  unread = true;
  // A reader that has seen enough (head, grep -q) is no failure. Who has something to undo does so, as at a signal.
  if (!process.emit("SIGTERM")) process.exit(0);
});

async function main(): Promise<void> {
  try {
    const args = process.argv.slice(2);
    if (isOriginal(args)) {
      const { originalArguments, originalProgram } = await import("./commands/original.ts");
      const program = settle(originalProgram());
      await program.parseAsync(originalArguments(program, args), { from: "user" });
    } else {
      await settle(await programFor(args)).parseAsync();
    }
  } catch (error) {
    if (error instanceof CommanderError) {
      // Help and version are errors to commander, with exit code 0; what is wrong it has said itself.
      process.exitCode = error.exitCode === 0 ? 0 : USAGE;
    } else {
      process.stderr.write(`ocnotify: ${printable((error as Error).message)}\n`);
      process.exitCode = FAILED;
    }
  }
}

// Not awaited here: the one file of the packages is a CommonJS module, which has no top-level await.
void main();
