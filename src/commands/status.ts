import type { Command } from "commander";
import { readConfig } from "../config.ts";
import { lossesOf, type Kinds, type Loss } from "../counters.ts";
import { describeState, type DestinationState } from "../delivery/state.ts";
import { loadKinds } from "../destinations/kinds.ts";
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
      if (options.json === true) {
        process.stdout.write(`${json(status)}\n`);
        return;
      }
      const kinds = await loadKinds(Object.values(status.destinations).map(({ type }) => type));
      process.stdout.write(describe(status, kinds));
    });
}

function describe(status: Status, kinds: Kinds): string {
  const losses = lossesOf(status, kinds);
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
    const { notified, dropped, nobody, filtered, ignored } = d.outcomes;
    lines.push(
      `destination ${name} (${d.type})`,
      ...stateRow(name, d.state),
      row(
        "records",
        `${d.records} read (${mebibytes(d.bytes)}), ${d.malformed} malformed, ${d.unrecorded} could not be recorded, ${d.untrusted} passed over`,
      ),
      row(
        "of these",
        `${notified} notified, ${dropped} given up, ${nobody} with nobody registered, ${filtered} filtered, ${ignored} of no interest`,
      ),
      row("dropped", counts(d.dropped) || "none"),
      ...(kinds.get(d.type)?.describe(d.details) ?? []).map(([label, text]) => row(label, text)),
      row("behind", `${d.lagRecords} records, ${d.lagSeconds.toFixed(1)} s (${d.waiting} notifications under way)`),
      ...lossesIn(name),
    );
  }
  return `${lines.map(printable).join("\n")}\n`;
}

function stateRow(name: string, state: DestinationState): string[] {
  if (state.name === "delivering") return [];
  const remedy = state.name === "paused" ? `. ocnotify resume ${name} lets it go on` : "";
  return [row("state", `${describeState(state)}${remedy}`)];
}

function row(label: string, text: string): string {
  return `  ${label.padEnd(11)}${text}`;
}

function silence({ journal }: Status): string {
  return journal.inotify === "silent" ? ", listed every second since inotify does not tell of changes" : "";
}

const LABELS = { fault: "not read", warning: "lost", alarm: "soon lost" } as const;

function describeLoss({ state, message, remedy }: Loss): string[] {
  return [`  ${LABELS[state].padEnd(11)}${message}`, `${" ".repeat(13)}→ ${remedy}`];
}

function counts(values: Readonly<Record<string, number>>): string {
  return Object.entries(values)
    .map(([name, count]) => `${count} ${name}`)
    .join(", ");
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
