import type { Kind, Surroundings } from "../../../src/delivery/kind.ts";
import { booleanOption, type Settings } from "../../../src/delivery/options.ts";
import { counter } from "../../../src/delivery/counter.ts";
import type { Destination, DestinationStatus, EventRecord } from "../../../src/delivery/destination.ts";

const options = {
  sizes: booleanOption(false, "Whether the sizes of new messages are added up."),
};

class Counter implements Destination {
  readonly accepting = true;
  readonly #addsSizes: boolean;
  readonly #surroundings: Surroundings;
  #messages = 0;
  #bytes = 0;

  constructor(settings: Settings<typeof options>, surroundings: Surroundings) {
    this.#addsSizes = settings.sizes;
    this.#surroundings = surroundings;
  }

  deliver(records: readonly EventRecord[]): void {
    for (const { event, stretch, index } of records) {
      const isNew = event?.event === "MessageNew";
      if (isNew) this.#messages++;
      if (isNew && this.#addsSizes) this.#bytes += event.size ?? 0;
      this.#surroundings.answers.done(stretch, index, isNew ? "notified" : "ignored");
    }
  }

  status(): DestinationStatus {
    return { dropped: {}, waiting: 0, details: { messages: this.#messages, bytes: this.#bytes } };
  }

  async close(): Promise<void> {}
}

/** Counts new messages, and notifies nobody. */
export const kind: Kind<typeof options> = {
  type: "counter",
  meaning: "nobody: new messages are counted",
  options,
  wholeRecords: true,
  startsAt: "end",
  counters: {
    messages: counter("new messages"),
    bytes: counter("bytes of them"),
  },
  dropReasons: {},
  describe: ({ messages = 0, bytes = 0 }) => [["counted", `${messages} messages of ${bytes} bytes`]],
  unusable: () => [],
  async *check() {},
  create: (settings, surroundings) => new Counter(settings, surroundings),
};
