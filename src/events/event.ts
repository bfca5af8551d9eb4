import { OcnotifyError } from "../errors.ts";
import { json } from "../printable.ts";
import { countUids } from "./sequence-set.ts";

/**
 * What happened to a mailbox: one record of the journal (docs/journal-format.md). Names are those of RFC 5423
 * where it has one. Switch on `event`; each name has a type of its own.
 */
export type MailboxEvent =
  | MessageNew
  | MessageAppend
  | MessageCopy
  | MessageMove
  | MessageExpunge
  | FlagsSet
  | FlagsClear
  | MessageRead
  | MessageTrash
  | MailboxCreate
  | MailboxDelete
  | MailboxRename
  | MailboxSubscribe
  | MailboxUnSubscribe;

/** What every event has. */
interface Common {
  /** Microseconds of unix time at which Dovecot committed the change. */
  readonly ts: number;
  /** Whom to tell: the owner of the mailbox, as Dovecot calls him. */
  readonly user: string;
  /** Who did it, where that is somebody else (a shared mailbox). */
  readonly by?: string;
  /** The name that the user's client sees, any characters but NUL. */
  readonly mailbox: string;
  /** The hierarchy separator that `mailbox` uses. */
  readonly sep: string;
  /** The Dovecot service: lda, lmtp, imap, … */
  readonly service?: string;
  /** Dovecot's session id, as its own log lines have it. */
  readonly session?: string;
  /** What of the user name is looked up in the resolver; absent where the operator set nothing. */
  readonly cn?: "username" | "email";
  /** The mapistore backend; absent where the operator set nothing. */
  readonly backend?: string;
  /** The resolver's libmemcached configuration string; absent where the operator set nothing. */
  readonly resolver?: string;
}

/** What an event about messages has. */
interface Messages extends Common {
  /** UIDVALIDITY of `mailbox`. */
  readonly uidvalidity?: number;
  /** An IMAP sequence-set; absent when Dovecot gave the message no UID yet. See `uidsOf`. */
  readonly uids?: string;
}

/** What an event about one saved message may tell of it, as `ocnotify_fields` chooses. */
interface Saved extends Messages {
  /** Bytes as stored. */
  readonly size?: number;
  readonly messageId?: string;
  readonly from?: string;
  readonly subject?: string;
  /** The beginning of the text, as Dovecot's own snippet gives it: at most 200 characters. */
  readonly snippet?: string;
  readonly flags?: readonly string[];
}

/** A delivery (LDA, LMTP, Sieve's fileinto). */
export interface MessageNew extends Saved {
  readonly event: "MessageNew";
}
/** A save by a client or by an administrator. */
export interface MessageAppend extends Saved {
  readonly event: "MessageAppend";
}

/** Where something was before. */
interface Former {
  readonly oldMailbox: string;
  /** The hierarchy separator that `oldMailbox` uses, where it is another than `sep`. */
  readonly oldSep?: string;
}

interface Transferred extends Messages, Former {
  readonly oldUidvalidity?: number;
  /** The UIDs in the source, in matching order: the n-th of `oldUids` became the n-th of `uids`. */
  readonly oldUids?: string;
}
export interface MessageCopy extends Transferred {
  readonly event: "MessageCopy";
}
export interface MessageMove extends Transferred {
  readonly event: "MessageMove";
}
export interface MessageExpunge extends Messages {
  readonly event: "MessageExpunge";
}

interface Flagged extends Messages {
  /** System flags (`\Seen`) and keywords, those that changed. */
  readonly flags: readonly string[];
}
export interface FlagsSet extends Flagged {
  readonly event: "FlagsSet";
}
export interface FlagsClear extends Flagged {
  readonly event: "FlagsClear";
}
/** `\Seen` was set. */
export interface MessageRead extends Messages {
  readonly event: "MessageRead";
}
/** `\Deleted` was set. */
export interface MessageTrash extends Messages {
  readonly event: "MessageTrash";
}

export interface MailboxCreate extends Common {
  readonly event: "MailboxCreate";
}
export interface MailboxDelete extends Common {
  readonly event: "MailboxDelete";
}
export interface MailboxRename extends Common, Former {
  readonly event: "MailboxRename";
}
export interface MailboxSubscribe extends Common {
  readonly event: "MailboxSubscribe";
}
export interface MailboxUnSubscribe extends Common {
  readonly event: "MailboxUnSubscribe";
}

export type EventName = MailboxEvent["event"];

type FieldType = "uid-set" | "string" | "word" | "uint" | "strings";

/** The fields that an event must have beside the common ones, and those that it may have. */
interface Shape {
  readonly required: readonly string[];
  readonly uids: boolean;
}

const SHAPES: Readonly<Record<EventName, Shape>> = {
  MessageNew: { required: [], uids: true },
  MessageAppend: { required: [], uids: true },
  MessageCopy: { required: ["oldMailbox"], uids: true },
  MessageMove: { required: ["oldMailbox"], uids: true },
  MessageExpunge: { required: [], uids: true },
  FlagsSet: { required: ["flags"], uids: true },
  FlagsClear: { required: ["flags"], uids: true },
  MessageRead: { required: [], uids: true },
  MessageTrash: { required: [], uids: true },
  MailboxCreate: { required: [], uids: false },
  MailboxDelete: { required: [], uids: false },
  MailboxRename: { required: ["oldMailbox"], uids: false },
  MailboxSubscribe: { required: [], uids: false },
  MailboxUnSubscribe: { required: [], uids: false },
};

/** Every event name, in the order of the documentation. */
export const EVENT_NAMES = Object.keys(SHAPES) as readonly EventName[];

/** The names of events about messages. */
export const MESSAGE_EVENT_NAMES = EVENT_NAMES.filter((name) => SHAPES[name].uids);

const FIELD_TYPES: Readonly<Record<string, FieldType>> = {
  by: "word",
  uidvalidity: "uint",
  uids: "uid-set",
  oldMailbox: "string",
  oldUidvalidity: "uint",
  oldUids: "uid-set",
  flags: "strings",
  size: "uint",
  messageId: "string",
  from: "string",
  subject: "string",
  snippet: "string",
  service: "string",
  session: "string",
  backend: "word",
  resolver: "word",
};

/** Dovecot's own bound on a user name is lower; a memcached key takes 250 bytes. */
const MAX_USER_LENGTH = 1024;
/**
 * Dovecot creates mailboxes with names of up to 4,096 bytes. On disk it may find others, with characters that it shows as
 * three, and a namespace's prefix comes before that.
 */
const MAX_MAILBOX_LENGTH = 16_384;

// oxlint-disable-next-line no-control-regex -- control characters are what it is to find
const CONTROL = /[\u0000-\u001f\u007f]/;
/** What the plugin writes in place of bytes that are not UTF-8. */
const REPLACEMENT = "\ufffd";

/**
 * One line of the journal as an event. Anything can stand in a journal that many processes write, so everything
 * the rest of the program relies on is checked here.
 * @throws OcnotifyError ERR_RECORD_SYNTAX (not a JSON object), ERR_RECORD_VERSION (not version 1),
 * ERR_RECORD_LOST (stands for a change that could not be recorded), ERR_RECORD (a field that is missing or not what it
 * must be; the message names it, the user and the folder)
 */
export function parseRecord(line: string): MailboxEvent {
  let record: Record<string, unknown>;
  try {
    record = JSON.parse(line) as Record<string, unknown>;
  } catch (error) {
    throw new OcnotifyError("ERR_RECORD_SYNTAX", `not JSON: ${(error as Error).message}`, { cause: error });
  }
  if (typeof record !== "object" || record === null || Array.isArray(record)) {
    throw new OcnotifyError("ERR_RECORD_SYNTAX", "not a JSON object");
  }
  if (record["v"] !== 1) {
    throw new OcnotifyError("ERR_RECORD_VERSION", `record version ${shown(record["v"])}, only 1 is known`);
  }
  const name = record["event"];
  if (name === "RecordLost") throw lost(record);
  const shape = typeof name === "string" && Object.hasOwn(SHAPES, name) ? SHAPES[name as EventName] : undefined;
  if (shape === undefined) throw refused(record, "event", `unknown: ${shown(name)}`);

  const { ts, cn } = record;
  if (typeof ts !== "number" || !Number.isSafeInteger(ts) || ts < 0) throw refused(record, "ts", "not microseconds");
  checkUser(record);
  checkMailbox(record, "mailbox");
  checkSeparator(record, "sep");
  if (cn !== undefined && cn !== "username" && cn !== "email") {
    throw refused(record, "cn", "neither username nor email");
  }
  for (const field of shape.required) {
    if (record[field] === undefined) throw refused(record, field, "missing");
  }
  for (const field in record) {
    const type = FIELD_TYPES[field];
    if (type !== undefined) checkField(record, field, type);
  }
  if (record["oldMailbox"] !== undefined) checkMailbox(record, "oldMailbox");
  if (record["oldSep"] !== undefined) checkSeparator(record, "oldSep");
  if (shape.uids && record["uids"] !== undefined && record["oldUids"] !== undefined) checkMatching(record);
  return record as unknown as MailboxEvent;
}

/** A value as it may stand in a message: short, and nothing is walked that may be nested deeper than the stack. */
function shown(value: unknown): string {
  if (value === undefined) return "none";
  if (typeof value === "object" && value !== null) return "an object";
  return json(typeof value === "string" ? value.slice(0, 80) : value);
}

function lost({ user, lost: event }: Record<string, unknown>): OcnotifyError {
  const message = `${shown(event)} of user ${shown(user)} could not be recorded: its record would have been too long`;
  return new OcnotifyError("ERR_RECORD_LOST", message);
}

/** Names the user and the folder too: something happened there of which nobody will be told. */
function refused(record: Record<string, unknown>, field: string, reason: string): OcnotifyError {
  const { user, mailbox } = record;
  return new OcnotifyError(
    "ERR_RECORD",
    `field "${field}": ${reason} (user ${shown(user)}, mailbox ${shown(mailbox)})`,
  );
}

/** A user is looked up by name, so the name must be the one that Dovecot has, and a key of memcached can carry it. */
function checkUser(record: Record<string, unknown>): void {
  checkName(record, "user", MAX_USER_LENGTH);
  const user = record["user"] as string;
  if (CONTROL.test(user)) throw refused(record, "user", "has a control character");
  if (user.includes(REPLACEMENT)) throw refused(record, "user", "is not UTF-8 in Dovecot");
}

/** Folders may have control characters in their names: Dovecot does not refuse all of them, and finds others on disk. */
function checkMailbox(record: Record<string, unknown>, field: string): void {
  checkName(record, field, MAX_MAILBOX_LENGTH);
  if ((record[field] as string).includes("\0")) throw refused(record, field, "has a NUL");
}

function checkName(record: Record<string, unknown>, field: string, maxLength: number): void {
  const value = record[field];
  if (typeof value !== "string") throw refused(record, field, "not a string");
  if (value === "") throw refused(record, field, "empty");
  if (value.length > maxLength) {
    throw refused(record, field, `${value.length} characters, at most ${maxLength} are allowed`);
  }
}

function checkSeparator(record: Record<string, unknown>, field: string): void {
  const value = record[field];
  if (typeof value !== "string" || value.length !== 1 || value === "\0" || value > "\u007f") {
    throw refused(record, field, "not one ASCII character");
  }
}

function checkField(record: Record<string, unknown>, field: string, type: FieldType): void {
  const value = record[field];
  switch (type) {
    case "uint":
      if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
        throw refused(record, field, "not a number");
      }
      return;
    case "string":
      if (typeof value !== "string") throw refused(record, field, "not a string");
      return;
    // Goes to a resolver, a receiver or a terminal, where a control character means something.
    case "word":
      if (typeof value !== "string") throw refused(record, field, "not a string");
      if (CONTROL.test(value)) throw refused(record, field, "has a control character");
      return;
    case "strings":
      if (!Array.isArray(value) || value.some((item) => typeof item !== "string")) {
        throw refused(record, field, "not an array of strings");
      }
      return;
    case "uid-set": {
      if (typeof value !== "string") throw refused(record, field, "not a sequence-set");
      const result = countUids(value);
      if ("refused" in result) throw refused(record, field, `${result.refused}: ${shown(value)}`);
    }
  }
}

/** The two sets of a copy or a move pair up, so they are of one length. */
function checkMatching(record: Record<string, unknown>): void {
  const here = countUids(record["uids"] as string);
  const there = countUids(record["oldUids"] as string);
  if ("count" in here && "count" in there && here.count !== there.count) {
    throw refused(record, "oldUids", `${there.count} messages, but uids has ${here.count}`);
  }
}
