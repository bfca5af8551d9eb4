import { closeSync, openSync, writeSync } from "node:fs";

const FLUSH_BYTES = 1024 * 1024;

export interface RecordsOptions {
  readonly records: number;
  /** Record i is of user i % users, about his message 1 + i / users. */
  readonly users: number;
  /** Named in each record, as the plugin does when `openchange_resolver` is set. */
  readonly resolver?: string;
  /** Bytes of a record; as they come when absent. */
  readonly size?: number;
}

export function userName(index: number): string {
  return `user${index}@bench.example`;
}

/** The record of a new mail as the plugin writes it, with its newline. */
export function recordLine(index: number, options: Omit<RecordsOptions, "records">): string {
  const user = userName(index % options.users);
  const uid = 1 + Math.floor(index / options.users);
  const settings =
    options.resolver === undefined
      ? ""
      : `,"cn":"email","backend":"sogo","resolver":${JSON.stringify(options.resolver)}`;
  const session = options.size === undefined ? `,"service":"lmtp","session":"IC4VLjl+BGvtJwAAg+zDdQ"` : "";
  const before = `{"v":1,"ts":${Date.now() * 1000},"event":"MessageNew","user":"${user}","mailbox":"INBOX","sep":"/","uidvalidity":1795456569,"uids":"${uid}","size":375,"messageId":"<`;
  const after = `>"${session}${settings}}\n`;
  const id = `${index}.bench@mail.example`;
  const length = options.size === undefined ? id.length : options.size - before.length - after.length;
  return before + id.slice(0, Math.max(1, length)).padEnd(length, "x") + after;
}

/** Writes a segment's worth of records. @returns its bytes */
export function writeRecords(path: string, options: RecordsOptions): number {
  const file = openSync(path, "w", 0o640);
  let bytes = 0;
  let chunk = "";
  const flush = (): void => {
    bytes += writeSync(file, chunk);
    chunk = "";
  };
  try {
    for (let index = 0; index < options.records; index++) {
      chunk += recordLine(index, options);
      if (chunk.length >= FLUSH_BYTES) flush();
    }
    flush();
  } finally {
    closeSync(file);
  }
  return bytes;
}
