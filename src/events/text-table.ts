/** A power of two. */
const SLOTS = 16_384;
/** Longer texts are seldom, and would make the bound on their number no bound on bytes. */
const MAX_LENGTH = 64;

/**
 * Decodes short texts of which most have come before, as names of users do, in bounded memory: what has come before costs
 * neither a call into Buffer's native code nor a new string.
 */
export class TextTable {
  /** By a hash of its bytes: the last text that had it, all of them ASCII. */
  readonly #texts: string[] = Array.from({ length: SLOTS }, () => "");

  /** The text of the bytes in UTF-8, as `bytes.toString("utf8", from, to)`. */
  decode(bytes: Buffer, from: number, to: number): string {
    if (to - from > MAX_LENGTH) return bytes.toString("utf8", from, to);
    let hash = 0;
    let all = 0;
    for (let at = from; at < to; at++) {
      const byte = bytes[at] as number;
      hash = Math.imul(hash ^ byte, 0x0100_0193);
      all |= byte;
    }
    if (all > 0x7f) return bytes.toString("utf8", from, to);
    const slot = (hash ^ (hash >>> 15)) & (SLOTS - 1);
    const known = this.#texts[slot] as string;
    if (isText(known, bytes, from, to)) return known;
    const text = bytes.toString("latin1", from, to);
    this.#texts[slot] = text;
    return text;
  }
}

function isText(text: string, bytes: Buffer, from: number, to: number): boolean {
  if (text.length !== to - from) return false;
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) !== bytes[from + at]) return false;
  return true;
}
