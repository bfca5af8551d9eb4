import { json } from "../printable.ts";

/** `name="value" other=1`, in the order of the fields. */
export function fields(values: object): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}=${json(value)}`)
    .join(" ");
}
