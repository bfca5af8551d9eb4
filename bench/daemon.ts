import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { askStatus, type Status } from "../src/status.ts";
import { nowNs } from "./process.ts";
import { DaemonProcess } from "../test/helpers/daemon-process.ts";
import { waitFor } from "../test/helpers/wait.ts";

/** A daemon as an operator starts it: `ocnotify run`. */
export interface Daemon {
  readonly pid: number;
  /** Milliseconds from its start to the "ready" of its log. */
  readonly startMs: number;
  readonly log: () => string;
  readonly status: () => Promise<Status>;
  /** Resolves once every record that it has read is answered for good and none is left to read. */
  readonly settled: () => Promise<void>;
  readonly stop: (signal?: NodeJS.Signals) => Promise<void>;
}

export interface DaemonOptions {
  /** Its journal is `journal` in here, its state `state`. */
  readonly folder: string;
  readonly journal?: string;
  /** For records that name none. */
  readonly resolver: string;
  readonly mailUsers?: readonly number[];
  /** Goes before `node`. */
  readonly prefix?: readonly string[];
  readonly nodeArgs?: readonly string[];
}

export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const { folder, journal = join(folder, "journal"), resolver, mailUsers = [], prefix = [], nodeArgs = [] } = options;
  const state = join(folder, "state");
  mkdirSync(state, { recursive: true });
  const config = join(state, "config.yaml");
  const settings = {
    journal: { directory: journal, mail_users: mailUsers, retention: "7d", max_size: "1TiB" },
    state_directory: state,
    destinations: { openchange: { resolver, cn: "email" } },
  };
  // JSON is YAML.
  writeFileSync(config, JSON.stringify(settings));
  const before = nowNs();
  const daemon = new DaemonProcess({ args: ["--config", config], wrapper: prefix, nodeArgs });
  await daemon.ready();
  const startMs = (nowNs() - before) / 1e6;
  const status = (): Promise<Status> => askStatus(state);
  return {
    pid: daemon.pid,
    startMs,
    log: () => daemon.text,
    status,
    settled: () =>
      waitFor("the daemon to have settled", async () => lagOf(await status()) === 0, 60_000).then(() => undefined),
    async stop(signal = "SIGTERM") {
      daemon.signal(signal);
      await daemon.ended();
    },
  };
}

/** Records that are not yet answered for good, the unread ones included. */
function lagOf({ destinations }: Status): number | undefined {
  return destinations["openchange"]?.lagRecords;
}
