/**
 * Tokens of libmemcached's configuration string. As in its scanner, the longest match counts, so that `md5` is the name
 * of a hash and `md5x` a word, and tab, CR and LF may stand between any two tokens, while a space is a token. (The library also takes a double quote within a word; we do not.)
 */
export interface Token {
  type: TokenType;
  text: string;
  /** Index of its first character. */
  start: number;
  /** Index of the character after it. */
  end: number;
}

export type TokenType =
  | "end-of-text"
  | "space"
  | "comma"
  | "comment"
  /** `--NAME` or `--NAME=`, in any case. */
  | "option"
  /** A word with a meaning of its own, in any case: it can be no host and no namespace without quotes. */
  | "keyword"
  /** Three characters at least; a host or a string. */
  | "word"
  | "ip-address"
  /** An extension: the library knows no IPv6 address. */
  | "ipv6-address"
  | "number"
  | "port"
  | "weight"
  | "quoted-string"
  | "unknown";

const KEYWORDS = new Set(
  (
    "MD5 CRC FNV1_64 FNV1A_64 FNV1_32 FNV1A_32 HSIEH MURMUR JENKINS " +
    "CONSISTENT MODULA RANDOM TRUE FALSE INCLUDE RESET END DEBUG"
  ).split(" "),
);

const BLANK = /[\t\r\n]*/y;

// Of matches of one length the first counts.
const RULES: readonly [TokenType, RegExp][] = [
  ["space", / /y],
  ["comma", /,/y],
  ["comment", /^#[^\n]*\n/my],
  ["option", /--[a-z0-9_-]+=?/iy],
  ["number", /\d+/y],
  ["port", /:\d{1,5}/y],
  ["weight", /\/\?\d{1,5}/y],
  ["ip-address", /\d{1,3}(?:\.\d{1,3}){3}/y],
  ["ipv6-address", /\[[0-9a-f:.]+(?:%[\w.-]+)?\]/iy],
  ["word", /[a-z0-9][a-z0-9._-]+[a-z0-9]/iy],
  ["quoted-string", /L?"(?:\\.|[^\\"])*"/iy],
];

/** The token at or after `from`. */
export function scanToken(text: string, from: number): Token {
  const start = from + (match(BLANK, text, from) ?? 0);
  let type: TokenType = start < text.length ? "unknown" : "end-of-text";
  let end = start;
  for (const [candidate, rule] of RULES) {
    const length = match(rule, text, start) ?? 0;
    if (length > end - start) {
      type = candidate;
      end = start + length;
    }
  }
  if (type === "unknown") {
    end = start + 1;
  }
  const token = { type, text: text.slice(start, end), start, end };
  if (type === "word" && KEYWORDS.has(token.text.toUpperCase())) {
    token.type = "keyword";
  }
  return token;
}

/** The length of the match that begins exactly there. */
function match(rule: RegExp, text: string, at: number): number | undefined {
  rule.lastIndex = at;
  return rule.test(text) ? rule.lastIndex - at : undefined;
}
