import type { Command } from "commander";
import { readConfig } from "../config.ts";
import { lossesOf, type Loss } from "../counters.ts";
import { json, printable } from "../printable.ts";
import { askStatus, type Status } from "../status.ts";
import { describeVersions } from "../version.ts";
import { example } from "./options.ts";

interface StatusOptions {
  config?: string;
  stateDir?: string;
  json?: true;
}

export function addStatus(program: Command): void {
  program
    .command("status")
    .description("prints what the running daemon has done and how far behind it is")
    .option("-c, --config <file>", "configuration file of the daemon")
    .option("--state-dir <dir>", "state directory of the daemon")
    .option("--json", "as one JSON object")
    .addHelpText("after", example("ocnotify status"))
    .action(async (options: StatusOptions) => {
      const stateDirectory = options.stateDir ?? (await readConfig(options.config)).state_directory;
      const status = await askStatus(stateDirectory);
      process.stdout.write(options.json === true ? `${json(status)}\n` : describe(status));
    });
}

function describe(status: Status): string {
  const losses = lossesOf(status);
  const lossesIn = (destination: string | undefined): string[] =>
    losses.filter((loss) => loss.destination === destination).flatMap(describeLoss);
  const { pid, since, memory } = status;
  const versions = describeVersions(status.version, status.node);
  const lines = [
    `ocnotify ${versions}, pid ${pid}, since ${since}, ${mebibytes(memory.rssBytes)} resident`,
    `journal ${status.journal.directory}: ${status.journal.segments} segments${silence(status)}`,
    ...lossesIn(undefined),
  ];
  for (const [name, destination] of Object.entries(status.destinations)) {
    const d = destination;
    lines.push(
      `destination ${name}`,
      `  records    ${d.records} read (${mebibytes(d.bytes)}), ${d.malformed} malformed, ${d.unrecorded} could not be recorded, ${d.untrusted} passed over`,
      `  of these   ${d.filtered} filtered, ${d.ignored} of no interest, ${d.nobody} with nobody registered`,
      `  sent       ${d.sent} notifications, ${d.resent} events again after a lost connection`,
      `  dropped    ${counts(d.dropped) || "none"}`,
      `  failures   ${d.lookupFailures} of the resolver, ${d.hostFailures} of hosts`,
      ...(d.lookupsAgain > 0 ? [`  again      ${d.lookupsAgain} look-ups in a memcached that was restarted`] : []),
      `  hosts      ${d.hosts} in use, ${d.connected} connected`,
      `  behind     ${d.lagRecords} records, ${d.lagSeconds.toFixed(1)} s (${d.lookingUp} look-ups and ${d.waiting} notifications under way)`,
      ...lossesIn(name),
    );
  }
  return `${lines.map(printable).join("\n")}\n`;
}

function silence({ journal }: Status): string {
  return journal.inotify === "silent" ? ", listed every second since inotify does not tell of changes" : "";
}

function describeLoss({ state, message, remedy }: Loss): string[] {
  return [`  ${(state === "fault" ? "not read" : "lost").padEnd(11)}${message}`, `${" ".repeat(13)}→ ${remedy}`];
}

function counts(values: Readonly<Record<string, number>>): string {
  return Object.entries(values)
    .map(([name, count]) => `${count} ${name}`)
    .join(", ");
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
