import { OcnotifyError } from "../../../errors.ts";
import { NdrReader } from "../../../protocols/ndr/reader.ts";
import { charset, type Charset, type Spelling } from "./charset.ts";
import { EncodedStrings } from "./encoded-strings.ts";
import { notificationFlags } from "./notification-flags.ts";
import { readVersion, recordVersion } from "./record-version.ts";

/** A message that appeared in a folder. */
export interface NewMail {
  /** The mapistore backend that owns the folder, such as `sogo`. */
  readonly backend: string;
  /** The message: `<uid>.eml`, see `emlName`. */
  readonly eml: string;
  /** The folder's full name with `separator` between its parts, as servers know it: in modified UTF-7. Empty means Inbox. */
  readonly folder: string;
  /** One byte, as the character from U+0000 to U+00FF of that number; all but ASCII means nothing to most servers. */
  readonly separator: string;
}

const headerLength = 3;

/** How OpenChange names the message with that IMAP UID. */
export function emlName(uid: number | string): string {
  return `${uid}.eml`;
}

/**
 * `u8 version=1 · u16 flags=0x0002 · backend 00 · eml 00 · folder 00 · u8 separator`, strings in the dos charset.
 * Made for being called for every message of every host: it writes into a buffer of the caller and remembers how
 * backends and folders are spelled, in bounded memory.
 */
export class NewMailEncoder {
  readonly #charset: Charset;
  readonly #backends: EncodedStrings;
  readonly #folders: EncodedStrings;

  /** @param folders how names of folders are spelled; by default they are as on the wire, and ASCII or in the dos charset */
  constructor(strings: Charset = charset(), folders: Spelling = strings) {
    this.#charset = strings;
    this.#backends = new EncodedStrings(strings, "backend");
    this.#folders = new EncodedStrings(folders, "folder");
  }

  /** How many bytes `write` needs for it. Throws as `write` does. */
  encodedLength(mail: NewMail): number {
    return (
      headerLength +
      this.#backends.encode(mail.backend).length +
      this.#emlLength(mail.eml) +
      this.#folders.encode(mail.folder).length +
      1
    );
  }

  /**
   * Writes it at `offset` and returns the offset after it. The target must have room for `encodedLength` bytes.
   * `ERR_CHARSET` when the dos charset lacks a character, `ERR_SEPARATOR` when the separator is not one byte; then
   * nothing useful is at `offset`.
   */
  write(target: Buffer, offset: number, mail: NewMail): number {
    const backend = this.#backends.encode(mail.backend);
    const folder = this.#folders.encode(mail.folder);
    const separator = separatorByte(mail.separator);
    target[offset] = recordVersion;
    target[offset + 1] = notificationFlags.NewMail;
    target[offset + 2] = 0;
    target.set(backend, offset + headerLength);
    const at = this.#writeEml(target, offset + headerLength + backend.length, mail.eml);
    target.set(folder, at);
    target[at + folder.length] = separator;
    return at + folder.length + 1;
  }

  /** The payload as a buffer of its own. */
  encode(mail: NewMail): Buffer {
    const payload = Buffer.allocUnsafe(this.encodedLength(mail));
    this.write(payload, 0, mail);
    return payload;
  }

  #emlLength(eml: string): number {
    return (isPlainAscii(eml) ? eml.length : this.#charset.encode(eml, "eml").length) + 1;
  }

  /** Every message has its own name, so caching them would only push the folders out. */
  #writeEml(target: Buffer, offset: number, eml: string): number {
    let end = offset + eml.length;
    if (isPlainAscii(eml)) {
      // For a dozen characters this is faster than a call into Buffer's native code.
      for (let index = 0; index < eml.length; index++) target[offset + index] = eml.charCodeAt(index);
    } else {
      const bytes = this.#charset.encode(eml, "eml");
      target.set(bytes, offset);
      end = offset + bytes.length;
    }
    target[end] = 0;
    return end + 1;
  }
}

/** One payload; to encode many, keep a `NewMailEncoder`. */
export function encodeNewMail(mail: NewMail, strings: Charset = charset()): Buffer {
  return new NewMailEncoder(strings).encode(mail);
}

/**
 * The new mail in a payload. `NdrError` for anything else than one whole record, `ERR_NOTIFICATION_UNSUPPORTED` for
 * flags other than NewMail, `ERR_CHARSET`.
 */
export function decodeNewMail(payload: Uint8Array, strings: Charset = charset()): NewMail {
  const reader = new NdrReader(payload);
  readVersion(reader, "notification");
  const flags = reader.u16("flags");
  if (flags !== notificationFlags.NewMail) {
    throw new OcnotifyError(
      "ERR_NOTIFICATION_UNSUPPORTED",
      `notification flags 0x${flags.toString(16).padStart(4, "0")} are not new mail (0x0002)`,
    );
  }
  const mail = readMessage(reader, strings);
  reader.end();
  return mail;
}

/** `backend 00 · eml 00 · folder 00 · u8 separator`, with which each arm of a notification begins. */
export function readMessage(reader: NdrReader, strings: Charset): NewMail {
  const backend = strings.decode(reader.cstring("backend"), "backend");
  const eml = strings.decode(reader.cstring("eml"), "eml");
  const folder = strings.decode(reader.cstring("folder"), "folder");
  return { backend, eml, folder, separator: readSeparator(reader, "separator") };
}

/** A separator byte as text. */
export function readSeparator(reader: NdrReader, field: string): string {
  return String.fromCharCode(reader.u8(field));
}

/** The byte of a separator; `ERR_SEPARATOR` for anything else than one character up to U+00FF. */
export function separatorByte(separator: string): number {
  const code = separator.charCodeAt(0);
  if (separator.length !== 1 || code > 0xff) {
    throw new OcnotifyError(
      "ERR_SEPARATOR",
      `${JSON.stringify(separator)} is not a hierarchy separator: it must be one byte, a character such as "/"`,
    );
  }
  return code;
}

function isPlainAscii(text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    // A control character takes the careful way, which refuses a NUL.
    if (code < 0x20 || code > 0x7e) return false;
  }
  return true;
}
