import { spawnSync } from "node:child_process";
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { OcnotifyError } from "./errors.ts";

const LOCK = "lock";
/** flock(1): what it ends with when the lock is held by another. */
const HELD = 1;

/**
 * Takes the state directory for this process until it ends, however it ends: two daemons with the same cursors would
 * notify of everything twice. Node.js has no flock(2), but a lock belongs to the open file, which a child shares: so
 * flock(1), of util-linux, takes it and ends.
 * @returns how to give it back
 * @throws OcnotifyError ERR_ALREADY_RUNNING when another process has it, ERR_STATE_DIRECTORY when it cannot be taken
 */
export function lockStateDirectory(stateDirectory: string): () => void {
  const path = join(stateDirectory, LOCK);
  let file: number;
  try {
    // Not "w": the holder's pid is in it.
    file = openSync(path, "a+", 0o640);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const remedy = code === "EACCES" ? `. It must belong to the daemon's user: remove it, or give it to that user` : "";
    throw new OcnotifyError("ERR_STATE_DIRECTORY", `cannot open ${path}: ${message}${remedy}`, { cause: error });
  }
  const { status, error, stderr } = spawnSync("flock", ["-n", "3"], {
    stdio: ["ignore", "ignore", "pipe", file],
    encoding: "utf8",
  });
  if (status === 0) {
    ftruncateSync(file);
    writeSync(file, `${process.pid}\n`);
    return () => closeSync(file);
  }
  closeSync(file);
  if (status === HELD && stderr === "") {
    const pid = /^\d+$/m.exec(readFileSync(path, "latin1"))?.[0] ?? "unknown";
    throw new OcnotifyError(
      "ERR_ALREADY_RUNNING",
      `a daemon runs already with the state directory ${stateDirectory} (pid ${pid}). Stop it, or give this one a directory of its own`,
    );
  }
  const why = error?.message ?? (stderr.trim() || `flock ended with ${status}`);
  throw new OcnotifyError("ERR_STATE_DIRECTORY", `cannot lock ${path} with flock(1), of util-linux: ${why}`, {
    cause: error,
  });
}
