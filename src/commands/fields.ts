import { json } from "../printable.ts";

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
