import { parseSegmentName } from "../journal/segment.ts";

/** The place of an event, which is its id. */
export interface EventPlace {
  /** Of the host whose journal has it. */
  readonly host: string;
  readonly bucket: number;
  /** The uid that wrote it. */
  readonly uid: number;
  /** Where its record begins, in bytes from the segment's beginning. */
  readonly offset: number;
  /** When it happened, in microseconds of unix time. */
  readonly tsUs: number;
}

/** `[a-z0-9-]`, 1 to 32 characters. */
export const HOST_ID = /^[a-z0-9-]{1,32}$/;

const EVENT_ID = /^([a-z0-9-]{1,32})_(\d{1,12})_(\d{1,10})_(\d{1,16})_([a-z0-9]{1,11})$/;

/**
 * The id of an event: `<host>_<bucket>_<uid>_<offset>_<ts in base 36>`. The same at each try, after each restart and at each
 * destination. The time makes it unique where a segment's name comes again. It has no dots, which webhook-id (Standard Webhooks)
 * may not have.
 * @param segment the name of its segment
 */
export function eventId(host: string, segment: string, offset: number, tsUs: number): string {
  const { bucket = 0, euid = 0 } = parseSegmentName(segment) ?? {};
  return `${host}_${bucket}_${euid}_${offset}_${tsUs.toString(36)}`;
}

/** What an id says; undefined for what is none. */
export function parseEventId(id: string): EventPlace | undefined {
  const [, host, bucket, uid, offset, ts] = EVENT_ID.exec(id) ?? [];
  if (host === undefined || ts === undefined) return undefined;
  const tsUs = Number.parseInt(ts, 36);
  const place = { host, bucket: Number(bucket), uid: Number(uid), offset: Number(offset), tsUs };
  return Number.isSafeInteger(place.offset) && Number.isSafeInteger(tsUs) ? place : undefined;
}
