#!/usr/bin/env node
import { Command, CommanderError } from "commander";
import { addDecode, addEncode } from "./commands/codec.ts";
import { addConfig } from "./commands/config.ts";
import { addFlush, addList } from "./commands/list.ts";
import { addListen } from "./commands/listen.ts";
import { isOriginal, originalProgram } from "./commands/original.ts";
import { addRun } from "./commands/run.ts";
import { addSend } from "./commands/send.ts";
import { addStatus } from "./commands/status.ts";
import { addTail } from "./commands/tail.ts";
import { addWhich } from "./commands/which.ts";
import { version } from "./version.ts";

/** Exit codes: 0 done, 1 it could not be done, 2 the command line is wrong. */
const FAILED = 1;
const USAGE = 2;

function mainProgram(): Command {
  const program = new Command("ocnotify")
    .description("turns mailbox changes in Dovecot into notifications")
    .version(version);
  addRun(program);
  addStatus(program);
  addTail(program);
  addConfig(program);
  addListen(program);
  addSend(program);
  addList(program);
  addFlush(program);
  addWhich(program);
  addDecode(program);
  addEncode(program);
  return program;
}

/** commander inherits settings only when a command is made from its parent before they are set. */
function settle(command: Command): Command {
  command.exitOverride().showHelpAfterError("(--help shows what there is)");
  for (const child of command.commands) settle(child);
  return command;
}

// A reader that has seen enough (head, grep -q) is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

try {
  await settle(isOriginal(process.argv.slice(2)) ? originalProgram() : mainProgram()).parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Help and version are errors to commander, with exit code 0; what is wrong it has said itself.
    process.exitCode = error.exitCode === 0 ? 0 : USAGE;
  } else {
    process.stderr.write(`ocnotify: ${(error as Error).message}\n`);
    process.exitCode = FAILED;
  }
}
