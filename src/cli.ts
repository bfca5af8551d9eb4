#!/usr/bin/env node
import { Command, CommanderError } from "commander";
import { addFlush, addList } from "./commands/list.ts";
import { addListen } from "./commands/listen.ts";
import { addRun } from "./commands/run.ts";
import { addSend } from "./commands/send.ts";
import { version } from "./version.ts";

/** Exit codes: 0 done, 1 it could not be done, 2 the command line is wrong. */
const FAILED = 1;
const USAGE = 2;

const program = new Command("ocnotify")
  .description("turns mailbox changes in Dovecot into notifications")
  .version(version)
  .showHelpAfterError("(--help shows what there is)")
  .exitOverride();
addRun(program);
addListen(program);
addSend(program);
addList(program);
addFlush(program);
for (const command of program.commands) command.copyInheritedSettings(program);

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Help and version are errors to commander, with exit code 0; what is wrong it has said itself.
    process.exitCode = error.exitCode === 0 ? 0 : USAGE;
  } else {
    process.stderr.write(`ocnotify: ${(error as Error).message}\n`);
    process.exitCode = FAILED;
  }
}
