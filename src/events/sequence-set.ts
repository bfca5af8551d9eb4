/**
 * IMAP sequence-sets (RFC 9051, `sequence-set`) as journal records carry them: UIDs, ascending, no `*`.
 * A set stays a string until it is walked, so that a record about 50,000 messages costs what one about two costs.
 */

const MAX_UID = 0xffff_ffff;

/** The most messages that one record may name. */
export const MAX_MESSAGES = 1_000_000;

/**
 * How many UIDs `set` holds, or why it is refused. A set may name its ranges in any order (a copy lists its UIDs
 * in the order of their counterparts), but each range ascends.
 */
export function countUids(set: string): { count: number } | { refused: string } {
  let count = 0;
  let at = 0;
  while (at <= set.length) {
    const end = itemEnd(set, at);
    const colon = colonWithin(set, at, end);
    const first = parseUid(set, at, Math.min(colon, end));
    const last = colon < end ? parseUid(set, colon + 1, end) : first;
    if (first === 0 || last === 0) return { refused: `not a UID from 1 to ${MAX_UID}` };
    if (last < first) return { refused: "a reversed range" };
    count += last - first + 1;
    if (count > MAX_MESSAGES) return { refused: `more than ${MAX_MESSAGES} messages` };
    at = end + 1;
  }
  return { count };
}

/** The UIDs of a set that `countUids` accepted, in the order of the set, one at a time. */
export function* uidsOf(set: string): Generator<number, void> {
  let at = 0;
  while (at <= set.length) {
    const end = itemEnd(set, at);
    const colon = colonWithin(set, at, end);
    const first = parseUid(set, at, Math.min(colon, end));
    const last = colon < end ? parseUid(set, colon + 1, end) : first;
    for (let uid = first; uid <= last; uid++) yield uid;
    at = end + 1;
  }
}

function itemEnd(set: string, from: number): number {
  const comma = set.indexOf(",", from);
  return comma === -1 ? set.length : comma;
}

/** The colon of a range, or `end`. A UID has ten digits at most; to look beyond would be to walk the set once per item. */
function colonWithin(set: string, from: number, end: number): number {
  const last = Math.min(end, from + 11);
  for (let at = from; at < last; at++) if (set.charCodeAt(at) === 0x3a) return at;
  return end;
}

/** 0 for what is not a UID: 0 is none, a leading zero is not in the grammar. */
function parseUid(text: string, from: number, to: number): number {
  if (to <= from || to - from > 10) return 0;
  let value = 0;
  for (let at = from; at < to; at++) {
    const digit = text.charCodeAt(at) - 48;
    if (digit < 0 || digit > 9 || (digit === 0 && value === 0)) return 0;
    value = value * 10 + digit;
  }
  return value > MAX_UID ? 0 : value;
}
