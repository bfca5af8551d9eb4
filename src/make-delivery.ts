import { join } from "node:path";
import { allOptions, type DestinationConfig } from "./config.ts";
import type { Kinds } from "./counters.ts";
import { commonOptions } from "./delivery/common-options.ts";
import { Delivery } from "./delivery/delivery.ts";
import { IdleDelivery } from "./delivery/idle-delivery.ts";
import type { Kind } from "./delivery/kind.ts";
import { settingsOf } from "./delivery/options.ts";
import { pausedState, type Pauses } from "./delivery/pauses.ts";
import { heldBecause } from "./delivery/state.ts";
import { OcnotifyError } from "./errors.ts";
import { eventFilter } from "./events/filter.ts";
import type { JournalDirectory } from "./journal/directory.ts";
import type { Logger } from "./log.ts";

/** What is configured of all destinations. */
export interface Configured {
  readonly destinations: Readonly<Record<string, DestinationConfig>>;
  /** Of all types that these have. */
  readonly kinds: Kinds;
  /** Connections that each destination may have. */
  readonly maxConnections: number;
  /** What a destination may take to finish what it has begun. */
  readonly drainMs: number;
}

export interface DeliveriesContext {
  readonly stateDirectory: string;
  /** This host, in the ids of events. */
  readonly hostId: string;
  readonly directory: JournalDirectory;
  readonly pauses: Pauses;
  readonly log: Logger;
}

/** One destination as it is configured, and what is there of it. */
export interface Entry {
  readonly name: string;
  readonly written: DestinationConfig;
  readonly maxConnections: number;
  readonly log: Logger;
  readonly delivery: Delivery | IdleDelivery;
}

/**
 * What is configured of a destination, or what stands in its place while it is paused.
 * @throws OcnotifyError when it cannot be made
 */
export async function makeDelivery(name: string, configured: Configured, context: DeliveriesContext): Promise<Entry> {
  const { maxConnections } = configured;
  const written = configured.destinations[name] as DestinationConfig;
  const log = context.log.child({ destination: name });
  // The configuration was judged with the same kinds.
  const kind = configured.kinds.get(written.type) as Kind;
  const file = cursorFile(name, context);
  const { type, startsAt, wholeRecords } = kind;
  const pause = context.pauses.get(name);
  if (pause !== undefined) {
    const by = pause.by === undefined ? "" : ` by ${pause.by}`;
    const kept = `nothing is notified, and the journal keeps what is recorded, until ocnotify resume ${name}`;
    log.warn(`paused since ${pause.since}${by}: ${kept}`);
    const idle = { type, cursorFile: file, startsAt };
    const delivery = await IdleDelivery.start(idle, pausedState(pause), context.directory, log);
    return { name, written, maxConnections, log, delivery };
  }
  const filter = settingsOf(commonOptions, written);
  const filteredBy = eventFilter(filter);
  const wantsService = filter.services !== undefined;
  try {
    const delivery = await Delivery.start(
      { name, hostId: context.hostId, type, cursorFile: file, filteredBy, wantsService, wholeRecords, startsAt },
      context.directory,
      (answers) => kind.create(settingsOf(allOptions(kind), written), { name, answers, log, maxConnections }),
      log,
    );
    return { name, written, maxConnections, log, delivery };
  } catch (error) {
    const { code } = error as { code?: string };
    throw new OcnotifyError(code ?? "ERR_DESTINATION", `destination ${name}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** The same; one that cannot be made is held, with what is wrong as the reason. */
export async function makeOrHold(name: string, configured: Configured, context: DeliveriesContext): Promise<Entry> {
  try {
    return await makeDelivery(name, configured, context);
  } catch (error) {
    const { maxConnections } = configured;
    const written = configured.destinations[name] as DestinationConfig;
    const log = context.log.child({ destination: name });
    const reason = `${(error as Error).message}. Then systemctl reload ocnotify, or ocnotify resume ${name}`;
    log.error(`held: ${reason}`);
    const idle = { type: written.type, cursorFile: cursorFile(name, context), startsAt: "oldest" } as const;
    const delivery = await IdleDelivery.start(idle, heldBecause(reason), context.directory, log);
    return { name, written, maxConnections, log, delivery };
  }
}

/** Where it is written how far a destination has come. */
export function cursorFile(name: string, { stateDirectory }: DeliveriesContext): string {
  return join(stateDirectory, `${name}.cursor`);
}
