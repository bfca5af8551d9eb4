import { readFile } from "node:fs/promises";
import { inspect } from "node:util";
import * as v from "valibot";
import { OcnotifyError } from "./errors.ts";
import { EVENT_NAMES, MESSAGE_EVENT_NAMES } from "./events/event.ts";
import { LOG_FORMATS, LOG_LEVELS } from "./log.ts";
import { json, printable } from "./printable.ts";

export const DEFAULT_CONFIG_FILE = "/etc/ocnotify/ocnotify.yaml";

const UNITS_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

const DURATION = /^(\d{1,9})(ms|s|m|h|d)$/;

/** Milliseconds of a duration that the configuration accepted: `500ms`, `30s`, `10m`, `1h`, `7d`. */
export function milliseconds(duration: string): number {
  const [, count, unit] = DURATION.exec(duration) ?? [];
  return Number(count) * UNITS_MS[unit as keyof typeof UNITS_MS];
}

const A_DURATION = "a duration such as 500ms, 30s, 10m, 1h or 7d";
const duration = v.pipe(v.string(A_DURATION), v.regex(DURATION, A_DURATION));
/** What a timer of Node can wait; it fires at once for more. */
const MOST_MS = 2 ** 31 - 1;
const A_WAIT = "a duration from 1ms to 24d";
const isWait = (text: string): boolean => milliseconds(text) >= 1 && milliseconds(text) <= MOST_MS;
const wait = v.pipe(duration, v.check(isWait, A_WAIT));
const waitOrNone = v.pipe(
  duration,
  v.check((text) => milliseconds(text) <= MOST_MS, "a duration of at most 24d"),
);
const A_TIME_TO_REMOVE = `${A_DURATION}, or never`;
const A_COUNT_OF_CONNECTIONS = "a whole number from 1 to 65535";
const A_USER = "a user name or uid";
const uid = v.pipe(v.number(), v.integer(A_USER), v.minValue(0, A_USER), v.maxValue(0xffff_fffe, A_USER));
const text = v.pipe(v.string("a text"), v.nonEmpty("a text that is not empty"));
const path = v.pipe(text, v.regex(/^\//, "an absolute path"));
const messageEventName = v.picklist(MESSAGE_EVENT_NAMES, `one of ${MESSAGE_EVENT_NAMES.join(", ")}`);
const EXCLUDING = "! before it excludes it";
const filteredEvent = v.picklist(
  [...EVENT_NAMES, ...EVENT_NAMES.map((name) => `!${name}` as const)],
  `one of ${EVENT_NAMES.join(", ")}; ${EXCLUDING}`,
);
const A_NAME = `a name in which * stands for anything; ${EXCLUDING}`;
const names = v.array(v.pipe(v.string(A_NAME), v.regex(/^(?!!$)./s, A_NAME)), "a list of names");
const A_SERVICE = `a service of Dovecot such as lda, lmtp or imap; ${EXCLUDING}`;
const services = v.array(v.pipe(v.string(A_SERVICE), v.regex(/^!?[a-z0-9*?_-]+$/, A_SERVICE)), "a list of services");
const NAME_PAIR =
  'names of Dovecot for names of the system, with one * in both, or in the first, or in none: {"*": "*@example.com"}';
const stars = (name: string): number => name.split("*").length - 1;
const namesInDovecot = v.union([text, v.array(text)], NAME_PAIR);
const userNames = v.pipe(
  // A list would be taken for a record of its places.
  v.custom<object>((input) => !Array.isArray(input), NAME_PAIR),
  v.record(text, namesInDovecot, NAME_PAIR),
  v.check(
    (pairs) =>
      Object.entries(pairs).every(
        ([name, users]) => stars(name) <= 1 && [users].flat().every((user) => stars(user) <= stars(name)),
      ),
    NAME_PAIR,
  ),
);

/** The options of one destination that tells OpenChange servers. */
const openchange = v.strictObject({
  type: v.optional(v.literal("openchange", "openchange"), "openchange"),
  /** Which events, users, mailboxes and services; all when absent. See `Filter`. */
  events: v.optional(v.array(filteredEvent, "a list of events")),
  users: v.optional(names),
  mailboxes: v.optional(names),
  services: v.optional(services),
  /** For records that bring none of their own. */
  resolver: v.optional(text, "--SERVER=127.0.0.1:11211"),
  /** Further strings that records of users of the system may name without a limit. */
  resolvers: v.optional(v.array(text, "a list of libmemcached configuration strings"), []),
  cn: v.optional(v.picklist(["username", "email"], "username or email"), "username"),
  backend: v.optional(text, "sogo"),
  charset: v.optional(text, "cp850"),
  new_mail_events: v.optional(v.array(messageEventName, "a list of events"), ["MessageNew"]),
  /** Whether the servers know the extension of docs/ocnotify-extended.idl. */
  extended: v.optional(v.boolean("true or false"), false),
  time_to_live: v.optional(duration, "10m"),
  restart_grace: v.optional(duration, "30s"),
  remove_refused_after: v.optional(
    v.pipe(
      v.string(A_TIME_TO_REMOVE),
      v.check((text) => text === "never" || DURATION.test(text), A_TIME_TO_REMOVE),
    ),
    "10m",
  ),
  connect_timeout: v.optional(wait, "5s"),
  stall_timeout: v.optional(wait, "30s"),
  idle_timeout: v.optional(wait, "60s"),
  max_connections: v.optional(
    v.pipe(
      v.number(A_COUNT_OF_CONNECTIONS),
      v.integer(A_COUNT_OF_CONNECTIONS),
      v.minValue(1, A_COUNT_OF_CONNECTIONS),
      v.maxValue(65_535, A_COUNT_OF_CONNECTIONS),
    ),
    16_384,
  ),
  retry_first: v.optional(wait, "200ms"),
  retry_most: v.optional(wait, "10s"),
});

const Schema = v.strictObject({
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
      mail_users: v.optional(v.array(v.union([text, uid], A_USER), "a list of users"), ["vmail"]),
      user_names: v.optional(userNames, {}),
      retention: v.optional(duration, "1h"),
    }),
    {},
  ),
  state_directory: v.optional(path, "/var/lib/ocnotify"),
  drain_timeout: v.optional(waitOrNone, "5s"),
  destinations: v.optional(
    v.record(
      v.pipe(v.string(), v.regex(/^[a-z0-9][a-z0-9_-]{0,63}$/, "a name of a-z, 0-9, - and _")),
      openchange,
      "a destination for each name",
    ),
    { openchange: {} },
  ),
});

/** What the daemon does, with every default in its place. Durations are as written: see `milliseconds`. */
export type Config = v.InferOutput<typeof Schema>;

export type OpenChangeConfig = v.InferOutput<typeof openchange>;

/**
 * The effective configuration of what a file says.
 * @throws OcnotifyError ERR_CONFIG that names each wrong path and what is allowed there
 */
export function checkConfig(input: unknown, source: string): Config {
  const faults = mappings(input)
    .filter(([, value]) => Array.isArray(value))
    .map(([where]) => `${where}: expected keys with their values, got a list`);
  if (faults.length === 0) {
    const result = v.safeParse(Schema, input, { abortPipeEarly: true });
    if (result.success) return result.output;
    faults.push(...result.issues.map(describeFault));
  }
  throw new OcnotifyError("ERR_CONFIG", `${source}: ${faults.join("; ")}`);
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
function describeFault(issue: v.BaseIssue<unknown>): string {
  const where = printable(cut(v.getDotPath(issue) ?? "the top level"));
  if (issue.type !== "strict_object") return `${where}: expected ${issue.message}, got ${shown(issue.input)}`;
  return issue.expected === "never"
    ? `${where}: unknown key. Known here: ${knownKeys(issue).join(", ")}`
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
      return { config: checkConfig({}, "defaults"), file, exists: false };
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
  return { config: checkConfig(value ?? {}, file), file, exists: true };
}

/** The keys that stand beside an unknown one in the schema. */
function knownKeys(issue: v.BaseIssue<unknown>): string[] {
  const at = (issue.path ?? []).slice(0, -1).map((item) => String(item.key));
  if (at[0] === "destinations") return Object.keys(openchange.entries);
  const entries: Record<string, unknown> = Schema.entries;
  const inner = at[0] === undefined ? entries : (entries[at[0]] as { wrapped?: { entries?: object } }).wrapped?.entries;
  return Object.keys(inner ?? {});
}
