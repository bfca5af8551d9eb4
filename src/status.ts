import { join } from "node:path";
import { askDaemon } from "./ask-daemon.ts";
import type { DeliveryStatus } from "./delivery/delivery.ts";
import type { Inotify } from "./journal/watch.ts";
import type { FileFault } from "./journal/segment.ts";
import type { SizeStatus } from "./journal/size-limit.ts";

/** The socket in the state directory at which everybody of the daemon's group may ask for the status. */
export const STATUS_SOCKET = "status.sock";
export const STATUS_PATH = "/v1/status";
const ASK_TIMEOUT_MS = 5_000;

/** What a running daemon tells of itself. Counters are since its start. */
export interface Status {
  readonly version: string;
  /** The version of Node.js that it runs on. */
  readonly node: string;
  readonly pid: number;
  /** This host, in the ids of events. */
  readonly host: string;
  /** ISO 8601, by the clock as it is now: it may have been set since. */
  readonly since: string;
  readonly journal: SizeStatus & {
    readonly directory: string;
    readonly segments: number;
    /** Where inotify is silent, the directory is listed every second. */
    readonly inotify: Inotify;
    /** Files in the directory that are not read, at the moment, by reason. */
    readonly notRead: Readonly<Partial<Record<FileFault, number>>>;
    /** Files that were deleted because they were no segments, though they had the names of some. */
    readonly cleared: number;
  };
  readonly memory: { readonly rssBytes: number };
  readonly destinations: Readonly<Record<string, DeliveryStatus>>;
}

/** Asks the running daemon. @throws OcnotifyError as `askDaemon` does */
export async function askStatus(stateDirectory: string): Promise<Status> {
  const socket = join(stateDirectory, STATUS_SOCKET);
  return (await askDaemon(socket, "GET", STATUS_PATH, { timeoutMs: ASK_TIMEOUT_MS })) as Status;
}
