import { spawn } from "node:child_process";
import type { Logger } from "./log.ts";

/**
 * What a service of `Type=notify` tells systemd. sd_notify(3) sends datagrams to a unix socket, which Node.js cannot;
 * systemd-notify(1), which comes with systemd, can (`NotifyAccess=all` in the unit).
 */
export interface Systemd {
  /** At the start, and at the end of each reload. */
  ready(): void;
  /** Resolves when systemd has been told, so that `ready` comes after it. */
  reloading(): Promise<void>;
  stopping(): void;
}

/** Does nothing at all unless systemd waits to be told (NOTIFY_SOCKET). */
export function systemd(log: Logger, env: NodeJS.ProcessEnv = process.env): Systemd {
  if (env["NOTIFY_SOCKET"] === undefined) return { ready() {}, async reloading() {}, stopping() {} };
  const everyMs = watchdogMs(env);
  let watchdog: NodeJS.Timeout | undefined;
  return {
    ready() {
      void tell(["READY=1"], env, log);
      // A timer: what it tells is that the event loop still turns.
      if (everyMs > 0) watchdog ??= setInterval(() => void tell(["WATCHDOG=1"], env, log), everyMs).unref();
    },
    async reloading() {
      // Type=notify-reload, of systemd 253, takes only what is not older than its signal, by the clock that hrtime reads.
      await tell(["RELOADING=1", `MONOTONIC_USEC=${process.hrtime.bigint() / 1_000n}`], env, log);
    },
    stopping() {
      clearInterval(watchdog);
      void tell(["STOPPING=1"], env, log);
    },
  };
}

/** Half of what systemd allows (sd_watchdog_enabled(3)); 0 when it does not watch this process. */
function watchdogMs(env: NodeJS.ProcessEnv): number {
  const pid = env["WATCHDOG_PID"];
  if (pid !== undefined && Number(pid) !== process.pid) return 0;
  const micros = Number(env["WATCHDOG_USEC"] ?? 0);
  return Number.isFinite(micros) ? Math.floor(micros / 2_000) : 0;
}

/** Resolves when systemd has it, or cannot be told. */
function tell(states: readonly string[], env: NodeJS.ProcessEnv, log: Logger): Promise<void> {
  const fault = (why: string): void =>
    log.warn(`cannot tell systemd ${states[0]}: systemd-notify ${why}. The unit needs NotifyAccess=all`);
  return new Promise((resolve) => {
    const child = spawn("systemd-notify", states, { env, stdio: "ignore" });
    child.on("error", (error) => {
      fault(`did not start (${error.message})`);
      resolve();
    });
    child.on("exit", (code, signal) => {
      if (code !== 0) fault(`ended with ${signal ?? code}`);
      resolve();
    });
    child.unref();
  });
}
