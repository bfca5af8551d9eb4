import { OcnotifyError } from "./errors.ts";
import { ask, NoAnswer, type Answer } from "./http/client.ts";

/**
 * Asks the daemon that runs, on one of its sockets, and gives what it says.
 * @throws OcnotifyError ERR_NOT_RUNNING when none answers, ERR_STATUS or ERR_OLD_DAEMON when something else does, and what
 *   the daemon says is wrong, with its code
 */
export async function askDaemon(
  socket: string,
  method: "GET" | "POST",
  path: string,
  options: { readonly body?: unknown; readonly timeoutMs: number },
): Promise<unknown> {
  let answer: Answer;
  try {
    answer = await ask(socket, method, path, options);
  } catch (error) {
    throw fault(socket, error as NoAnswer);
  }
  if (answer.status === 200) return answer.body;
  const { code, detail } = (answer.body ?? {}) as { code?: unknown; detail?: unknown };
  if (typeof code !== "string" || typeof detail !== "string") throw noDaemon(socket, undefined);
  throw new OcnotifyError(code, detail);
}

function fault(socket: string, { why, message, cause }: NoAnswer): OcnotifyError {
  const { code, rawPacket } = cause as NodeJS.ErrnoException & { rawPacket?: Buffer };
  if (why !== "other") {
    const reason = code === "EACCES" ? "it belongs to another user: run this as root or as the daemon's user" : message;
    return new OcnotifyError("ERR_NOT_RUNNING", `no daemon answers at ${socket}: ${reason}`, { cause, canRetry: true });
  }
  // An older daemon sends its status, without HTTP, to everybody who connects.
  if (rawPacket?.toString("latin1", 0, 11) === '{"version":') {
    const message = `the daemon at ${socket} is of an older version, which this one cannot ask: systemctl restart ocnotify`;
    return new OcnotifyError("ERR_OLD_DAEMON", message, { cause });
  }
  return noDaemon(socket, cause);
}

function noDaemon(socket: string, cause: unknown): OcnotifyError {
  return new OcnotifyError("ERR_STATUS", `what answers at ${socket} is no daemon of ocnotify`, { cause });
}
