import type { Command } from "commander";
import { readFileSync } from "node:fs";
import { Resolver } from "../destinations/openchange/resolver.ts";
import { printable } from "../printable.ts";
import { charsetOption, example, serverOption, usernameOption } from "./options.ts";

export interface ListOptions {
  username: string;
  server: string;
  charset: string;
}

export function addList(program: Command): void {
  program
    .command("list")
    .description("prints the hosts that are registered for a user, one a line")
    .addOption(usernameOption())
    .addOption(serverOption())
    .addOption(charsetOption())
    .addHelpText("after", example("ocnotify list --username jdoe"))
    .action(async (options: ListOptions) => {
      const hosts = await withResolver(options, (resolver) => resolver.hosts(options.username));
      for (const host of hosts) process.stdout.write(`${printable(host)}\n`);
    });
}

/** Opens the resolver for one piece of work. The string is the caller's own, so what it names may be read. */
export async function withResolver<T>(
  { server, charset }: { server: string; charset: string },
  work: (resolver: Resolver) => Promise<T>,
): Promise<T> {
  const resolver = new Resolver(server, { readFile: (path) => readFileSync(path, "utf8"), charset });
  try {
    return await work(resolver);
  } finally {
    resolver.close();
  }
}
