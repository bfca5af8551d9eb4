import iconv from "iconv-lite";
import { isAscii } from "node:buffer";
import { OcnotifyError } from "../../../errors.ts";
import { shortened } from "../../../printable.ts";

/** Samba's "dos charset" unless smb.conf says otherwise (smb.conf(5)). */
export const defaultCharset = "cp850";

/** Characters of a text that an error shows. */
const maxShown = 200;

/** How text is written: exactly or not at all. */
export interface Spelling {
  /** Without a NUL. Throws `ERR_CHARSET`, which names `field`, for text that cannot be written. */
  encode(text: string, field: string): Buffer;
}

/** Text to and from the bytes of Samba's "dos charset". */
export interface Charset extends Spelling {
  /** As the caller named it. */
  readonly name: string;
  /** Throws `ERR_CHARSET` for bytes that mean nothing in the charset. */
  decode(bytes: Uint8Array, field: string): string;
}

const printableAscii = Array.from({ length: 95 }, (_, index) => String.fromCharCode(0x20 + index)).join("");

/**
 * The charset of that name (`cp850`, `cp1252`, `utf8`, `ISO-8859-15` …; what iconv-lite knows). It must be a superset
 * of ASCII, as Samba demands of a dos charset: paths and separators are compared bytewise. `ERR_CHARSET` otherwise.
 */
export function charset(name: string = defaultCharset): Charset {
  if (
    !iconv.encodingExists(name) ||
    !iconv.encode(printableAscii, name).equals(Buffer.from(printableAscii, "latin1"))
  ) {
    throw new OcnotifyError(
      "ERR_CHARSET",
      `${JSON.stringify(name)} is not a charset that a server can use: name the "dos charset" of its smb.conf, ` +
        "such as cp850, cp437, cp1252 or cp932. Samba refuses utf8",
    );
  }
  // Of one byte, U+FFFD is iconv-lite's word for a byte that means nothing; in UTF-8 and the like it is a character.
  const hasReplacement = iconv.encode("\ufffd", name).length > 1;
  const lacks = (text: string): boolean => !hasReplacement && text.includes("\ufffd");
  return {
    name,
    encode(text, field) {
      const bytes = iconv.encode(text, name);
      // iconv-lite writes "?" for what it cannot express, so only the way back tells whether anything was lost.
      if (lacks(text) || iconv.decode(bytes, name, { stripBOM: false }) !== text) {
        throw new OcnotifyError("ERR_CHARSET", inexpressible(text, field, name));
      }
      if (bytes.includes(0)) {
        throw new OcnotifyError("ERR_CHARSET", `${field} ${quoted(text)} has a NUL, which would end it early`);
      }
      return bytes;
    },
    decode(bytes, field) {
      const input = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      if (isAscii(input)) return input.toString("latin1");
      const text = iconv.decode(input, name, { stripBOM: false });
      // Where U+FFFD is a character, only the way back tells whether it stands for bytes that mean nothing.
      if (lacks(text) || (text.includes("\ufffd") && !iconv.encode(text, name).equals(input))) {
        throw new OcnotifyError("ERR_CHARSET", `${field} ${shortened(input.toString("hex"), maxShown)} is not ${name}`);
      }
      return text;
    },
  };
}

function quoted(text: string): string {
  return JSON.stringify(shortened(text, maxShown));
}

function inexpressible(text: string, field: string, name: string): string {
  return (
    `${field} ${quoted(text)} cannot be written in ${name}, the server's "dos charset": set one in its smb.conf ` +
    "that has these characters, such as cp1252 or cp932 (Samba refuses utf8), and the same one here. " +
    "A folder has its name in modified UTF-7, which any charset has"
  );
}
