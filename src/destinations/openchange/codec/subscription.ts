import { OcnotifyError } from "../../../errors.ts";
import { NdrReader } from "../../../protocols/ndr/reader.ts";
import { NdrWriter } from "../../../protocols/ndr/writer.ts";
import { readVersion, recordVersion } from "./record-version.ts";

/** What one handle of a session wants to hear of. */
export interface Subscription {
  /** The notification object's handle. */
  readonly handle: number;
  /** A sum of `notificationFlags`. */
  readonly flags: number;
  /** The folder's 64-bit id as 16 hex digits: JSON has no number that holds it. */
  readonly fid: string;
  /** The message's 64-bit id as 16 hex digits; zeros mean the whole folder. */
  readonly mid: string;
  /** MAPI property tags, for TableModified. */
  readonly properties: readonly number[];
}

/** So many subscriptions of one record are read. */
const maxSubscriptions = 100_000;
/** More subscriptions in one record, or properties of one subscription, are not written: OpenChange's IDL says range(0,100). */
const maxWritten = 100;

const idPattern = /^[0-9a-f]{16}$/i;
/** handle · flags · fid · mid · number of properties */
const fixedLength = 4 + 2 + 8 + 8 + 2;

/**
 * The value of `subscription:<guid>`: `u8 version=1 · u32 count · u32 count ·
 * count × (u32 handle · u16 flags · u64 fid · u64 mid · u16 n · n × u32 property)`.
 * `NdrError` for a number that does not fit and for more than 100 subscriptions, or properties of one; `ERR_RECORD_ID` for
 * an id that is not 16 hex digits.
 */
export function encodeSubscriptions(subscriptions: readonly Subscription[]): Buffer {
  const writer = new NdrWriter();
  writer.u8(recordVersion, "version");
  writer.conformantCount(subscriptions.length, "subscriptions", maxWritten);
  for (const { handle, flags, fid, mid, properties } of subscriptions) {
    writer.u32(handle, "handle");
    writer.u16(flags, "flags");
    writer.u64(parseId(fid, "fid"), "fid");
    writer.u64(parseId(mid, "mid"), "mid");
    writer.u16(properties.length, "number of properties", maxWritten);
    for (const property of properties) writer.u32(property, "property");
  }
  return writer.finish();
}

/** `NdrError` for anything else than one whole record, `ERR_RECORD_VERSION`. */
export function decodeSubscriptions(bytes: Uint8Array): Subscription[] {
  const reader = new NdrReader(bytes);
  readVersion(reader, "subscription record");
  const count = reader.conformantCount("subscriptions", maxSubscriptions, fixedLength);
  const subscriptions: Subscription[] = [];
  for (let index = 0; index < count; index++) {
    const handle = reader.u32("handle");
    const flags = reader.u16("flags");
    const fid = formatId(reader.u64("fid"));
    const mid = formatId(reader.u64("mid"));
    const properties: number[] = [];
    const length = reader.u16("number of properties");
    for (let property = 0; property < length; property++) properties.push(reader.u32("property"));
    subscriptions.push({ handle, flags, fid, mid, properties });
  }
  reader.end();
  return subscriptions;
}

function parseId(id: string, field: string): bigint {
  if (!idPattern.test(id)) {
    throw new OcnotifyError("ERR_RECORD_ID", `${field} ${JSON.stringify(id)} is not 16 hex digits`);
  }
  return BigInt(`0x${id}`);
}

function formatId(id: bigint): string {
  return id.toString(16).padStart(16, "0");
}
