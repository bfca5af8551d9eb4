import type { DeliveryStatus, Outcomes } from "./delivery/delivery.ts";
import type { Kind } from "./delivery/kind.ts";
import { alarm, counter, fault, warning, type Counter } from "./delivery/counter.ts";
import type { FileFault } from "./journal/segment.ts";
import type { Status } from "./status.ts";

type Numbers<T> = { [Name in keyof T & string]: T[Name] extends number ? Name : never }[keyof T & string];
export type JournalCounter = Numbers<Status["journal"]> | `notRead.${FileFault}`;
export type DestinationCounter = Numbers<DeliveryStatus> | `outcomes.${keyof Outcomes}`;

const REMOVE_FILES =
  "the plugin makes no such file, and records elsewhere while it is there: ls -ln in the journal's directory shows whose it is. The daemon deletes what is no file, once a minute. Remove it if it stays";

/** The counters of the journal, as `ocnotify status --json` has them. docs/operations.md repeats this table. */
export const JOURNAL_COUNTERS: Readonly<Record<JournalCounter, Counter>> = {
  segments: counter("segments, those included that are read and not old enough to be deleted"),
  bytes: counter("bytes of the segments"),
  heldBytes: counter("bytes of the segments that a destination has yet to read, or to be done with"),
  maxBytes: counter("`journal.max_size`, in bytes"),
  overHalfBytes: alarm(
    "bytes that a destination has yet to read, or to be done with, over half of journal.max_size, past which the oldest are deleted",
    "find out from ocnotify status which destination does not get on, and repair its receivers; or raise journal.max_size, if the disk has room",
  ),
  cleared: counter("files deleted that had the names of segments and were none: somebody else made them"),
  "notRead.foreign-owner": fault(
    "files that are not read because their owner is not the uid in their name",
    "in a container or a user namespace, map the mail users' uids to themselves: ls -ln in the journal's directory must show the uids of the names. Elsewhere somebody else made the files, and the plugin records elsewhere while they are there: the daemon deletes those that are empty or a system user's, once a minute; remove what stays",
  ),
  "notRead.symlink": fault("symbolic links, which are not read", REMOVE_FILES),
  "notRead.not-a-file": fault("directories, pipes or devices, which are not read", REMOVE_FILES),
  "notRead.hard-links": fault("files with several hard links, which are not read", REMOVE_FILES),
  "notRead.hole": fault(
    "files that are nearly all a hole, which are not read",
    "the plugin makes no such file: a process of that uid did. Remove it; while it is there, changes of that uid are not read",
  ),
  "notRead.too-many": fault(
    "segments that are not read yet because their writer, who is no mail user, has 10,000 others",
    "ls -ln in the journal's directory shows whose they are. If Dovecot delivers as that uid, add it to journal.mail_users and restart the daemon. Elsewhere that user makes files: they are read when the others are deleted; remove them",
  ),
  "notRead.unreadable": fault(
    "files that cannot even be looked at",
    "let the daemon's user into the journal's directory: ocnotify check says what its mode and owner must be",
  ),
};

/** The counters of each destination, whatever its kind. What its kind brings comes after them; see `countersOf`. */
const DESTINATION_COUNTERS: Readonly<Record<DestinationCounter, Counter>> = {
  records: counter("records read"),
  bytes: counter("bytes read"),
  malformed: warning(
    "lines of the journal that are no records, skipped",
    "journalctl -u ocnotify names files and places. A full disk or a crash tears a line; many of them mean that another program writes there, or that the plugin is newer than the daemon: install the same version of both",
  ),
  unrecorded: warning(
    "changes that the plugin could not record because their records would have been longer than 64 KiB",
    "shorten openchange_resolver or openchange_backend in Dovecot's configuration, or the mailbox's name: journalctl -u dovecot -g ocnotify names one",
  ),
  untrusted: warning(
    "records of shared mailboxes that were passed over because their writer may not speak for the owner",
    "name those whom you trust to speak for everybody in journal.mail_users, and restart the daemon",
  ),
  lostBytes: warning(
    "bytes of segments that were deleted before these were read",
    "find what deletes files of the journal (a cleaning job?) and keep it from that: the daemon deletes what is done with",
  ),
  fullBytes: warning(
    "bytes of segments that were deleted because the journal had reached journal.max_size, before these were read and done with",
    "find out from ocnotify status and journalctl -u ocnotify why the destination did not get on; raise journal.max_size, if the disk has room. What is lost is not notified: clients see those changes when they next look",
  ),
  shrunk: warning(
    "times that a segment was found cut off, of which records may be lost",
    "find what truncates files of the journal (logrotate?) and keep it from that: only the plugin may write there",
  ),
  "outcomes.notified": counter("records of which everybody has been notified who was to be"),
  "outcomes.dropped": counter("records of which a notification was given up, for one receiver at least"),
  "outcomes.nobody": counter("records of users for whom nobody is registered"),
  "outcomes.ignored": counter("records of which the destination does not notify"),
  "outcomes.filtered": counter("records that the destination's filters leave out"),
  "outcomes.waiting": counter("records not done with. These six are all that were read"),
  unreadBytes: counter("bytes not read yet"),
  unreadableSegments: fault(
    "segments that cannot be read for now, tried again every minute, or every second while no descriptor is free",
    "journalctl -u ocnotify names one and says why; mostly the journal's directory lacks mode 3733 or the daemon's group",
  ),
  unknownSegments: fault(
    "segments that wait because the system does not say who their owner is, asked again every minute",
    "see what getent passwd <uid> says, and repair the name service (sssd, winbind, LDAP)",
  ),
  leftSegments: fault(
    "segments that are left, and kept, because their writer may not speak for the user whom they name",
    "if Dovecot delivers as that uid, add it to journal.mail_users; if the user is that user of the system under another name, say so in journal.user_names; then restart the daemon",
  ),
  leftBytes: counter("bytes of these that are not read"),
  lagRecords: counter("records not done with, those not read estimated"),
  lagSeconds: counter("age of the oldest record that was read and is not done with"),
  waiting: counter("notifications that wait for a server, or may have to be sent again"),
};

/** One counter of a status that counts a loss, or something that is left. */
export interface Loss {
  /** A destination's name; undefined for the journal. */
  readonly destination: string | undefined;
  readonly counter: string;
  readonly state: "fault" | "warning" | "alarm";
  /** Which loss and how much, in words. */
  readonly message: string;
  readonly count: number;
  readonly remedy: string;
}

/** The kinds of destinations, by their type. */
export type Kinds = ReadonlyMap<string, Kind>;

/** What the numbers of a destination of this kind mean, by their names in `ocnotify status --json`. */
export function countersOf(kind: Kind | undefined): Readonly<Record<string, Counter>> {
  return {
    ...DESTINATION_COUNTERS,
    ...withPrefix("details", kind?.counters),
    ...withPrefix("dropped", kind?.dropReasons),
  };
}

function withPrefix(prefix: string, counters: Readonly<Record<string, Counter>> = {}): Record<string, Counter> {
  return Object.fromEntries(Object.entries(counters).map(([name, each]) => [`${prefix}.${name}`, each]));
}

/** Everything that a daemon has lost or leaves unread, the journal's first. */
export function lossesOf({ journal, destinations }: Status, kinds: Kinds): Loss[] {
  return [
    ...lossesIn(JOURNAL_COUNTERS, counts(journal)),
    ...Object.entries(destinations).flatMap(([name, status]) =>
      lossesIn(countersOf(kinds.get(status.type)), counts(status), name).map((loss) =>
        loss.counter === "leftSegments" && status.left.length > 0
          ? { ...loss, remedy: status.left.map(({ advice }) => advice).join("; ") }
          : loss,
      ),
    ),
  ];
}

function lossesIn(
  table: Readonly<Record<string, Counter>>,
  counted: Map<string, number>,
  destination?: string,
): Loss[] {
  return Object.entries(table).flatMap(([name, { meaning, loss: state, remedy }]) => {
    const count = counted.get(name) ?? 0;
    if (count === 0 || state === undefined || remedy === undefined) return [];
    return [{ destination, counter: name, state, count, message: `${meaning}: ${count}`, remedy }];
  });
}

/** The numbers of a part of the status, those of an inner object under `outer.inner`. */
function counts(part: object): Map<string, number> {
  const counted = new Map<string, number>();
  for (const [name, value] of Object.entries(part) as [string, unknown][]) {
    if (typeof value === "number") counted.set(name, value);
    if (typeof value !== "object" || value === null) continue;
    for (const [inner, count] of Object.entries(value)) {
      if (typeof count === "number") counted.set(`${name}.${inner}`, count);
    }
  }
  return counted;
}
