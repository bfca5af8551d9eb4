import type { Command } from "commander";
import { stringify } from "yaml";
import { readConfig } from "../config.ts";
import { example } from "./options.ts";

export function addConfig(program: Command): void {
  const config = program.command("config").description("about the configuration file");
  config.addHelpText("after", example("ocnotify config check"));
  config
    .command("check")
    .description("reads the configuration file and prints what is in effect, defaults included")
    .option("-c, --config <file>", "configuration file")
    .addHelpText("after", example("ocnotify config check --config /etc/ocnotify/ocnotify.yaml"))
    .action(async (options: { config?: string }) => {
      process.stdout.write(stringify(await readConfig(options.config)));
    });
}
