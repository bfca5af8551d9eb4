/** Control characters, line separators, and what turns the direction of writing: a terminal obeys them wherever they stand. */
const OBEYED = /[\p{Cc}\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

/** Text from outside on one line, so that it does nothing to a terminal: what that would obey is written as \u001b. */
export function printable(text: string): string {
  return text.replaceAll(OBEYED, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** JSON on one line that says the same and does nothing to a terminal, whoever chose the text in it. */
export function json(value: unknown): string {
  return printable(JSON.stringify(value));
}
