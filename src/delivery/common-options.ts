import * as v from "valibot";
import { EVENT_NAMES, MESSAGE_EVENT_NAMES } from "../events/event.ts";
import { listOption } from "./options.ts";

const EXCLUDING = "! before it excludes it";
const A_NAME = `a name in which * stands for anything; ${EXCLUDING}`;
const A_SERVICE = `a service of Dovecot such as lda, lmtp or imap; ${EXCLUDING}`;

const filteredEvents = {
  schema: v.picklist(
    [...EVENT_NAMES, ...EVENT_NAMES.map((name) => `!${name}` as const)],
    `one of ${EVENT_NAMES.join(", ")}; ${EXCLUDING}`,
  ),
  type: "list of events",
  expected: "a list of events",
};
const names = {
  schema: v.pipe(v.string(A_NAME), v.regex(/^(?!!$)./s, A_NAME)),
  type: "list of patterns",
  expected: "a list of names",
};
const services = {
  schema: v.pipe(v.string(A_SERVICE), v.regex(/^!?[a-z0-9*?_-]+$/, A_SERVICE)),
  type: "list of patterns",
  expected: "a list of services",
};
/** Entries of a list of events about messages. */
export const messageEvents = {
  schema: v.picklist(MESSAGE_EVENT_NAMES, `one of ${MESSAGE_EVENT_NAMES.join(", ")}`),
  type: "list of events",
  expected: "a list of events",
};

/** The options of every destination. */
export const commonOptions = {
  events: listOption(
    filteredEvents,
    undefined,
    "Only these events. Their names are in the description of the journal's format.",
  ),
  users: listOption(names, undefined, "Only events of these users."),
  mailboxes: listOption(
    names,
    undefined,
    'Only events in these mailboxes: `["!EXPUNGED/*"]` is all but those below EXPUNGED.',
  ),
  services: listOption(
    services,
    undefined,
    "Only changes that were made by these services of Dovecot: `lda`, `lmtp`, `imap`, `pop3`, `doveadm` …",
  ),
};
