import type { JournalDirectory } from "../journal/directory.ts";
import type { Segment } from "../journal/segment.ts";
import { Tail } from "../journal/tail.ts";
import type { Logger } from "../log.ts";
import { lagRecords, type DeliverySettings, type DeliveryStatus } from "./delivery.ts";
import type { EventPlace } from "./event-id.ts";
import { firstCursor } from "./first-cursor.ts";
import type { RecentOutcome } from "./recent-outcomes.ts";
import type { DestinationState } from "./state.ts";

/**
 * What stands in the place of a delivery while there is no destination. It follows the journal from the cursor and reads
 * nothing, so that the segments are kept, and the status says how much waits.
 */
export class IdleDelivery {
  readonly #type: string;
  readonly #state: DestinationState;
  readonly #tail: Tail;

  private constructor(type: string, state: DestinationState, tail: Tail) {
    this.#type = type;
    this.#state = state;
    this.#tail = tail;
  }

  /** With a cursor file that cannot be used it is as if there were none: everything is kept. */
  static async start(
    settings: Pick<DeliverySettings, "type" | "cursorFile" | "startsAt">,
    state: DestinationState,
    directory: JournalDirectory,
    log: Logger,
  ): Promise<IdleDelivery> {
    const cursor = await firstCursor(settings, directory, log).catch(() => undefined);
    return new IdleDelivery(settings.type, state, new Tail(directory, cursor, () => undefined, log));
  }

  isPast(segment: Segment): boolean {
    return this.#tail.isPast(segment);
  }

  /** What has yet to be read; what was read before is not remembered. */
  outcomeOf({ bucket, uid, offset }: EventPlace): RecentOutcome | undefined {
    const outcome = this.#tail.whereIs(`${bucket}.${uid}.`, offset);
    return outcome && { outcome, atMs: undefined };
  }

  status(): DeliveryStatus {
    const { counters } = this.#tail;
    const unread = this.#tail.unread();
    return {
      ...counters,
      type: this.#type,
      state: this.#state,
      outcomes: { notified: 0, dropped: 0, nobody: 0, ignored: 0, filtered: 0, waiting: 0 },
      ...unread,
      lagRecords: lagRecords(counters, unread),
      lagSeconds: 0,
      dropped: {},
      waiting: 0,
      details: {},
    };
  }

  async close(): Promise<void> {
    this.#tail.close();
  }
}
