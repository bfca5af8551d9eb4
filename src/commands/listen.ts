import type { Command } from "commander";
import type { Notification } from "../destinations/openchange/codec/extended.ts";
import { createListener } from "../listener.ts";
import { fields, json, printable } from "../printable.ts";
import { charsetOption, example, serverOption, usernameOption } from "./options.ts";

interface ListenOptions {
  username: string;
  server: string;
  bind: string;
  advertise?: string;
  charset: string;
  json?: true;
}

export function addListen(program: Command): void {
  program
    .command("listen")
    .description("receives as a server does: registers for a user and prints each notification as it comes")
    .addOption(usernameOption())
    .addOption(serverOption())
    .option("--bind <address>", "nanomsg address to listen at (port 0: any)", "tcp://127.0.0.1:0")
    .option("--advertise <address>", "address to register, where it is not the one listened at")
    .addOption(charsetOption())
    .option("--json", "one JSON object a line")
    .addHelpText("after", example("ocnotify listen --username jdoe"))
    .action(async (options: ListenOptions) => {
      const listener = await createListener({
        users: [options.username],
        resolver: options.server,
        bind: options.bind,
        charset: options.charset,
        ...(options.advertise === undefined ? {} : { advertise: options.advertise }),
        onError: (error) => process.stderr.write(`ocnotify: ${printable(error.message)}\n`),
      });
      for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => void listener.close());
      process.stderr.write(
        `listening at ${listener.registered} for ${options.username}; Ctrl-C unregisters and ends\n`,
      );
      for await (const notification of listener) {
        const at = new Date().toISOString();
        process.stdout.write(
          `${options.json === true ? json({ at, ...notification }) : `${at} ${describe(notification)}`}\n`,
        );
      }
      await listener.close();
    });
}

/** `NewMail backend="sogo" eml="42.eml" …`: the type, then each field. */
function describe({ type, ...rest }: Notification): string {
  return `${type} ${fields(rest)}`;
}
