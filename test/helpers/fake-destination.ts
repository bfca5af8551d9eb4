import assert from "node:assert/strict";
import type { Answers, Destination, DestinationStatus, EventRecord, Outcome } from "../../src/delivery/destination.ts";

/** A destination that does what the test says, and nothing by itself. */
export class FakeDestination implements Destination {
  accepting = true;
  readonly given: EventRecord[] = [];
  readonly answers: Answers;
  closedWith: number | undefined;
  /** Segments that were deleted with something that it had not been given, or had put away. */
  missedSegments = 0;
  onDeliver: (records: readonly EventRecord[]) => void = () => {};
  onClose: () => void = () => {};

  constructor(answers: Answers) {
    this.answers = answers;
  }

  deliver(records: readonly EventRecord[]): void {
    const isNew = records.every(({ event }) => event?.user === "fresh");
    assert.ok(this.accepting || isNew, "nothing of a backlog is delivered to one who does not accept");
    assert.ok(records.length > 0);
    this.given.push(...records);
    this.onDeliver(records);
  }

  missed(): void {
    this.missedSegments++;
  }

  status(): DestinationStatus {
    return { dropped: {}, waiting: 0, details: {} };
  }

  async close(drainMs: number): Promise<void> {
    this.closedWith = drainMs;
    this.onClose();
  }

  answer({ stretch, index }: EventRecord, outcome: Outcome = "notified"): void {
    if (outcome === "dropped") this.answers.dropped(stretch, index, "test");
    else this.answers.done(stretch, index, outcome);
  }

  get places(): string[] {
    return this.given.map(placeOf);
  }
}

function placeOf({ stretch, offset }: EventRecord): string {
  return `${stretch.segment.name}:${offset}`;
}
