import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { allOptions, type Config, type DestinationConfig } from "./config.ts";
import type { Kinds } from "./counters.ts";
import { commonOptions } from "./delivery/common-options.ts";
import { Delivery } from "./delivery/delivery.ts";
import { connectionsWithin, descriptorLimit } from "./descriptors.ts";
import type { Kind } from "./delivery/kind.ts";
import { milliseconds, settingsOf } from "./delivery/options.ts";
import { loadKinds } from "./destinations/kinds.ts";
import { OcnotifyError } from "./errors.ts";
import { eventFilter } from "./events/filter.ts";
import { JournalDirectory } from "./journal/directory.ts";
import { Owners } from "./journal/owners.ts";
import { Retention } from "./journal/retention.ts";
import type { Logger } from "./log.ts";
import { LossLog } from "./loss-log.ts";
import { lockStateDirectory } from "./state-lock.ts";
import { serveStatus, type Status } from "./status.ts";
import { version } from "./version.ts";

export interface Daemon {
  /** Stops reading, sends what it can within the configured time, saves the cursors and releases everything. */
  stop(): Promise<void>;
}

/**
 * Starts reading the journal and telling every destination.
 * @throws OcnotifyError for a journal, a cursor or a setting that cannot be used
 */
export async function startDaemon(config: Config, log: Logger): Promise<Daemon> {
  await mkdir(config.state_directory, { recursive: true }).catch((error: Error) => {
    throw new OcnotifyError("ERR_STATE_DIRECTORY", `state_directory: ${error.message}`, { cause: error });
  });
  const unlock = lockStateDirectory(config.state_directory);
  try {
    const daemon = await startLocked(config, log);
    return {
      async stop() {
        await daemon.stop();
        unlock();
      },
    };
  } catch (error) {
    unlock();
    throw error;
  }
}

async function startLocked(config: Config, log: Logger): Promise<Daemon> {
  const startedAt = performance.now();
  const kinds = await loadKinds(Object.values(config.destinations).map(({ type }) => type));
  const maxConnections = connectionsOfEach(config, log);
  const owners = new Owners(config.journal.mail_users, config.journal.user_names);
  await owners.resolve(log);
  const directory = new JournalDirectory(config.journal.directory, owners, log);
  const deliveries: Delivery[] = [];
  const isPast: Delivery["isPast"] = (segment) => deliveries.every((delivery) => delivery.isPast(segment));
  const retention = new Retention(directory, milliseconds(config.journal.retention), isPast, log);
  const status = (): Status => ({
    version,
    node: process.versions.node,
    pid: process.pid,
    since: new Date(Date.now() - (performance.now() - startedAt)).toISOString(),
    journal: {
      directory: directory.path,
      segments: directory.segments.size,
      inotify: directory.inotify,
      notRead: directory.notRead,
      cleared: retention.cleared,
    },
    memory: { rssBytes: process.memoryUsage.rss() },
    destinations: Object.fromEntries(deliveries.map((delivery) => [delivery.name, delivery.status()])),
  });
  const server = await serveStatus(config.state_directory, status);
  try {
    await directory.open();
    directory.probe();
    for (const [name, settings] of Object.entries(config.destinations)) {
      const destinationLog = log.child({ destination: name });
      deliveries.push(
        await startDelivery(name, settings, { config, kinds, directory, maxConnections }, destinationLog),
      );
    }
  } catch (error) {
    for (const delivery of deliveries) await delivery.close(0);
    directory.close();
    server.close();
    throw error;
  }
  retention.start();
  const lossLog = new LossLog(status, kinds, log);
  lossLog.start();
  log.info({ journal: directory.path, segments: directory.segments.size }, "ready");

  return {
    async stop() {
      retention.stop();
      lossLog.stop();
      await Promise.all(deliveries.map((delivery) => delivery.close(milliseconds(config.drain_timeout))));
      directory.close();
      server.close();
    },
  };
}

/** What each destination may have of the connections that the limit of open files allows. */
function connectionsOfEach({ destinations }: Config, log: Logger): number {
  const settings = Object.values(destinations);
  const limit = descriptorLimit();
  const most = Math.max(1, Math.floor(connectionsWithin(limit) / Math.max(1, settings.length)));
  const wanted = Math.max(0, ...settings.map(({ max_connections: own }) => (typeof own === "number" ? own : 0)));
  if (wanted > most) {
    log.warn(
      `max_connections is ${wanted}, but the limit of ${limit} open files allows ${most} for each destination: with more hosts, they take turns. Raise it with LimitNOFILE= below [Service] (systemctl edit ocnotify)`,
    );
  }
  return most;
}

interface DeliveryContext {
  readonly config: Config;
  readonly kinds: Kinds;
  readonly directory: JournalDirectory;
  readonly maxConnections: number;
}

async function startDelivery(
  name: string,
  written: DestinationConfig,
  { config, kinds, directory, maxConnections }: DeliveryContext,
  log: Logger,
): Promise<Delivery> {
  // The configuration was judged with the same kinds.
  const kind = kinds.get(written.type) as Kind;
  const cursorFile = join(config.state_directory, `${name}.cursor`);
  const filter = settingsOf(commonOptions, written);
  try {
    return await Delivery.start(
      {
        name,
        type: kind.type,
        cursorFile,
        wants: eventFilter(filter),
        wantsService: filter.services !== undefined,
        wholeRecords: kind.wholeRecords,
      },
      directory,
      (answers) => kind.create(settingsOf(allOptions(kind), written), { name, answers, log, maxConnections }),
      log,
    );
  } catch (error) {
    const { code } = error as { code?: string };
    throw new OcnotifyError(code ?? "ERR_DESTINATION", `destination ${name}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
