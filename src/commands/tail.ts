import { InvalidArgumentError, Option, type Command } from "commander";
import { readConfig } from "../config.ts";
import { milliseconds } from "../delivery/options.ts";
import { EVENT_NAMES, type EventName, type MailboxEvent } from "../events/event.ts";
import { eventFilter } from "../events/filter.ts";
import { JournalDirectory } from "../journal/directory.ts";
import { Owners } from "../journal/owners.ts";
import type { EventRecord } from "../journal/stretch.ts";
import { Tail } from "../journal/tail.ts";
import { createLog } from "../log.ts";
import { fields, json } from "../printable.ts";
import { example } from "./options.ts";

interface TailOptions {
  config?: string;
  journal?: string;
  mailUser?: string[];
  user?: string[];
  event?: EventName[];
  mailbox?: string[];
  since?: number;
  json?: true;
  follow: boolean;
}

export function addTail(program: Command): void {
  program
    .command("tail")
    .description("prints the events of the journal as they come, until Ctrl-C")
    .option("-c, --config <file>", "configuration file of the daemon")
    .option("--journal <dir>", "directory of the journal")
    .option("--mail-user <user...>", "users or uids that Dovecot delivers as, beside root and one's own")
    .option("--user <glob...>", "only events of these users; ! before one excludes it")
    .addOption(new Option("--event <name...>", "only these events").choices(EVENT_NAMES))
    .option("--mailbox <glob...>", "only events of these mailboxes, of a move where to; ! before one excludes it")
    .option(
      "--since <duration>",
      "begin with what happened this long ago (10m, 1h, …), not with what comes",
      parseSince,
    )
    .option("--no-follow", "end with what there is")
    .option("--json", "one JSON object a line")
    .addHelpText("after", example("ocnotify tail --user jdoe --since 10m"))
    .action(async (options: TailOptions) => {
      const config = await readConfig(options.config);
      const log = createLog({ level: "warn", format: "text" });
      const owners = new Owners(options.mailUser ?? config.journal.mail_users, config.journal.user_names);
      await owners.resolve(log);
      const directory = new JournalDirectory(options.journal ?? config.journal.directory, owners, log);
      await directory.open();
      // What comes from now on is printed whatever its date: the clock may be set.
      const found = new Map(Array.from(directory.segments.values(), (segment) => [segment, segment.size]));
      const since = options.since === undefined ? Infinity : (Date.now() - options.since) * 1_000;
      const isWanted = ({ stretch, offset, event }: EventRecord): boolean =>
        event !== undefined &&
        (event.ts >= since || offset >= (found.get(stretch.segment) ?? 0)) &&
        filteredBy(event) === undefined;
      const filteredBy = eventFilter({ events: options.event, users: options.user, mailboxes: options.mailbox });
      const tail = new Tail(directory, undefined, () => print(), log);
      const print = (): void => {
        while (tail.behind) {
          const records: EventRecord[] = [];
          tail.read(records);
          for (const record of records) {
            if (record.event !== undefined && isWanted(record)) {
              process.stdout.write(`${options.json === true ? json(record.event) : describe(record.event)}\n`);
            }
            tail.answer(record.stretch, record.index);
          }
        }
      };
      print();
      // Who wrote a segment may have to be asked first, which goes on by itself; --no-follow must miss nothing.
      await tail.settled();
      if (options.follow) {
        await new Promise((resolve) => {
          for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, resolve);
        });
      }
      tail.close();
      directory.close();
    });
}

/** `2026-11-23T17:59:19.598Z MessageNew jdoe INBOX 42 …`: what every event has, then the rest of its fields. */
function describe(event: MailboxEvent): string {
  const { ts, event: name, user, mailbox, ...rest } = event as MailboxEvent & { v?: number };
  delete rest.v;
  return `${new Date(ts / 1_000).toISOString()} ${name} ${json(user).slice(1, -1)} ${json(mailbox)} ${fields(rest)}`;
}

function parseSince(text: string): number {
  const duration = milliseconds(text);
  if (Number.isNaN(duration)) throw new InvalidArgumentError("a duration such as 30s, 10m, 1h or 7d is wanted.");
  return duration;
}
