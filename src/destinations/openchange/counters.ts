import { counter, warning, type Counter } from "../../delivery/counter.ts";

/** What this kind counts beside what each destination does. */
export const counters: Readonly<Record<DetailName, Counter>> = {
  sent: counter("notifications that a server has"),
  resent: counter("records sent again because a connection broke"),
  lookupFailures: counter("look-ups without an answer, each tried again"),
  lookupsAgain: counter("look-ups that found nobody in a memcached that had just been started, each done again"),
  hostFailures: counter("connections that failed, each tried again"),
  lookingUp: counter("records that wait for a look-up"),
  hosts: counter("servers known at the moment"),
  connected: counter("those of them that are connected"),
};

/** What this kind counts. */
export type DetailName =
  | "sent"
  | "resent"
  | "lookupFailures"
  | "lookupsAgain"
  | "hostFailures"
  | "lookingUp"
  | "hosts"
  | "connected";

/** Why a notification may be given up. */
export const dropReasons: Readonly<Record<DropReason, Counter>> = {
  expired: warning(
    "notifications that could not be sent within their time to live",
    "journalctl -u ocnotify names the server or the memcached that did not answer: start it, or open the port; or the segment that could not be read",
  ),
  overflow: warning(
    "notifications given up because too many waited for servers that take nothing, or for one user of the system",
    "journalctl -u ocnotify names such a server, or the uid: start the server anew, or take it out with ocnotify flush; see users of the system in docs/operations.md",
  ),
  charset: warning(
    "notifications with a name, mostly the backend's, that the servers' charset cannot express",
    "journalctl -u ocnotify says which: correct openchange_backend, or set charset to the servers' dos charset",
  ),
  "no-uid": warning(
    "notifications of messages without a UID, for each server that would have been told",
    "see messages without a UID in docs/operations.md: ocnotify_fields must have uid; a few may come from a busy Maildir",
  ),
  "bad-address": warning(
    "notifications to a server whose registered address cannot be used",
    "ocnotify list --username <user> shows it: correct what the server registers, and ocnotify flush --username <user>",
  ),
  "bad-record": warning(
    "notifications of users whose record in memcached cannot be decoded or is longer than 256 KiB, and of those with more than 1,024 hosts, notifications to all but the last 1,024",
    "set remove_refused_after where many hosts of a record are dead; else ocnotify flush --username <user>, for the users that journalctl -u ocnotify names",
  ),
  "bad-resolver": warning(
    "notifications of users who cannot be looked up",
    "journalctl -u ocnotify names user and reason: a wrong openchange_resolver, a user name that is no key of memcached, or more strings than users of the system may name (resolvers in ocnotify.yaml)",
  ),
  "host-removed": warning(
    "notifications to servers that had refused for remove_refused_after and were taken out of memcached",
    "start the server; it must register anew",
  ),
  unregistered: counter("notifications to servers that had stopped and unregistered"),
  gone: warning(
    "notifications whose record was deleted from the journal, or cut off, before they were sent",
    "with `fullBytes`, see there; otherwise find what deletes files of the journal and keep it from that",
  ),
};

/** Why a notification was given up. */
export type DropReason =
  | "expired"
  | "overflow"
  | "charset"
  | "no-uid"
  | "bad-address"
  | "bad-record"
  | "bad-resolver"
  | "host-removed"
  | "unregistered"
  | "gone";
