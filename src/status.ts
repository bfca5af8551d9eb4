import { createServer, connect, type Server } from "node:net";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { DeliveryStatus } from "./delivery/delivery.ts";
import { OcnotifyError } from "./errors.ts";
import type { Inotify } from "./journal/watch.ts";
import type { FileFault } from "./journal/segment.ts";

const SOCKET = "status.sock";
const ASK_TIMEOUT_MS = 5_000;
/** Clients at once; further ones are turned away. */
const MAX_CLIENTS = 64;

/** What a running daemon tells of itself. Counters are since its start. */
export interface Status {
  readonly version: string;
  /** The version of Node.js that it runs on. */
  readonly node: string;
  readonly pid: number;
  /** ISO 8601, by the clock as it is now: it may have been set since. */
  readonly since: string;
  readonly journal: {
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

/**
 * Answers everybody who connects to the socket in the state directory with the status as JSON.
 * @throws OcnotifyError ERR_ALREADY_RUNNING when a daemon answers there, ERR_STATUS_SOCKET when it cannot be made
 */
export async function serveStatus(stateDirectory: string, status: () => Status): Promise<{ close(): void }> {
  const path = join(stateDirectory, SOCKET);
  const other = await holder(stateDirectory);
  if (other !== undefined) {
    throw new OcnotifyError(
      "ERR_ALREADY_RUNNING",
      `a daemon runs already with the state directory ${stateDirectory} (${other}). Stop it, or give this one a directory of its own`,
    );
  }
  rmSync(path, { force: true });
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    // What a client says is of no interest, but its end is seen only by reading.
    socket.resume();
    socket.setTimeout(ASK_TIMEOUT_MS, () => socket.destroy());
    socket.end(`${JSON.stringify(status())}\n`);
  });
  server.maxConnections = MAX_CLIENTS;
  await listening(server, path);
  server.unref();
  return { close: () => void server.close() };
}

/** Who holds the socket, for a message; undefined when nobody does. */
async function holder(stateDirectory: string): Promise<string | undefined> {
  try {
    return `pid ${(await askStatus(stateDirectory)).pid}`;
  } catch (error) {
    const { message, cause } = error as Error & { cause: NodeJS.ErrnoException };
    // A daemon that is stopped or too busy to answer still holds it; one that has ended leaves a file, or none.
    return cause.code === "ECONNREFUSED" || cause.code === "ENOENT" ? undefined : message;
  }
}

/**
 * Asks the running daemon.
 * @throws OcnotifyError ERR_NOT_RUNNING when none answers, ERR_STATUS when the answer is none
 */
export async function askStatus(stateDirectory: string): Promise<Status> {
  const path = join(stateDirectory, SOCKET);
  const socket = connect(path);
  socket.setTimeout(ASK_TIMEOUT_MS, () => socket.destroy(new Error(`no answer within ${ASK_TIMEOUT_MS} ms`)));
  let answer: string;
  try {
    answer = await text(socket);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = code === "EACCES" ? "it belongs to another user: run this as root or as the daemon's user" : message;
    throw new OcnotifyError("ERR_NOT_RUNNING", `no daemon answers at ${path}: ${why}`, {
      cause: error,
      canRetry: true,
    });
  } finally {
    socket.destroy();
  }
  try {
    return JSON.parse(answer) as Status;
  } catch (error) {
    throw new OcnotifyError("ERR_STATUS", `what answers at ${path} is no daemon of ocnotify`, { cause: error });
  }
}

function listening(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error) => {
      reject(new OcnotifyError("ERR_STATUS_SOCKET", `cannot make ${path}: ${error.message}`, { cause: error }));
    });
    server.listen(path, resolve);
  });
}
