import type { Command } from "commander";
import { stringify } from "yaml";
import { readConfigSource, unusableValues } from "../config.ts";
import { OcnotifyError } from "../errors.ts";
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
      const { config, file, exists } = await readConfigSource(options.config);
      const unusable = await unusableValues(config);
      if (unusable.length > 0) throw new OcnotifyError("ERR_CONFIG", `${file}: ${unusable.join("; ")}`);
      const source = exists ? `${file}, and the defaults for what it leaves out` : `there is no ${file}: the defaults`;
      process.stdout.write(`# In effect: ${source}\n${stringify(config)}`);
    });
}
