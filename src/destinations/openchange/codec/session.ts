import { OcnotifyError } from "../../../errors.ts";
import { NdrReader } from "../../../protocols/ndr/reader.ts";
import { NdrWriter } from "../../../protocols/ndr/writer.ts";
import { charset, type Charset } from "./charset.ts";
import { readVersion, recordVersion } from "./record-version.ts";

/**
 * Whose session it is: the value of `session:<guid>`. OpenChange makes one for each asynchronous connection of a client,
 * and the GUID in the key is the connection's.
 */
export interface Session {
  /** The session's own GUID, in the key of its subscriptions; in lower case. */
  readonly uuid: string;
  /** The user's common name. */
  readonly cn: string;
}

const uuidPattern = /^([0-9a-f]{8})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{12})$/i;
const guidLength = 16;

/** `u8 version=1 · GUID · cn 00`. `ERR_RECORD_GUID` for a malformed uuid, `ERR_CHARSET` for the name. */
export function encodeSession(session: Session, strings: Charset = charset()): Buffer {
  const writer = new NdrWriter();
  writer.u8(recordVersion, "version");
  writer.bytes(encodeGuid(session.uuid));
  writer.cstring(strings.encode(session.cn, "cn"), "cn");
  return writer.finish();
}

/** `NdrError` for anything else than one whole record, `ERR_RECORD_VERSION`, `ERR_CHARSET`. */
export function decodeSession(bytes: Uint8Array, strings: Charset = charset()): Session {
  const reader = new NdrReader(bytes);
  readVersion(reader, "session");
  const uuid = decodeGuid(reader.bytes(guidLength, "uuid"));
  const cn = strings.decode(reader.cstring("cn"), "cn");
  reader.end();
  return { uuid, cn };
}

/** A GUID as keys have it, in lower case; `ERR_RECORD_GUID` for what is none. */
export function parseGuid(text: string): string {
  if (!uuidPattern.test(text)) {
    throw new OcnotifyError(
      "ERR_RECORD_GUID",
      `${JSON.stringify(text)} is not a GUID: write it like a3d7ec26-8b52-4c57-9d0f-4f2b6d1a0c11`,
    );
  }
  return text.toLowerCase();
}

/** A GUID is mixed endian: its first three groups are little-endian numbers, the rest are bytes (C706, appendix A). */
function encodeGuid(uuid: string): Buffer {
  return swapGroups(Buffer.from(parseGuid(uuid).replaceAll("-", ""), "hex"));
}

function decodeGuid(bytes: Buffer): string {
  const hex = swapGroups(Buffer.from(bytes)).toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

function swapGroups(bytes: Buffer): Buffer {
  bytes.subarray(0, 4).reverse();
  bytes.subarray(4, 6).reverse();
  bytes.subarray(6, 8).reverse();
  return bytes;
}
