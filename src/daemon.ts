import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { Config } from "./config.ts";
import { serveControl } from "./control.ts";
import { Deliveries } from "./deliveries.ts";
import { Pauses } from "./delivery/pauses.ts";
import type { Kind } from "./delivery/kind.ts";
import { connectionsWithin, descriptorLimit } from "./descriptors.ts";
import { bytesOf, milliseconds } from "./delivery/options.ts";
import { loadKinds, type LoadKinds } from "./destinations/kinds.ts";
import { OcnotifyError } from "./errors.ts";
import { hostIdOf } from "./host-id.ts";
import { JournalDirectory } from "./journal/directory.ts";
import { Owners } from "./journal/owners.ts";
import { Retention } from "./journal/retention.ts";
import type { Segment } from "./journal/segment.ts";
import { SizeLimit } from "./journal/size-limit.ts";
import type { Logger } from "./log.ts";
import { LossLog } from "./loss-log.ts";
import { lockStateDirectory } from "./state-lock.ts";
import type { Configured } from "./make-delivery.ts";
import type { Status } from "./status.ts";
import { version } from "./version.ts";

export interface Daemon {
  /**
   * Takes over what is changed of the destinations, the level of the log and the drain timeout, and says what needs a
   * restart. A destination that cannot be made is held.
   */
  reload(config: Config): Promise<void>;
  /** Stops reading, sends what it can within the configured time, saves the cursors and releases everything. */
  stop(): Promise<void>;
}

/**
 * Starts reading the journal and telling every destination.
 * @throws OcnotifyError for a journal, a cursor or a setting that cannot be used
 */
export async function startDaemon(config: Config, log: Logger, load: LoadKinds = loadKinds): Promise<Daemon> {
  await mkdir(config.state_directory, { recursive: true }).catch((error: Error) => {
    throw new OcnotifyError("ERR_STATE_DIRECTORY", `state_directory: ${error.message}`, { cause: error });
  });
  const unlock = lockStateDirectory(config.state_directory);
  try {
    const daemon = await startLocked(config, log, load);
    return {
      ...daemon,
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

async function startLocked(config: Config, log: Logger, load: LoadKinds): Promise<Daemon> {
  const startedAt = performance.now();
  const hostId = config.host_id ?? (await hostIdOf(config.state_directory));
  // Those of a later configuration are added.
  const kinds = new Map<string, Kind>();
  const configured = async ({ destinations, drain_timeout }: Config): Promise<Configured> => {
    for (const [type, kind] of await load(typesOf(destinations))) kinds.set(type, kind);
    const maxConnections = connectionsOfEach(destinations, log);
    return { destinations, kinds, maxConnections, drainMs: milliseconds(drain_timeout) };
  };
  const first = await configured(config);
  const pauses = await Pauses.load(join(config.state_directory, "paused.json"));
  const owners = new Owners(config.journal.mail_users, config.journal.user_names);
  await owners.resolve(log);
  const directory = new JournalDirectory(config.journal.directory, owners, log);
  const deliveries = new Deliveries({ stateDirectory: config.state_directory, hostId, directory, pauses, log }, first);
  const isPast = (segment: Segment): boolean => deliveries.isPast(segment);
  const retention = new Retention(directory, retentionMs(config), isPast, log);
  const sizeLimit = new SizeLimit(directory, bytesOf(config.journal.max_size), isPast, log);
  const status = (): Status => ({
    version,
    node: process.versions.node,
    pid: process.pid,
    host: hostId,
    since: new Date(Date.now() - (performance.now() - startedAt)).toISOString(),
    journal: {
      directory: directory.path,
      segments: directory.segments.size,
      ...sizeLimit.status(),
      inotify: directory.inotify,
      notRead: directory.notRead,
      cleared: retention.cleared,
    },
    memory: { rssBytes: process.memoryUsage.rss() },
    destinations: deliveries.status(),
  });
  const server = await serveControl(
    config.state_directory,
    {
      status,
      outcomesOf: (event) => deliveries.outcomesOf(event),
      pause: (name, by) => deliveries.pause(name, by),
      resume: (name) => deliveries.resume(name),
    },
    log,
  );
  try {
    await directory.open();
    directory.probe();
    await deliveries.start();
  } catch (error) {
    directory.close();
    server.close();
    throw error;
  }
  retention.start();
  sizeLimit.start();
  const lossLog = new LossLog(status, kinds, log);
  lossLog.start();
  log.info({ journal: directory.path, segments: directory.segments.size }, "ready");

  return {
    async reload(changed) {
      const next = await configured(changed);
      deliveries.setLevel(changed.log.level);
      for (const key of needingRestart(config, changed)) {
        log.warn(`${key} has changed, which has no effect before systemctl restart ocnotify`);
      }
      await deliveries.change(next);
      log.info("the configuration is in effect");
    },
    async stop() {
      retention.stop();
      sizeLimit.stop();
      lossLog.stop();
      await deliveries.close();
      directory.close();
      server.close();
    },
  };
}

function typesOf(destinations: Config["destinations"]): string[] {
  return Object.values(destinations).map(({ type }) => type);
}

function ofDirectory({ state_directory, host_id }: Config): object {
  return { state_directory, host_id };
}

/** The keys with another value than the daemon was started with, of those that it cannot change while it runs. */
function needingRestart(started: Config, changed: Config): string[] {
  return [
    ...differing("", ofDirectory(started), ofDirectory(changed)),
    ...differing("journal.", started.journal, changed.journal),
    ...differing("log.", { format: started.log.format }, { format: changed.log.format }),
  ];
}

function differing<Part extends object>(path: string, before: Part, after: Part): string[] {
  return (Object.keys(after) as (keyof Part & string)[])
    .filter((key) => !isDeepStrictEqual(before[key], after[key]))
    .map((key) => `${path}${key}`);
}

/** Undefined where the number of segments decides. */
function retentionMs({ journal }: Config): number | undefined {
  return journal.retention === "auto" ? undefined : milliseconds(journal.retention);
}

/** What each destination may have of the connections that the limit of open files allows. */
function connectionsOfEach(destinations: Config["destinations"], log: Logger): number {
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
