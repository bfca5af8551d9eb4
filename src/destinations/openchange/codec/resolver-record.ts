import { OcnotifyError } from "../../../errors.ts";
import { NdrReader } from "../../../protocols/ndr/reader.ts";
import { NdrWriter } from "../../../protocols/ndr/writer.ts";
import { charset, type Charset } from "./charset.ts";
import { readVersion, recordVersion } from "./record-version.ts";

/** More hosts than this in one record is an error on both sides. */
export const maxHosts = 100_000;

/**
 * The value of a user's key in the resolver:
 * `u8 version=1 · u32 count · u32 count · count × (host · 00)`, where a host is a nanomsg address
 * in the dos charset. `ERR_RECORD_HOST` for a host that is empty or has a NUL, `ERR_CHARSET`.
 */
export function encodeResolverRecord(hosts: readonly string[], strings: Charset = charset()): Buffer {
  const writer = new NdrWriter();
  writer.u8(recordVersion, "version");
  writer.conformantCount(hosts.length, "hosts", maxHosts);
  for (const host of hosts) {
    if (host === "" || host.includes("\0")) {
      throw new OcnotifyError(
        "ERR_RECORD_HOST",
        `${JSON.stringify(host)} is not a host: it must be an address such as tcp://10.0.0.5:49152`,
      );
    }
    writer.cstring(strings.encode(host, "host"), "host");
  }
  return writer.finish();
}

/**
 * The hosts of a record, exactly as they stand there: also twice, also empty. `NdrError` for anything else than one
 * whole record, `ERR_RECORD_VERSION` for another version, `ERR_CHARSET`.
 */
export function decodeResolverRecord(bytes: Uint8Array, strings: Charset = charset()): string[] {
  const reader = new NdrReader(bytes);
  readVersion(reader, "resolver record");
  const count = reader.conformantCount("hosts", maxHosts, 1);
  const hosts: string[] = [];
  for (let index = 0; index < count; index++) {
    const field = `host ${index}`;
    hosts.push(strings.decode(reader.cstring(field), field));
  }
  reader.end();
  return hosts;
}

export interface LastHosts {
  /** Each once, in the record's order. */
  readonly hosts: readonly string[];
  /** How many stand before these. */
  readonly omitted: number;
}

/**
 * The last `most` hosts of a record: servers append themselves, so these registered last. Those before them are counted and
 * not decoded. Throws as `decodeResolverRecord` does.
 */
export function decodeLastHosts(bytes: Uint8Array, strings: Charset, most: number): LastHosts {
  const spelled = spelledHosts(bytes);
  if (spelled === undefined || spelled.length <= most) {
    const all = distinctHosts(decodeResolverRecord(bytes, strings));
    const hosts = all.slice(-most);
    return { hosts, omitted: all.length - hosts.length };
  }
  const last = new Set<string>();
  let omitted = spelled.length;
  for (; omitted > 0 && last.size < most; omitted--) last.add(spelled[omitted - 1] ?? "");
  const decode = (host: string): string => strings.decode(Buffer.from(host, "latin1"), "a host");
  return { hosts: Array.from(last, decode).toReversed(), omitted };
}

/**
 * The hosts of a record as they are spelled, one byte in a character, many times faster than decoded; undefined for bytes
 * that are no record.
 */
export function spelledHosts(bytes: Uint8Array): string[] | undefined {
  const reader = new NdrReader(bytes);
  try {
    readVersion(reader, "resolver record");
    const count = reader.conformantCount("hosts", maxHosts, 1);
    const hosts = reader.bytes(reader.remaining, "hosts").toString("latin1").split("\0");
    return hosts.pop() === "" && hosts.length === count ? hosts : undefined;
  } catch {
    return undefined;
  }
}

/** Each host once, where it first stood. A record can name one twice when two servers raced to register. */
export function distinctHosts(hosts: readonly string[]): string[] {
  return [...new Set(hosts)];
}
