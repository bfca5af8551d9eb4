import type { Command } from "commander";
import { readFileSync } from "node:fs";
import { printable } from "../printable.ts";
import { parseConfigString } from "../protocols/memcached/config-string.ts";
import { checkKey } from "../protocols/memcached/key.ts";
import { MemcachedPool } from "../protocols/memcached/pool.ts";
import { example, serverOption } from "./options.ts";

export function addWhich(program: Command): void {
  program
    .command("which")
    .description("prints the memcached server on which each key is, one a line, in the order of the keys")
    .addOption(serverOption())
    .argument("<key...>", "keys such as resolver:jdoe, without the namespace")
    .addHelpText("after", example('ocnotify which --server "--SERVER=mc1 --SERVER=mc2" resolver:jdoe resolver:anna'))
    .action((keys: string[], options: { server: string }) => {
      // The string is the caller's own, so what it names may be read.
      const pool = new MemcachedPool(
        parseConfigString(options.server, { readFile: (path) => readFileSync(path, "utf8") }),
      );
      for (const key of keys) {
        try {
          checkKey(key, pool.config.namespace);
          process.stdout.write(`${pool.serverFor(key).name}\n`);
        } catch (error) {
          process.stderr.write(`ocnotify: ${printable((error as Error).message)}\n`);
          process.exitCode = 1;
        }
      }
      pool.close();
    });
}
