import { OcnotifyError } from "../../../errors.ts";
import type { NdrReader } from "../../../protocols/ndr/reader.ts";

/** Every record of OpenChange's notification protocol begins with this byte. */
export const recordVersion = 1;

/** Reads the version byte; `ERR_RECORD_VERSION` unless it is 1. */
export function readVersion(reader: NdrReader, record: string): void {
  const version = reader.u8(`version of the ${record}`);
  if (version !== recordVersion) {
    throw new OcnotifyError(
      "ERR_RECORD_VERSION",
      `this ${record} has version ${version}, and only version ${recordVersion} is known`,
    );
  }
}
