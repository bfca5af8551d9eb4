import type { Kind } from "../delivery/kind.ts";

/** Each kind of destination, loaded when it is needed: what a kind depends on is not to delay the start without it. */
const KINDS: Readonly<Record<string, () => Promise<Kind>>> = {
  openchange: async () => (await import("./openchange/kind.ts")).openchange,
};

/** What may stand as `type`. */
export const KIND_TYPES = Object.keys(KINDS);

/** Loads kinds by their types. Tests bring kinds of their own with one. */
export type LoadKinds = (types: Iterable<string>) => Promise<ReadonlyMap<string, Kind>>;

/** The kinds of these types, by type; those that are not known are left out. */
export async function loadKinds(types: Iterable<string>): Promise<ReadonlyMap<string, Kind>> {
  const known = [...new Set(types)].filter((type) => Object.hasOwn(KINDS, type));
  const kinds = await Promise.all(known.map(async (type) => await (KINDS[type] as () => Promise<Kind>)()));
  return new Map(kinds.map((kind) => [kind.type, kind]));
}
