import { readFile } from "node:fs/promises";
import { inspect } from "node:util";
import * as v from "valibot";
import { commonOptions } from "./delivery/common-options.ts";
import { HOST_ID } from "./delivery/event-id.ts";
import type { Kind } from "./delivery/kind.ts";
import {
  durationSchema,
  schemaOf,
  settingsOf,
  sizeSchema,
  textOption,
  textSchema,
  waitOrNoneSchema,
  type Options,
} from "./delivery/options.ts";
import { KIND_TYPES, loadKinds, type LoadKinds } from "./destinations/kinds.ts";
import { OcnotifyError } from "./errors.ts";
import { LOG_FORMATS, LOG_LEVELS } from "./log.ts";
import { json, printable } from "./printable.ts";

export const DEFAULT_CONFIG_FILE = "/etc/ocnotify/ocnotify.yaml";

const A_HOST_ID = "1 to 32 characters of a-z, 0-9 and -";
const A_USER = "a user name or uid";
const uid = v.pipe(v.number(), v.integer(A_USER), v.minValue(0, A_USER), v.maxValue(0xffff_fffe, A_USER));
const path = v.pipe(textSchema, v.regex(/^\//, "an absolute path"));
const NAME_PAIR =
  'names of Dovecot for names of the system, with one * in both, or in the first, or in none: {"*": "*@example.com"}';
const stars = (name: string): number => name.split("*").length - 1;
const namesInDovecot = v.union([textSchema, v.array(textSchema)], NAME_PAIR);
const userNames = v.pipe(
  // A list would be taken for a record of its places.
  v.custom<object>((input) => !Array.isArray(input), NAME_PAIR),
  v.record(textSchema, namesInDovecot, NAME_PAIR),
  v.check(
    (pairs) =>
      Object.entries(pairs).every(
        ([name, users]) => stars(name) <= 1 && [users].flat().every((user) => stars(user) <= stars(name)),
      ),
    NAME_PAIR,
  ),
);

const A_RETENTION = "a duration such as 500ms, 30s, 10m, 1h or 7d, or auto";
const retention = v.pipe(
  v.string(A_RETENTION),
  v.check((text) => text === "auto" || v.is(durationSchema, text), A_RETENTION),
);

/** One destination: the keys that each has, and those of its kind. */
export type DestinationConfig = Readonly<Record<string, unknown>> & { readonly type: string };

const DEFAULT_TYPE = "openchange";
const aDestination = v.looseObject({ type: v.picklist(KIND_TYPES, `one of ${KIND_TYPES.join(", ")}`) });

const entries = {
  log: v.optional(
    v.strictObject({
      level: v.optional(v.picklist(LOG_LEVELS, `one of ${LOG_LEVELS.join(", ")}`), "info"),
      format: v.optional(v.picklist(LOG_FORMATS, "text or json"), "text"),
    }),
    {},
  ),
  journal: v.optional(
    v.strictObject({
      directory: v.optional(path, "/var/spool/ocnotify/journal"),
      mail_users: v.optional(v.array(v.union([textSchema, uid], A_USER), "a list of users"), ["vmail"]),
      user_names: v.optional(userNames, {}),
      retention: v.optional(retention, "auto"),
      max_size: v.optional(sizeSchema, "1GiB"),
    }),
    {},
  ),
  state_directory: v.optional(path, "/var/lib/ocnotify"),
  host_id: v.optional(v.pipe(v.string(A_HOST_ID), v.regex(HOST_ID, A_HOST_ID))),
  drain_timeout: v.optional(waitOrNoneSchema, "5s"),
};

/** Each destination is judged by the options of its kind. */
function schemaWith(kinds: ReadonlyMap<string, Kind>) {
  const destination = v.lazy((input): v.GenericSchema<unknown, DestinationConfig> => {
    const kind = kinds.get(typeOf(input));
    const schema = kind === undefined ? aDestination : schemaOf(allOptions(kind));
    return schema as v.GenericSchema<unknown, DestinationConfig>;
  });
  return v.strictObject({
    ...entries,
    destinations: v.optional(
      v.record(
        v.pipe(v.string(), v.regex(/^[a-z0-9][a-z0-9_-]{0,63}$/, "a name of a-z, 0-9, - and _")),
        destination,
        "a destination for each name",
      ),
      { openchange: {} },
    ),
  });
}

/** What the daemon does, with every default in its place. Durations are as written: see `milliseconds`. */
export type Config = v.InferOutput<ReturnType<typeof schemaWith>>;

/** The options of a destination of this kind, in the order in which they are shown. */
export function allOptions(kind: Kind): Options {
  const type = textOption(DEFAULT_TYPE, "What the destination is.");
  return { type: { ...type, schema: v.literal(kind.type) }, ...commonOptions, ...kind.options };
}

/**
 * The effective configuration of what a file says.
 * @throws OcnotifyError ERR_CONFIG that names each wrong path and what is allowed there
 */
export async function checkConfig(input: unknown, source: string, load: LoadKinds = loadKinds): Promise<Config> {
  const faults = mappings(input)
    .filter(([, value]) => Array.isArray(value))
    .map(([where]) => `${where}: expected keys with their values, got a list`);
  if (faults.length === 0) {
    const kinds = await kindsIn(input, load);
    const result = v.safeParse(schemaWith(kinds), input, { abortPipeEarly: true });
    if (result.success) return result.output;
    faults.push(...result.issues.map((issue) => describeFault(issue, kinds)));
  }
  throw new OcnotifyError("ERR_CONFIG", `${source}: ${faults.join("; ")}`);
}

/** The kinds that a configuration names, the default one included, as far as there are such. */
async function kindsIn(input: unknown, load: LoadKinds): Promise<ReadonlyMap<string, Kind>> {
  const { destinations } = (input ?? {}) as { destinations?: unknown };
  return await load([DEFAULT_TYPE, ...Object.values(destinations ?? {}).map(typeOf)]);
}

function typeOf(destination: unknown): string {
  const { type } = (destination ?? {}) as { type?: unknown };
  if (type === undefined) return DEFAULT_TYPE;
  return typeof type === "string" ? type : "";
}

/** Each value that must be a mapping, with its path. To valibot a list would be one, of its indexes. */
function mappings(input: unknown): [string, unknown][] {
  const { log, journal, destinations } = (input ?? {}) as Record<string, unknown>;
  const each = typeof destinations === "object" && !Array.isArray(destinations) ? (destinations ?? {}) : {};
  return [
    ["the top level", input],
    ...Object.entries({ log, journal, destinations }),
    ...Object.entries(each).map(([name, value]): [string, unknown] => [`destinations.${printable(name)}`, value]),
  ];
}

/** `path: expected …, got …`. What stands in the file is escaped, and cut where it is long. */
function describeFault(issue: v.BaseIssue<unknown>, kinds: ReadonlyMap<string, Kind>): string {
  const where = printable(cut(v.getDotPath(issue) ?? "the top level"));
  if (issue.type !== "strict_object") return `${where}: expected ${issue.message}, got ${shown(issue.input)}`;
  return issue.expected === "never"
    ? `${where}: unknown key. Known here: ${knownKeys(issue, kinds).join(", ")}`
    : `${where}: expected keys with their values, got ${shown(issue.input)}`;
}

function shown(value: unknown): string {
  if (value === null) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "keys with their values";
  return typeof value === "string" ? json(cut(value)) : inspect(value);
}

const cut = (text: string): string => (text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text);

/** Characters of a wrong key or value that its error shows. */
const MAX_SHOWN = 100;

/** What is in effect, and from where. */
export interface ConfigSource {
  readonly config: Config;
  /** The file that was read, or that was looked for. */
  readonly file: string;
  /** Whether the file is there. */
  readonly exists: boolean;
}

/**
 * Reads a configuration file (YAML).
 * @param path undefined for the default one, which need not exist
 * @throws OcnotifyError ERR_CONFIG
 */
export async function readConfig(path: string | undefined): Promise<Config> {
  return (await readConfigSource(path)).config;
}

/** The same, with where it came from. @throws as `readConfig` does */
export async function readConfigSource(path: string | undefined): Promise<ConfigSource> {
  const file = path ?? DEFAULT_CONFIG_FILE;
  let source: string;
  try {
    source = await readFile(file, "utf8");
  } catch (error) {
    if (path === undefined && (error as NodeJS.ErrnoException).code === "ENOENT") {
      return { config: await checkConfig({}, "defaults"), file, exists: false };
    }
    throw new OcnotifyError("ERR_CONFIG", `cannot read ${file}: ${(error as Error).message}`, { cause: error });
  }
  // Loaded only here: without a file the daemon starts sooner.
  const { LineCounter, parseDocument, visit } = await import("yaml");
  let value: unknown;
  try {
    const lineCounter = new LineCounter();
    const document = parseDocument(source, { lineCounter, prettyErrors: true });
    const [fault] = document.errors;
    if (fault !== undefined) throw fault;
    visit(document, {
      Scalar(_, { tag, value: tagged, range }) {
        if (tag?.startsWith("!") !== true) return;
        // YAML would take the name away, and leave a list that says something else.
        const line = lineCounter.linePos(range?.[0] ?? 0).line;
        const meant = json(cut(tag === "!" ? `!${String(tagged)}` : tag));
        throw new Error(
          `line ${line}: what begins with ! must be in quotes, such as ${meant}, or YAML takes it for a tag`,
        );
      },
    });
    // Aliases to nowhere, or to too much, are found only here.
    value = document.toJS();
  } catch (error) {
    // After what is wrong, and where, comes the part of the file.
    const [what = ""] = (error as Error).message.split(":\n", 1);
    throw new OcnotifyError("ERR_CONFIG", `${file}: ${printable(what)}`, { cause: error });
  }
  return { config: await checkConfig(value ?? {}, file), file, exists: true };
}

/** The keys that stand beside an unknown one in the schema. */
function knownKeys(issue: v.BaseIssue<unknown>, kinds: ReadonlyMap<string, Kind>): string[] {
  const at = (issue.path ?? []).slice(0, -1);
  const [part, destination] = at;
  if (part === undefined) return [...Object.keys(entries), "destinations"];
  if (part.key === "destinations") {
    const kind = kinds.get(typeOf(destination?.value));
    return kind === undefined ? [] : Object.keys(allOptions(kind));
  }
  const { wrapped } = entries[part.key as "log" | "journal"];
  return Object.keys(wrapped.entries);
}

/** What is of the right form and still of no use: `destinations.a.charset: …`, one for each. */
export async function unusableValues({ destinations }: Config): Promise<string[]> {
  const kinds = await loadKinds(Object.values(destinations).map(({ type }) => type));
  return Object.entries(destinations).flatMap(([name, written]) => {
    const kind = kinds.get(written.type);
    const faults = kind?.unusable(settingsOf(kind.options, written)) ?? [];
    return faults.map((fault) => `destinations.${name}.${fault}`);
  });
}
