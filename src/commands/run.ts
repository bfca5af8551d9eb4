import { setFlagsFromString } from "node:v8";
import { Option, type Command } from "commander";
import { DEFAULT_CONFIG_FILE, readConfig, unusableValues, type Config } from "../config.ts";
import { startDaemon, type Daemon } from "../daemon.ts";
import { createLog, type Logger, LOG_FORMATS, LOG_LEVELS, type LogFormat, type LogLevel } from "../log.ts";
import { systemd, type Systemd } from "../systemd.ts";
import { example } from "./options.ts";

/**
 * Events live for a second or so: too long for V8's young generation, and it lets the old one grow to several times of
 * what lives before it looks for what does not. Small steps take a quarter off the resident memory under load, and cost
 * no throughput that could be measured.
 */
setFlagsFromString("--heap-growing-percent=20");
setFlagsFromString("--semi-space-growth-factor=1");

interface RunOptions {
  config?: string;
  journal?: string;
  stateDir?: string;
  mailUser?: string[];
  logLevel?: LogLevel;
  logFormat?: LogFormat;
}

export function addRun(program: Command): void {
  program
    .command("run")
    .description(
      "the daemon: reads the journal and tells everybody, until SIGTERM or SIGINT. SIGHUP: reads its configuration again",
    )
    .option("-c, --config <file>", `configuration file (default: ${DEFAULT_CONFIG_FILE} if it exists)`)
    .option("--journal <dir>", "directory of the journal")
    .option("--state-dir <dir>", "directory for what must survive a restart")
    .option("--mail-user <user...>", "users or uids that Dovecot delivers as, beside root and the daemon's own")
    .addOption(new Option("--log-level <level>", "how much to log").choices(LOG_LEVELS))
    .addOption(new Option("--log-format <format>", "how to log").choices(LOG_FORMATS))
    .addHelpText("after", example("ocnotify run --journal /var/spool/ocnotify/journal --log-format json"))
    .action(async (options: RunOptions) => {
      const config = withOptions(await readConfig(options.config), options);
      const log = createLog(config.log);
      const service = systemd(log);
      // Listened for before anybody is told that the daemon is ready: who starts it may stop it at once.
      const stopping = nextSignal();
      void stopping.then(nextSignal).then(() => process.exit(1));
      // Listened for from the beginning, or a signal that comes early would end it.
      let wanted = false;
      let reload = (): void => void (wanted = true);
      process.on("SIGHUP", () => reload());
      const daemon = await startDaemon(config, log);
      service.ready();
      reload = oneAtATime(() => reloadConfig(daemon, service, options, log));
      if (wanted) reload();
      const signal = await stopping;
      reload = () => undefined;
      service.stopping();
      log.info({ signal }, "stopping; a second signal stops at once");
      await daemon.stop();
      log.info("stopped");
      process.exit(0);
    });
}

/** What the command line says goes before what the file says. */
function withOptions(config: Config, options: RunOptions): Config {
  return {
    ...config,
    log: { level: options.logLevel ?? config.log.level, format: options.logFormat ?? config.log.format },
    journal: {
      ...config.journal,
      directory: options.journal ?? config.journal.directory,
      mail_users: options.mailUser ?? config.journal.mail_users,
    },
    state_directory: options.stateDir ?? config.state_directory,
  };
}

/** What is wrong with the file is logged, and then nothing changes. */
async function reloadConfig(daemon: Daemon, service: Systemd, options: RunOptions, log: Logger): Promise<void> {
  await service.reloading();
  try {
    const config = withOptions(await readConfig(options.config), options);
    const unusable = await unusableValues(config);
    if (unusable.length > 0) throw new Error(unusable.join("; "));
    await daemon.reload(config);
  } catch (error) {
    log.error(
      `the configuration is not read again, and nothing has changed: ${(error as Error).message}. Correct it (ocnotify config check), then systemctl reload ocnotify`,
    );
  }
  service.ready();
}

/** Of what is asked for while it is being done, one more is done after it. */
function oneAtATime(act: () => Promise<void>): () => void {
  let wanted = 0;
  return () => {
    if (wanted++ > 0) return;
    void (async () => {
      do {
        wanted = 1;
        await act();
      } while (--wanted > 0);
    })();
  };
}

function nextSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, resolve);
  });
}
