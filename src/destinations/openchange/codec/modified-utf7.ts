import { OcnotifyError } from "../../../errors.ts";
import type { Spelling } from "./charset.ts";

/** Printable ASCII without `&`, which is nearly every name. */
const PLAIN = /^[ -%'-~]*$/;
/** RFC 2045's, with `,` for `/`, which often separates names. */
const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";
const LONE_SURROGATE = /\p{Surrogate}/u;

/**
 * Names of mailboxes in modified UTF-7 (RFC 3501 §5.1.3), as Dovecot stores them and servers register them:
 * `Entwürfe` is `Entw&APw-rfe`, `R&D` is `R&-D`. The bytes are ASCII, so they are the same in every dos charset.
 */
export const modifiedUtf7: Spelling = {
  encode(text, field) {
    if (PLAIN.test(text)) return Buffer.from(text, "latin1");
    if (LONE_SURROGATE.test(text)) {
      const message = `${field} ${JSON.stringify(text)} has half of a UTF-16 surrogate pair, as no mailbox has in its name`;
      throw new OcnotifyError("ERR_CHARSET", message);
    }
    return Buffer.from(text.replaceAll(/&|[^ -~]+/g, shifted), "latin1");
  },
};

/** One `&`, or characters that are written as the base64 of their UTF-16. */
function shifted(part: string): string {
  if (part === "&") return "&-";
  let base64 = "";
  let value = 0;
  let bits = 0;
  for (let index = 0; index < part.length; index++) {
    value = (value << 16) | part.charCodeAt(index);
    for (bits += 16; bits >= 6; bits -= 6) base64 += DIGITS.charAt((value >>> (bits - 6)) & 0x3f);
    value &= 0x3f;
  }
  if (bits > 0) base64 += DIGITS.charAt((value << (6 - bits)) & 0x3f);
  return `&${base64}-`;
}
