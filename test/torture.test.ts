import { describe, it } from "node:test";
import assert from "node:assert/strict";
import { scenarios } from "../torture/scenarios.ts";
import { describeOutcome, runScenario } from "../torture/scenario.ts";

const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 2 ** 31));

// They wait for most of their time, and a busy machine is part of the matter.
describe(`nothing is lost (the short versions of \`make torture\`, seed ${seed})`, { concurrency: 2 }, () => {
  for (const scenario of scenarios) {
    if (scenario.longOnly === true) continue;
    it(scenario.claim, async (test) => {
      const outcome = await runScenario(scenario, seed, false);
      test.diagnostic(describeOutcome(outcome));
      assert.equal(outcome.failure, undefined);
      if (outcome.skipped !== undefined) test.skip(outcome.skipped);
    });
  }
});
