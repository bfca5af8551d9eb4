import type { Kind } from "../../src/delivery/kind.ts";
import { textOption } from "../../src/delivery/options.ts";
import type { LoadKinds } from "../../src/destinations/kinds.ts";
import { FakeDestination } from "./fake-destination.ts";

const options = { label: textOption("none", "What a test tells its destinations by.") };

/** A kind of which the test has each destination that was made, the last one of a name under that name. */
export interface FakeKind {
  readonly load: LoadKinds;
  readonly made: Map<string, FakeDestination>;
  /** Thrown when one is to be made. */
  fault: Error | undefined;
}

/** @param answers whether its destinations answer each record at once */
export function fakeKind(startsAt: Kind["startsAt"] = "oldest", answers = true): FakeKind {
  const made: FakeKind["made"] = new Map();
  const kind: Kind<typeof options> = {
    type: "fake",
    meaning: "nobody",
    options,
    wholeRecords: false,
    startsAt,
    counters: {},
    dropReasons: {},
    describe: () => [],
    unusable: () => [],
    // oxlint-disable-next-line require-yield
    async *check() {},
    create(_, surroundings) {
      if (fake.fault !== undefined) throw fake.fault;
      const destination = new FakeDestination(surroundings.answers);
      if (answers) destination.onDeliver = (records) => records.forEach((record) => destination.answer(record));
      made.set(surroundings.name, destination);
      return destination;
    },
  };
  const fake: FakeKind = { load: async () => new Map([[kind.type, kind as Kind]]), made, fault: undefined };
  return fake;
}
