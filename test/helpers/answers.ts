import assert from "node:assert/strict";
import type { Answers } from "../../src/delivery/destination.ts";

const unexpected = (): never => assert.fail("the test expects no such call");

/** What a destination says goes to these; it says nothing else. */
export function answersOf(expected: Partial<Answers>): Answers {
  return {
    split: unexpected,
    done: unexpected,
    dropped: unexpected,
    park: unexpected,
    load: unexpected,
    idOf: unexpected,
    resume: unexpected,
    hold: unexpected,
    release: unexpected,
    ...expected,
  };
}
