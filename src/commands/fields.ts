/** DEL and C1, line separators, and what turns the direction of writing: a terminal obeys them wherever they stand. */
const OBEYED = /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** JSON on one line that says the same and does nothing to a terminal, whoever chose the text in it. */
export function json(value: unknown): string {
  return JSON.stringify(value).replaceAll(OBEYED, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** A text from outside on one line, without what a terminal obeys. */
export function escaped(text: string): string {
  return json(text).slice(1, -1).replaceAll('\\"', '"');
}

/** `name="value" other=1`, in the order of the fields. */
export function fields(values: object): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}=${json(value)}`)
    .join(" ");
}
