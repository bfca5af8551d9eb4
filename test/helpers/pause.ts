import { readFileSync, readdirSync } from "node:fs";

const PATIENCE_MS = 5_000;

/** Stops a process (SIGSTOP); when this returns, none of its threads runs any more. SIGCONT lets it go on. */
export function pauseProcess(pid: number): void {
  process.kill(pid, "SIGSTOP");
  const deadline = Date.now() + PATIENCE_MS;
  const stopped = (thread: string): boolean =>
    / T /.test(readFileSync(`/proc/${pid}/task/${thread}/stat`, "latin1").replace(/\(.*\)/, ""));
  // Without giving way: a test goes on at once with a process that is surely stopped.
  while (!readdirSync(`/proc/${pid}/task`).every(stopped)) {
    if (Date.now() > deadline) throw new Error(`process ${pid} does not stop`);
  }
}
