import type { DeliveryStatus } from "./delivery/delivery.ts";
import type { DropReason } from "./delivery/destination.ts";
import type { FileFault } from "./journal/segment.ts";
import type { Status } from "./status.ts";

/** What a counter of the status means, and what to do when it counts a loss. */
interface Counter {
  readonly meaning: string;
  /**
   * Absent where nothing is lost and nothing left. `fault`: it is so now, and ends when somebody acts; `warning`: it has
   * happened since the daemon's start.
   */
  readonly loss?: "fault" | "warning";
  /** What to do about a loss. */
  readonly remedy?: string;
}

type Numbers<T> = { [Name in keyof T & string]: T[Name] extends number ? Name : never }[keyof T & string];
export type JournalCounter = Numbers<Status["journal"]> | `notRead.${FileFault}`;
export type DestinationCounter = Numbers<DeliveryStatus> | `dropped.${DropReason}`;

const fault = (meaning: string, remedy: string): Counter => ({ meaning, loss: "fault", remedy });
const warning = (meaning: string, remedy: string): Counter => ({ meaning, loss: "warning", remedy });

const REMOVE_FILES =
  "the plugin makes no such file, and records elsewhere while it is there: ls -ln in the journal's directory shows whose it is. The daemon deletes what is no file, once a minute. Remove it if it stays";

/** The counters of the journal, as `ocnotify status --json` has them. docs/operations.md repeats this table. */
export const JOURNAL_COUNTERS: Readonly<Record<JournalCounter, Counter>> = {
  segments: { meaning: "segments, those included that are read and not old enough to be deleted" },
  cleared: { meaning: "files deleted that had the names of segments and were none: somebody else made them" },
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
  "notRead.unreadable": fault(
    "files that cannot even be looked at",
    "let the daemon's user into the journal's directory: ocnotify check says what its mode and owner must be",
  ),
};

/** The counters of one destination. */
export const DESTINATION_COUNTERS: Readonly<Record<DestinationCounter, Counter>> = {
  records: { meaning: "records read" },
  bytes: { meaning: "bytes read" },
  malformed: warning(
    "lines of the journal that are no records, skipped",
    "journalctl -u ocnotify names files and places. A full disk or a crash tears a line; many of them mean that another program writes there, or that the plugin is newer than the daemon: install the same version of both",
  ),
  unrecorded: warning(
    "changes that the plugin could not record because their records would have been longer than 64 KiB",
    "shorten openchange_resolver or openchange_backend in Dovecot's configuration, or the mailbox's name: journalctl -u dovecot -g openchange names one",
  ),
  untrusted: warning(
    "records of shared mailboxes that were passed over because their writer may not speak for the owner",
    "name those whom you trust to speak for everybody in journal.mail_users, and restart the daemon",
  ),
  lostBytes: warning(
    "bytes of segments that were deleted before these were read",
    "find what deletes files of the journal (a cleaning job?) and keep it from that: the daemon deletes what is done with",
  ),
  shrunk: warning(
    "times that a segment was found cut off, of which records may be lost",
    "find what truncates files of the journal (logrotate?) and keep it from that: only the plugin may write there",
  ),
  filtered: { meaning: "records that the destination's filters leave out" },
  done: { meaning: "records done with" },
  unreadBytes: { meaning: "bytes not read yet" },
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
  leftBytes: { meaning: "bytes of these that are not read" },
  lagRecords: { meaning: "records not done with, those not read estimated" },
  lagSeconds: { meaning: "age of the oldest record that was read and is not done with" },
  ignored: { meaning: "records of which the destination does not tell" },
  nobody: { meaning: "records of users for whom nobody is registered" },
  sent: { meaning: "notifications that a server has" },
  resent: { meaning: "records sent again because a connection broke" },
  lookupFailures: { meaning: "look-ups without an answer, each tried again" },
  lookupsAgain: { meaning: "look-ups that found nobody in a memcached that had just been started, each done again" },
  hostFailures: { meaning: "connections that failed, each tried again" },
  lookingUp: { meaning: "records that wait for a look-up" },
  waiting: { meaning: "notifications that wait for a server, or may have to be sent again" },
  hosts: { meaning: "servers known at the moment" },
  connected: { meaning: "those of them that are connected" },
  "dropped.expired": warning(
    "notifications that could not be sent within their time to live",
    "journalctl -u ocnotify names the server or the memcached that did not answer: start it, or open the port; or the segment that could not be read",
  ),
  "dropped.overflow": warning(
    "notifications given up because too many waited for servers that take nothing, or for one user of the system",
    "journalctl -u ocnotify names such a server, or the uid: start the server anew, or take it out with ocnotify flush; see users of the system in docs/operations.md",
  ),
  "dropped.charset": warning(
    "notifications with a name, mostly the backend's, that the servers' charset cannot express",
    "journalctl -u ocnotify says which: correct openchange_backend, or set charset to the servers' dos charset",
  ),
  "dropped.no-uid": warning(
    "notifications of messages without a UID, for each server that would have been told",
    "see messages without a UID in docs/operations.md: openchange_fields must have uid; a few may come from a busy Maildir",
  ),
  "dropped.bad-address": warning(
    "notifications to a server whose registered address cannot be used",
    "ocnotify list --username <user> shows it: correct what the server registers, and ocnotify flush --username <user>",
  ),
  "dropped.bad-record": warning(
    "notifications of users whose record in memcached cannot be decoded or is longer than 256 KiB, and of those with more than 1,024 hosts, notifications to all but the last 1,024",
    "set remove_refused_after where many hosts of a record are dead; else ocnotify flush --username <user>, for the users that journalctl -u ocnotify names",
  ),
  "dropped.bad-resolver": warning(
    "notifications of users who cannot be looked up",
    "journalctl -u ocnotify names user and reason: a wrong openchange_resolver, a user name that is no key of memcached, or more strings than users of the system may name (resolvers in ocnotify.yaml)",
  ),
  "dropped.host-removed": warning(
    "notifications to servers that had refused for so long that they were taken out of memcached",
    "start the server; it must register anew",
  ),
  "dropped.unregistered": { meaning: "notifications to servers that had stopped and unregistered" },
  "dropped.gone": warning(
    "notifications whose record was deleted from the journal, or cut off, before they were sent",
    "find what deletes files of the journal and keep it from that",
  ),
};

/** One counter of a status that counts a loss, or something that is left. */
export interface Loss {
  /** A destination's name; undefined for the journal. */
  readonly destination: string | undefined;
  readonly counter: string;
  readonly state: "fault" | "warning";
  /** Which loss and how much, in words. */
  readonly message: string;
  readonly count: number;
  readonly remedy: string;
}

/** Everything that a daemon has lost or leaves unread, the journal's first. */
export function lossesOf({ journal, destinations }: Status): Loss[] {
  return [
    ...lossesIn(JOURNAL_COUNTERS, counts(journal)),
    ...Object.entries(destinations).flatMap(([name, status]) =>
      lossesIn(DESTINATION_COUNTERS, counts(status), name).map((loss) =>
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
  return Object.entries(table).flatMap(([counter, { meaning, loss: state, remedy }]) => {
    const count = counted.get(counter) ?? 0;
    if (count === 0 || state === undefined || remedy === undefined) return [];
    return [{ destination, counter, state, count, message: `${meaning}: ${count}`, remedy }];
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
