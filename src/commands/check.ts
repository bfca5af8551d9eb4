import { Option, type Command } from "commander";
import { styleText } from "node:util";
import { checkDaemon, checkJournal } from "../check/daemon.ts";
import { checkDovecot } from "../check/dovecot.ts";
import { fault, ok, type Finding } from "../check/finding.ts";
import { readConfigSource, unusableValues, type Config } from "../config.ts";
import type { CheckContext } from "../delivery/kind.ts";
import { settingsOf } from "../delivery/options.ts";
import { loadKinds } from "../destinations/kinds.ts";
import { json, printable } from "../printable.ts";
import { example } from "./options.ts";

interface CheckOptions {
  config?: string;
  stateDir?: string;
  journal?: string;
  user?: string;
  server?: string;
  cn?: string;
  doveconf: string;
  dovecotConfig?: string;
  dovecot: boolean;
  json?: true;
}

export function addCheck(program: Command): void {
  program
    .command("check")
    .description("walks the way of a notification and says of each part whether it is in order, or what to do")
    .option("-c, --config <file>", "configuration file of the daemon")
    .option("--journal <dir>", "directory of the journal")
    .option("--state-dir <dir>", "state directory of the daemon")
    .option("-U, --user <name>", "also whether somebody is registered for this user, and can be reached")
    .option("-H, --server <string>", "resolver, where the userdb gives this user another than the configurations say")
    .addOption(new Option("--cn <kind>", "the same for openchange_cn").choices(["username", "email"]))
    .option("--doveconf <program>", "Dovecot's doveconf", "doveconf")
    .option("--dovecot-config <file>", "Dovecot's configuration, when it is not the usual one")
    .option("--no-dovecot", "leave Dovecot's configuration out")
    .option("--json", "one JSON object a line")
    .addHelpText("after", example("ocnotify check --user jdoe"))
    .action(async (options: CheckOptions) => {
      const print = (finding: Finding): void => {
        process.stdout.write(options.json === true ? `${json(finding)}\n` : describe(finding));
        if (finding.state === "fault") process.exitCode = 1;
      };
      for await (const finding of check(options)) print(finding);
    });
}

async function* check(options: CheckOptions): AsyncGenerator<Finding> {
  const source = await readConfigSource(options.config);
  const config = withOptions(source.config, options);
  const { file, exists } = source;
  const unusable = await unusableValues(config);
  for (const each of unusable) yield fault("daemon", `${file}: ${each}`, "correct it, and see ocnotify config check");
  if (unusable.length === 0) {
    yield ok(
      "daemon",
      exists ? `its configuration ${file} is right` : `there is no ${file}: the defaults are in effect`,
    );
  }
  const journal = config.journal.directory;
  const dovecot = options.dovecot
    ? await checkDovecot({ doveconf: options.doveconf, config: options.dovecotConfig, journal })
    : { findings: [], settings: {} };
  yield* dovecot.findings;
  const daemon = await checkDaemon(config);
  yield* await checkJournal(journal, daemon.status);
  yield* daemon.findings;
  const dovecots: Record<string, string> = { ...dovecot.settings };
  if (options.server !== undefined) dovecots["openchange_resolver"] = options.server;
  if (options.cn !== undefined) dovecots["openchange_cn"] = options.cn;
  yield* checkDestinations(config, { dovecot: dovecots, user: options.user });
}

async function* checkDestinations({ destinations }: Config, context: CheckContext): AsyncGenerator<Finding> {
  const named = Object.entries(destinations);
  for (const [type, kind] of await loadKinds(named.map(([, written]) => written.type))) {
    const ofThisKind = named.filter(([, written]) => written.type === type);
    const settings = ofThisKind.map(([name, written]) => [name, settingsOf(kind.options, written)] as const);
    yield* kind.check(new Map(settings), context);
  }
}

function withOptions(config: Config, { journal, stateDir }: CheckOptions): Config {
  return {
    ...config,
    journal: { ...config.journal, directory: journal ?? config.journal.directory },
    state_directory: stateDir ?? config.state_directory,
  };
}

const COLORS = { ok: "green", warning: "yellow", fault: "red" } as const;

function describe({ part, state, message, remedy }: Finding): string {
  const word = state.padEnd(8);
  const colored = process.stdout.isTTY ? styleText(COLORS[state], word) : word;
  const advice = remedy === undefined ? "" : `\n${" ".repeat(18)}→ ${printable(remedy)}`;
  return `${colored}${part.padEnd(10)}${printable(message)}${advice}\n`;
}
