import { isDeepStrictEqual } from "node:util";
import type { DeliveryStatus } from "./delivery/delivery.ts";
import type { EventPlace } from "./delivery/event-id.ts";
import { IdleDelivery } from "./delivery/idle-delivery.ts";
import type { RecentOutcome } from "./delivery/recent-outcomes.ts";
import type { DestinationState } from "./delivery/state.ts";
import { OcnotifyError } from "./errors.ts";
import type { Segment } from "./journal/segment.ts";
import type { LogLevel } from "./log.ts";
import {
  cursorFile,
  makeDelivery,
  makeOrHold,
  type Configured,
  type DeliveriesContext,
  type Entry,
} from "./make-delivery.ts";
import { json, shortened } from "./printable.ts";

/** What a paused destination may take to finish what it has begun: sent is told after a second. */
const PAUSE_DRAIN_MS = 2_000;

/**
 * The deliveries to all destinations. They are made, changed, paused and ended one after another: what is asked for
 * meanwhile waits.
 */
export class Deliveries {
  readonly #context: DeliveriesContext;
  #configured: Configured;
  #entries: ReadonlyMap<string, Entry> | undefined;
  /** While something changes, not everything that is configured follows the journal. */
  #changing = false;
  #last: Promise<unknown> = Promise.resolve();

  constructor(context: DeliveriesContext, configured: Configured) {
    this.#context = context;
    this.#configured = configured;
  }

  /** @throws OcnotifyError for a destination that cannot be made; then there is none */
  start(): Promise<void> {
    return this.#inTurn(async () => {
      const entries = new Map<string, Entry>();
      try {
        for (const name of Object.keys(this.#configured.destinations))
          entries.set(name, await makeDelivery(name, this.#configured, this.#context));
      } catch (error) {
        for (const { delivery } of entries.values()) await delivery.close(0);
        throw error;
      }
      this.#entries = entries;
    });
  }

  /** Makes what is new, ends what is gone, makes anew what is changed, and leaves alone what is as it was. */
  change(configured: Configured): Promise<void> {
    return this.#inTurn(async () => {
      this.#configured = configured;
      const { destinations, drainMs } = configured;
      const gone = [...this.#made.values()].filter(({ name }) => !Object.hasOwn(destinations, name));
      const kept = Object.keys(destinations).map(async (name): Promise<[string, Entry]> => [
        name,
        await this.#changed(name),
      ]);
      await Promise.all(
        gone.map(async ({ name, delivery, log }) => {
          await delivery.close(drainMs);
          const rest = `How far it has come stays in ${cursorFile(name, this.#context)}: a destination of this name goes on from there, unless you delete it`;
          log.info(`the destination is removed. ${rest}`);
        }),
      );
      this.#entries = new Map(await Promise.all(kept));
    });
  }

  /**
   * Ends a destination, and keeps what is recorded for it, until `resume`. It does nothing for one that is paused.
   * @throws OcnotifyError ERR_UNKNOWN_DESTINATION, ERR_PAUSES_SAVE
   */
  pause(name: string, by: string | undefined): Promise<DestinationState> {
    return this.#inTurn(async () => {
      const { log } = this.#entry(name);
      const { pauses } = this.#context;
      if (pauses.get(name) === undefined) {
        await pauses.set(name, { since: new Date().toISOString(), ...(by === undefined ? {} : { by }) });
        await this.#renew(name, Math.min(this.#configured.drainMs, PAUSE_DRAIN_MS));
      } else {
        log.debug("it is paused already");
      }
      return this.#stateOf(name);
    });
  }

  /**
   * Goes on from where a destination was paused. One that could not be made is tried again.
   * @throws OcnotifyError ERR_UNKNOWN_DESTINATION, ERR_PAUSES_SAVE
   */
  resume(name: string): Promise<DestinationState> {
    return this.#inTurn(async () => {
      const { delivery, log } = this.#entry(name);
      if (delivery instanceof IdleDelivery) {
        await this.#context.pauses.set(name, undefined);
        await this.#renew(name, 0);
        if (this.#stateOf(name).name === "delivering") log.info("resumed");
      }
      return this.#stateOf(name);
    });
  }

  /** Whether a segment is of no more use to any of them. */
  isPast(segment: Segment): boolean {
    if (this.#changing) return false;
    for (const { delivery } of this.#made.values()) if (!delivery.isPast(segment)) return false;
    return true;
  }

  /** What became of an event at each, as far as it is known. */
  outcomesOf(event: EventPlace): Record<string, RecentOutcome | undefined> {
    return Object.fromEntries(Array.from(this.#made, ([name, { delivery }]) => [name, delivery.outcomeOf(event)]));
  }

  status(): Record<string, DeliveryStatus> {
    return Object.fromEntries(Array.from(this.#made, ([name, { delivery }]) => [name, delivery.status()]));
  }

  /** Of the log, and of each destination's. */
  setLevel(level: LogLevel): void {
    this.#context.log.level = level;
    for (const { log } of this.#made.values()) log.level = level;
  }

  close(): Promise<void> {
    return this.#inTurn(async () => {
      await Promise.all(Array.from(this.#made.values(), ({ delivery }) => delivery.close(this.#configured.drainMs)));
    });
  }

  async #changed(name: string): Promise<Entry> {
    const entry = this.#made.get(name);
    const { destinations, maxConnections, drainMs } = this.#configured;
    if (entry === undefined) {
      const made = await makeOrHold(name, this.#configured, this.#context);
      made.log.info("the destination is added");
      return made;
    }
    const failed = entry.delivery instanceof IdleDelivery && this.#context.pauses.get(name) === undefined;
    const isSame = isDeepStrictEqual(entry.written, destinations[name]);
    if (!isSame || failed) {
      const made = await this.#replace(name, entry, drainMs);
      made.log.info("the destination is made anew: it is changed");
      return made;
    }
    const own = entry.written["max_connections"];
    if (typeof own === "number" && Math.min(own, entry.maxConnections) > maxConnections) {
      entry.log.warn(
        `the limit of open files now allows ${maxConnections} connections for each destination; this one keeps up to ${Math.min(own, entry.maxConnections)} until the daemon is restarted`,
      );
    }
    return entry;
  }

  async #renew(name: string, drainMs: number): Promise<void> {
    const entry = await this.#replace(name, this.#entry(name), drainMs);
    this.#entries = new Map(Array.from(this.#made, ([other, each]) => [other, other === name ? entry : each]));
  }

  async #replace(name: string, { delivery }: Entry, drainMs: number): Promise<Entry> {
    await delivery.close(drainMs);
    return await makeOrHold(name, this.#configured, this.#context);
  }

  get #made(): ReadonlyMap<string, Entry> {
    return this.#entries ?? new Map();
  }

  #entry(name: string): Entry {
    if (this.#entries === undefined) {
      throw new OcnotifyError("ERR_STARTING", "the daemon is starting: try again", { canRetry: true });
    }
    const entry = this.#made.get(name);
    if (entry !== undefined) return entry;
    const names = [...this.#made.keys()].join(", ");
    throw new OcnotifyError(
      "ERR_UNKNOWN_DESTINATION",
      `there is no destination ${json(shortened(name, 64))}. Those that the daemon has: ${names || "none"}`,
    );
  }

  #stateOf(name: string): DestinationState {
    return this.#entry(name).delivery.status().state;
  }

  #inTurn<Result>(act: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(async () => {
      this.#changing = true;
      try {
        return await act();
      } finally {
        this.#changing = false;
      }
    });
    this.#last = result.catch(() => undefined);
    return result;
  }
}
