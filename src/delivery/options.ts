import * as v from "valibot";

/**
 * One option of a destination, in ocnotify.yaml.
 * @template Value what the destination gets of it
 */
export interface Option<Value = unknown> {
  /** What it takes, for the documents: `duration`. */
  readonly type: string;
  /** As it would be written; undefined when it has no default. */
  readonly fallback: unknown;
  readonly meaning: string;
  /** What may be written. The message of an issue says what is expected. */
  readonly schema: v.GenericSchema;
  /** What the destination gets of what is written, the default included. */
  readonly value: (written: never) => Value;
}

/** All options of something, by key. */
export type Options = Readonly<Record<string, Option>>;

/** What the destination gets of its options. */
export type Settings<Table extends Options> = {
  readonly [Key in keyof Table]: Table[Key] extends Option<infer Value> ? Value : never;
};

const UNITS_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const DURATION = /^(\d{1,9})(ms|s|m|h|d)$/;
/** What a timer of Node can wait; it fires at once for more. */
const MOST_MS = 2 ** 31 - 1;

/** Milliseconds of a duration that the configuration accepted: `500ms`, `30s`, `10m`, `1h`, `7d`. */
export function milliseconds(duration: string): number {
  const [, count, unit] = DURATION.exec(duration) ?? [];
  return Number(count) * UNITS_MS[unit as keyof typeof UNITS_MS];
}

const UNITS_BYTES = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 } as const;
const SIZE = /^(\d{1,6})(KiB|MiB|GiB|TiB)$/;
const LEAST_BYTES = UNITS_BYTES.MiB;

/** Bytes of a size that the configuration accepted: `500MiB`, `1GiB`. */
export function bytesOf(size: string): number {
  const [, count, unit] = SIZE.exec(size) ?? [];
  return Number(count) * UNITS_BYTES[unit as keyof typeof UNITS_BYTES];
}

const A_SIZE = "a size such as 500MiB or 1GiB, at least 1MiB";

/** A size of at least 1 MiB. */
export const sizeSchema = v.pipe(
  v.string(A_SIZE),
  v.regex(SIZE, A_SIZE),
  v.check((text) => bytesOf(text) >= LEAST_BYTES, A_SIZE),
);

const A_DURATION = "a duration such as 500ms, 30s, 10m, 1h or 7d";
const A_WAIT = "a duration from 1ms to 24d";

/** Any duration. */
export const durationSchema = v.pipe(v.string(A_DURATION), v.regex(DURATION, A_DURATION));
/** One that a timer can wait. */
const waitSchema = v.pipe(
  durationSchema,
  v.check((text) => milliseconds(text) >= 1 && milliseconds(text) <= MOST_MS, A_WAIT),
);
/** The same, or none. */
export const waitOrNoneSchema = v.pipe(
  durationSchema,
  v.check((text) => milliseconds(text) <= MOST_MS, "a duration of at most 24d"),
);
export const textSchema = v.pipe(v.string("a text"), v.nonEmpty("a text that is not empty"));

const asWritten = <Value>(written: Value): Value => written;

/** The schema of a table of options: each with its default, and no other key. */
export function schemaOf(options: Options): v.GenericSchema<unknown, Readonly<Record<string, unknown>>> {
  const entries = Object.entries(options).map(([key, { schema, fallback }]) => [key, v.optional(schema, fallback)]);
  return v.strictObject(Object.fromEntries(entries) as v.ObjectEntries);
}

/** What a destination gets of what is written. */
export function settingsOf<Table extends Options>(
  options: Table,
  written: Readonly<Record<string, unknown>>,
): Settings<Table> {
  const values = Object.entries(options).map(([key, { value }]) => [key, value(written[key] as never)]);
  return Object.fromEntries(values) as Settings<Table>;
}

export function textOption(fallback: string, meaning: string, type = "text"): Option<string> {
  return { type, fallback, meaning, schema: textSchema, value: asWritten };
}

/** In the destination's settings: milliseconds. */
export function durationOption(fallback: string, meaning: string): Option<number> {
  return { type: "duration", fallback, meaning, schema: durationSchema, value: milliseconds };
}

/** One that a timer waits. In the destination's settings: milliseconds. */
export function waitOption(fallback: string, meaning: string): Option<number> {
  return { type: "duration", fallback, meaning, schema: waitSchema, value: milliseconds };
}

/** In the destination's settings: milliseconds; undefined for `never`. */
export function durationOrNeverOption(fallback: string, meaning: string): Option<number | undefined> {
  const expected = `${A_DURATION}, or never`;
  return {
    type: "duration or `never`",
    fallback,
    meaning,
    schema: v.pipe(
      v.string(expected),
      v.check((text) => text === "never" || DURATION.test(text), expected),
    ),
    value: (written: string) => (written === "never" ? undefined : milliseconds(written)),
  };
}

export function booleanOption(fallback: boolean, meaning: string): Option<boolean> {
  return { type: "`true` or `false`", fallback, meaning, schema: v.boolean("true or false"), value: asWritten };
}

export function numberOption(range: readonly [number, number], fallback: number, meaning: string): Option<number> {
  const [least, most] = range;
  const expected = `a whole number from ${least} to ${most}`;
  const schema = v.pipe(
    v.number(expected),
    v.integer(expected),
    v.minValue(least, expected),
    v.maxValue(most, expected),
  );
  return { type: "number", fallback, meaning, schema, value: asWritten };
}

export function choiceOption<Choice extends string>(
  choices: readonly [Choice, Choice, ...Choice[]],
  fallback: Choice,
  meaning: string,
): Option<Choice> {
  const type = choices.map((choice) => `\`${choice}\``).join(" or ");
  return { type, fallback, meaning, schema: v.picklist(choices, choices.join(" or ")), value: asWritten };
}

/** @param each what one entry may be, and how the list is called in the documents and in an error */
export function listOption<Entry>(
  each: { readonly schema: v.GenericSchema<unknown, Entry>; readonly type: string; readonly expected: string },
  fallback: readonly NoInfer<Entry>[] | undefined,
  meaning: string,
): Option<readonly Entry[]> {
  const { type, expected, schema } = each;
  return { type, fallback, meaning, schema: v.array(schema, expected), value: asWritten };
}
