/**
 * Controls (C0, DEL, C1), line separators, what turns the direction of writing, and halves of surrogate pairs: a terminal
 * obeys them wherever they stand, or cannot show them.
 */
const OBEYED = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Surrogate}]/gu;

/** Text on one line that does nothing to a terminal, whoever chose it; each such character becomes `\u001b`. */
export function printable(text: string): string {
  return text.replaceAll(OBEYED, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Characters of one text in a line of the log. */
const MAX_LOGGED = 4_096;

/** The text, or its first `most` characters and how many it has. */
export function shortened(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most)}… (${text.length} characters)` : text;
}

/** JSON on one line that says the same and does nothing to a terminal, whoever chose the text in it. */
export function json(value: unknown): string {
  return printable(JSON.stringify(value));
}

/** `name="value" other=1`, in the order of the fields. */
export function fields(values: object): string {
  return Object.entries(values)
    .map(([name, value]) => `${printable(name)}=${json(value)}`)
    .join(" ");
}

/** A copy of a value, as it is logged, in which every text is printable and not longer than 4,096 characters. */
export function printableCopy(value: unknown): unknown {
  if (typeof value === "string") return printable(shortened(value, MAX_LOGGED));
  if (Array.isArray(value)) return value.map(printableCopy);
  if (typeof value !== "object" || value === null || value instanceof Error) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [printable(name), printableCopy(each)]));
}
