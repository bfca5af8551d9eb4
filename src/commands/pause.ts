import { userInfo } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { askDaemon } from "../ask-daemon.ts";
import { readConfig } from "../config.ts";
import { ADMIN_SOCKET } from "../control.ts";
import { describeState, type DestinationState } from "../delivery/state.ts";
import { OcnotifyError } from "../errors.ts";
import { printable } from "../printable.ts";
import { example } from "./options.ts";

/** A pause waits until what is under way is finished. */
const ACT_TIMEOUT_MS = 30_000;

interface ActOptions {
  config?: string;
  stateDir?: string;
}

export function addPause(program: Command): void {
  addAct(
    program,
    "pause",
    "stops notifying of one destination until ocnotify resume; what is recorded waits",
  ).addHelpText("after", example("ocnotify pause openchange"));
}

export function addResume(program: Command): void {
  addAct(program, "resume", "lets a destination go on from where it was paused").addHelpText(
    "after",
    example("ocnotify resume openchange"),
  );
}

function addAct(program: Command, verb: "pause" | "resume", description: string): Command {
  return program
    .command(verb)
    .argument("<destination>", "its name in the daemon's configuration")
    .description(description)
    .option("-c, --config <file>", "configuration file of the daemon")
    .option("--state-dir <dir>", "state directory of the daemon")
    .action(async (name: string, options: ActOptions) => {
      const stateDirectory = options.stateDir ?? (await readConfig(options.config)).state_directory;
      const path = `/v1/destinations/${encodeURIComponent(name)}/${verb}`;
      const body = verb === "pause" ? { by: process.env["SUDO_USER"] ?? userName() } : undefined;
      const said = await askDaemon(join(stateDirectory, ADMIN_SOCKET), "POST", path, {
        ...(body === undefined ? {} : { body }),
        timeoutMs: ACT_TIMEOUT_MS,
      });
      const { state } = said as { state: DestinationState };
      if (verb === "resume" && state.name === "held") {
        throw new OcnotifyError("ERR_HELD", `${name} is ${describeState(state)}`);
      }
      process.stdout.write(`${printable(`${name} is ${describeState(state)}`)}\n`);
    });
}

/** Undefined where the uid has no name. */
function userName(): string | undefined {
  try {
    return userInfo().username;
  } catch {
    return undefined;
  }
}
