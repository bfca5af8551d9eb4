import { OcnotifyError } from "../../../errors.ts";
import { NdrReader } from "../../../protocols/ndr/reader.ts";
import { NdrWriter } from "../../../protocols/ndr/writer.ts";
import { readVersion, recordVersion } from "./record-version.ts";

/** More hosts than this in one record is an error on both sides. */
export const maxHosts = 100_000;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * The value of a user's key in the resolver:
 * `u8 version=1 · u32 count · u32 count · count × (host · 00)`, where a host is a nanomsg address.
 * `ERR_RECORD_HOST` for a host that is empty, has a NUL, or is not well-formed Unicode.
 */
export function encodeResolverRecord(hosts: readonly string[]): Buffer {
  const writer = new NdrWriter();
  writer.u8(recordVersion, "version");
  writer.conformantCount(hosts.length, "hosts", maxHosts);
  for (const host of hosts) {
    const bytes = Buffer.from(host, "utf8");
    if (host === "" || bytes.includes(0) || bytes.toString("utf8") !== host) {
      throw new OcnotifyError(
        "ERR_RECORD_HOST",
        `${JSON.stringify(host)} is not a host: it must be an address such as tcp://10.0.0.5:49152`,
      );
    }
    writer.cstring(bytes, "host");
  }
  return writer.finish();
}

/**
 * The hosts of a record, exactly as they stand there: also twice, also empty. `NdrError` for anything else than one
 * whole record, `ERR_RECORD_VERSION` for another version, `ERR_RECORD_HOST` for a host that is not UTF-8.
 */
export function decodeResolverRecord(bytes: Uint8Array): string[] {
  const reader = new NdrReader(bytes);
  readVersion(reader, "resolver record");
  const count = reader.conformantCount("hosts", maxHosts, 1);
  const hosts: string[] = [];
  for (let index = 0; index < count; index++) {
    const host = reader.cstring(`host ${index}`);
    try {
      hosts.push(utf8.decode(host));
    } catch (cause) {
      throw new OcnotifyError("ERR_RECORD_HOST", `host ${index} is not UTF-8: ${host.toString("hex")}`, { cause });
    }
  }
  reader.end();
  return hosts;
}

/** Each host once, where it first stood. A record can name one twice when two servers raced to register. */
export function distinctHosts(hosts: readonly string[]): string[] {
  return [...new Set(hosts)];
}
