// `make torture [SEED=n] [ONLY=name,name] [SHORT=1] [ATTACKS=name,name]`: the long version of every scenario, one after the other.
import { scenarios } from "./scenarios.ts";
import { describeOutcome, runScenario } from "./scenario.ts";

/** make passes on what it was not given as an empty text. */
const given = (name: string): string | undefined => process.env[name] || undefined;

const seed = Number(given("SEED") ?? Math.floor(Math.random() * 2 ** 31));
const only = given("ONLY")?.split(",");
const long = given("SHORT") === undefined;
const chosen = scenarios.filter(({ name, longOnly }) => only?.includes(name) ?? (long || longOnly !== true));
if (!Number.isSafeInteger(seed) || chosen.length === 0) {
  process.stderr.write(`SEED is a number, ONLY one of ${scenarios.map(({ name }) => name).join(", ")}\n`);
  process.exit(2);
}

process.stdout.write(`torture: seed ${seed}\n`);
let lost = 0;
const failed: string[] = [];
for (const scenario of chosen) {
  const outcome = await runScenario(scenario, seed, long);
  lost += outcome.counts.lost;
  if (outcome.failure !== undefined) failed.push(scenario.name);
  process.stdout.write(`${describeOutcome(outcome)}\n`);
}
if (failed.length > 0) process.stdout.write(`torture: failed with seed ${seed}: ${failed.join(", ")}\n`);
process.stdout.write(`torture: lost ${lost}\n`);
process.exit(failed.length > 0 || lost > 0 ? 1 : 0);
