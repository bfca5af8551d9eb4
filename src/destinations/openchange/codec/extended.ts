import { OcnotifyError } from "../../../errors.ts";
import { NdrReader } from "../../../protocols/ndr/reader.ts";
import { NdrWriter } from "../../../protocols/ndr/writer.ts";
import { charset, type Charset, type Spelling } from "./charset.ts";
import { type NewMail, NewMailEncoder, readMessage, readSeparator, separatorByte } from "./newmail.ts";
import { notificationFlags } from "./notification-flags.ts";
import { readVersion, recordVersion } from "./record-version.ts";

/** The message is gone from the folder. */
export interface ObjectDeleted extends NewMail {
  readonly type: "ObjectDeleted";
}

/** The message's flags or keywords changed; with no names at all, the receiver reads them again. */
export interface ObjectModified extends NewMail {
  readonly type: "ObjectModified";
  /** IMAP flags and keywords that were added, such as `\Seen` or `$Forwarded`. */
  readonly flagsSet: readonly string[];
  /** Those that were removed. */
  readonly flagsCleared: readonly string[];
}

/** Where a message came from; `folder` and `eml` beside it say where it is now. */
interface Relocated extends NewMail {
  readonly oldEml: string;
  readonly oldFolder: string;
  /** The separator in `oldFolder`: another namespace can have another. */
  readonly oldSeparator: string;
}

export interface ObjectMoved extends Relocated {
  readonly type: "ObjectMoved";
}

export interface ObjectCopied extends Relocated {
  readonly type: "ObjectCopied";
}

/** What a payload on the notification socket can say. All but NewMail is our extension: docs/ocnotify-extended.idl. */
export type Notification =
  | (NewMail & { readonly type: "NewMail" })
  | ObjectDeleted
  | ObjectModified
  | ObjectMoved
  | ObjectCopied;

/**
 * The payload of any notification. `ERR_CHARSET` for text that the dos charset cannot express, `ERR_SEPARATOR`, and
 * `ERR_FLAG_NAME` for a flag that IMAP would not allow either.
 */
export function encodeNotification(notification: Notification, strings: Charset = charset()): Buffer {
  return encode(notification, strings, strings);
}

function encode(notification: Notification, strings: Charset, folders: Spelling): Buffer {
  const writer = new NdrWriter();
  writer.u8(recordVersion, "version");
  writer.u16(notificationFlags[notification.type], "flags");
  writer.cstring(strings.encode(notification.backend, "backend"), "backend");
  writer.cstring(strings.encode(notification.eml, "eml"), "eml");
  writer.cstring(folders.encode(notification.folder, "folder"), "folder");
  writer.u8(separatorByte(notification.separator), "separator");
  switch (notification.type) {
    case "NewMail":
    case "ObjectDeleted":
      break;
    case "ObjectModified":
      writer.cstring(encodeFlagNames(notification.flagsSet, strings), "flags set");
      writer.cstring(encodeFlagNames(notification.flagsCleared, strings), "flags cleared");
      break;
    case "ObjectMoved":
    case "ObjectCopied":
      writer.cstring(strings.encode(notification.oldEml, "old eml"), "old eml");
      writer.cstring(folders.encode(notification.oldFolder, "old folder"), "old folder");
      writer.u8(separatorByte(notification.oldSeparator), "old separator");
      break;
  }
  return writer.finish();
}

/**
 * What a payload says. `ERR_NOTIFICATION_UNSUPPORTED` for flags that name no arm (or several), `NdrError` for anything
 * else than one whole record, `ERR_RECORD_VERSION`, `ERR_CHARSET`, `ERR_FLAG_NAME`.
 */
export function decodeNotification(payload: Uint8Array, strings: Charset = charset()): Notification {
  const reader = new NdrReader(payload);
  readVersion(reader, "notification");
  const flags = reader.u16("flags");
  const notification = readArm(reader, flags, strings);
  reader.end();
  return notification;
}

function readArm(reader: NdrReader, flags: number, strings: Charset): Notification {
  switch (flags) {
    case notificationFlags.NewMail:
      return { type: "NewMail", ...readMessage(reader, strings) };
    case notificationFlags.ObjectDeleted:
      return { type: "ObjectDeleted", ...readMessage(reader, strings) };
    case notificationFlags.ObjectModified:
      return {
        type: "ObjectModified",
        ...readMessage(reader, strings),
        flagsSet: readFlagNames(reader, "flags set", strings),
        flagsCleared: readFlagNames(reader, "flags cleared", strings),
      };
    case notificationFlags.ObjectMoved:
      return { type: "ObjectMoved", ...readRelocated(reader, strings) };
    case notificationFlags.ObjectCopied:
      return { type: "ObjectCopied", ...readRelocated(reader, strings) };
    default:
      throw new OcnotifyError(
        "ERR_NOTIFICATION_UNSUPPORTED",
        `notification flags 0x${flags.toString(16).padStart(4, "0")} have no known payload`,
      );
  }
}

function readRelocated(reader: NdrReader, strings: Charset): Relocated {
  return {
    ...readMessage(reader, strings),
    oldEml: strings.decode(reader.cstring("old eml"), "old eml"),
    oldFolder: strings.decode(reader.cstring("old folder"), "old folder"),
    oldSeparator: readSeparator(reader, "old separator"),
  };
}

/** One string with a space between the names, which no IMAP flag can contain (RFC 9051, flag-keyword is an atom). */
function encodeFlagNames(names: readonly string[], strings: Charset): Buffer {
  for (const name of names) checkFlagName(name);
  return strings.encode(names.join(" "), "flag names");
}

function readFlagNames(reader: NdrReader, field: string, strings: Charset): string[] {
  const text = strings.decode(reader.cstring(field), field);
  const names = text === "" ? [] : text.split(" ");
  for (const name of names) checkFlagName(name);
  return names;
}

function checkFlagName(name: string): void {
  // Printable ASCII without space; what else IMAP forbids in an atom does no harm here.
  if (!/^[!-~]+$/.test(name)) {
    throw new OcnotifyError("ERR_FLAG_NAME", `${JSON.stringify(name)} is not the name of an IMAP flag or keyword`);
  }
}

/** Encodes any notification, one after another, into a buffer of the caller; new mail, which is most of it, fast. */
export class NotificationEncoder {
  readonly #charset: Charset;
  readonly #folders: Spelling;
  readonly #newMail: NewMailEncoder;
  /** The last one that took the slow way, which is measured first and then written. */
  #last: { notification: Notification; payload: Buffer } | undefined;

  /** @param folders how names of folders are spelled; by default they are as on the wire, and ASCII or in the dos charset */
  constructor(strings: Charset = charset(), folders: Spelling = strings) {
    this.#charset = strings;
    this.#folders = folders;
    this.#newMail = new NewMailEncoder(strings, folders);
  }

  /** How many bytes `write` needs for it. Throws as `encodeNotification` does. */
  encodedLength(notification: Notification): number {
    return notification.type === "NewMail"
      ? this.#newMail.encodedLength(notification)
      : this.#encode(notification).length;
  }

  /** Writes it at `offset` and returns the offset after it; there must be room for `encodedLength` bytes. */
  write(target: Buffer, offset: number, notification: Notification): number {
    if (notification.type === "NewMail") return this.#newMail.write(target, offset, notification);
    const payload = this.#encode(notification);
    target.set(payload, offset);
    return offset + payload.length;
  }

  #encode(notification: Notification): Buffer {
    if (this.#last?.notification !== notification) {
      this.#last = { notification, payload: encode(notification, this.#charset, this.#folders) };
    }
    return this.#last.payload;
  }
}
