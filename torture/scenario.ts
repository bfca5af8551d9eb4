import type { Counts } from "./tally.ts";
import { World } from "./world.ts";

/** Something that goes wrong, and what must come through all the same. */
export interface Scenario {
  /** One word, for `ONLY=`. */
  readonly name: string;
  /** What is done and claimed, in a sentence. */
  readonly claim: string;
  /** Takes minutes by its nature: not in the short version. */
  readonly longOnly?: true;
  /** Throws when something other than the count of notifications is wrong. Returns why it was skipped, if it was. */
  run(world: World): Promise<{ skipped: string } | void>;
}

export interface Outcome {
  readonly name: string;
  readonly counts: Counts;
  readonly seconds: number;
  readonly notes: readonly string[];
  readonly failure: string | undefined;
  readonly skipped: string | undefined;
}

/** Runs a scenario; never throws. */
export async function runScenario(scenario: Scenario, seed: number, long: boolean): Promise<Outcome> {
  const start = performance.now();
  const world = new World(seed, long);
  let failure: string | undefined;
  let skipped: string | undefined;
  try {
    skipped = (await scenario.run(world))?.skipped;
  } catch (error) {
    failure = (error as Error).message;
  }
  const counts = world.tally.counts();
  const faults = [
    failure,
    counts.lost > 0 ? `${counts.lost} lost: ${world.tally.examples()}` : undefined,
    counts.disordered > 0 ? `${counts.disordered} out of order` : undefined,
    counts.strange > 0 ? `${counts.strange} that were never written` : undefined,
  ].filter((fault) => fault !== undefined);
  await world.release();
  return {
    name: scenario.name,
    counts,
    seconds: (performance.now() - start) / 1000,
    notes: world.notes,
    failure: faults.length > 0 ? faults.join("; ") : undefined,
    skipped,
  };
}

/** One line: what was sent, received, duplicated and lost. */
export function describeOutcome({ name, counts, seconds, notes, failure, skipped }: Outcome): string {
  if (skipped !== undefined) return `${name.padEnd(12)} skipped: ${skipped}`;
  const { sent, received, duplicated, lost } = counts;
  const numbers = [
    `sent ${String(sent).padStart(8)}`,
    `received ${String(received).padStart(8)}`,
    `duplicated ${String(duplicated).padStart(7)}`,
    `lost ${lost}`,
    `${seconds.toFixed(1)} s`,
  ];
  const line = `${name.padEnd(12)} ${numbers.join("  ")}${notes.length > 0 ? `  (${notes.join(", ")})` : ""}`;
  return failure === undefined ? line : `${line}\n${"".padEnd(12)} FAILED: ${failure}`;
}
