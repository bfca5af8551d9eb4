import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, it } from "node:test";

const ROOT = resolve(import.meta.dirname, "..");
const SOURCE = join(ROOT, "src");

/** A constant that may be a bound, with a value that can be reckoned. */
const CONSTANT = /^(?:export )?const ([A-Za-z_]+) = ([\d_ *+.\-()xa-fn]+|\d[\d_]* \*\* \d+ - \d+);$/gm;

/** What is named like a bound and is none of memory, time or work: limits of formats, and how much of a thing is shown. */
const NO_BOUNDS: readonly string[] = [
  "commands/codec.ts MAX_DIGITS",
  "commands/flush.ts MAX_NAMED",
  "commands/flush.ts MAX_TRIED",
  "commands/send.ts MAX_UID",
  "config.ts MAX_SHOWN",
  "delivery/options.ts MOST_MS",
  "destinations/openchange/check-receivers.ts MAX_TRIED",
  "destinations/openchange/sessions.ts MAX_REPORTED",
  "destinations/openchange/smb-conf.ts MAX_BYTES",
  "destinations/openchange/smb-conf.ts MAX_DEPTH",
  // A host that is slow, which only parks events.
  "destinations/openchange/endpoint.ts MANY",
  "events/event.ts MAX_MAILBOX_LENGTH",
  "events/event.ts MAX_USER_LENGTH",
  "events/record-scanner.ts MAX_NAME",
  "events/sequence-set.ts MAX_UID",
  "events/text-table.ts MAX_LENGTH",
  "journal/clearing.ts MAX_ASKED",
  "journal/overtaking.ts MAX_DISTANCE",
  "journal/segment.ts MAX_HOLE",
  // As many as a small integer has bits.
  "journal/stretch.ts MOST_RECORDS",
  "journal/stretch.ts MOST_US",
  "journal/trust.ts MAX_NAMED",
  "log.ts MAX_CAUSE",
  "protocols/memcached/change-value.ts MAX_CHANGE_ROUNDS",
  "protocols/memcached/config-statements.ts MAX_NAMESPACE",
  "protocols/memcached/config-statements.ts MAX_PORT",
  "protocols/memcached/config-statements.ts MAX_TIMEOUT",
  "protocols/memcached/config-string.ts MAX_FILE_DEPTH",
  "protocols/memcached/key.ts MAX_KEY_BYTES",
  "protocols/memcached/parser.ts MAX_FLAGS",
  "protocols/memcached/parser.ts MAX_LINE_BYTES",
  "protocols/memcached/request.ts MAX_GET_LINE",
  "protocols/memcached/server.ts MAX_UPTIME_FAILURES",
];

/** Every constant of the source, by its file within `src/` and its name. */
function constants(): Map<string, number> {
  const found = new Map<string, number>();
  const files = readdirSync(SOURCE, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"));
  for (const file of files) {
    for (const [, name = "", value = ""] of readFileSync(join(SOURCE, file), "utf8").matchAll(CONSTANT)) {
      found.set(`${file} ${name}`, reckon(value));
    }
  }
  return found;
}

/** The value of what the source says: sums, products and powers of numbers. */
function reckon(expression: string): number {
  const [product = "", less] = expression.replaceAll("_", "").split(" - ");
  const value = product
    .split(/ \* /)
    .map((factor) => factor.split(" ** ").map((text) => Number(text.replace(/n$/, ""))))
    .reduce((total, [base = Number.NaN, power = 1]) => total * base ** power, 1);
  return value - Number(less ?? 0);
}

interface Row {
  readonly what: string;
  readonly bound: string;
  readonly constants: readonly string[];
}

/** The table of ARCHITECTURE.md. */
function rows(): Row[] {
  const text = readFileSync(join(ROOT, "ARCHITECTURE.md"), "utf8");
  const part = text.slice(text.indexOf("## Bounds"), text.indexOf("## Decisions"));
  return [...part.matchAll(/^\| (?!what \|)([^|]+) \| ([^|]+) \|[^|]*\|([^|]*)\|$/gm)].map(
    ([, what = "", bound = "", names = ""]) => ({
      what,
      bound,
      constants: [...names.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name),
    }),
  );
}

/** How a figure may stand in the table: plain, in bytes, or as a duration in milliseconds. */
function wordings(value: number): string[] {
  const sizes = [1024, 1024 ** 2, 1024 ** 3].map((unit, index) => `${value / unit} ${["KiB", "MiB", "GiB"][index]}`);
  const times = [1, 1_000, 60_000, 86_400_000].map((ms, index) => `${value / ms} ${["ms", "s", "min", "days"][index]}`);
  const words = new Map([[86_400_000, "a day"]]);
  return [value.toLocaleString("en"), ...sizes, ...times, words.get(value) ?? ""].filter(Boolean);
}

describe("the table of bounds in ARCHITECTURE.md", () => {
  const known = constants();
  const keyOf = (name: string): string | undefined => [...known.keys()].find((key) => `/${key}`.endsWith(`/${name}`));

  it("says of each constant that it names what the source says", () => {
    assert.ok(rows().length > 50);
    for (const { what, bound, constants: names } of rows()) {
      for (const name of names) {
        const value = known.get(keyOf(name) ?? "");
        assert.ok(value !== undefined, `${what}: the source has no ${name}`);
        const isSaid = wordings(value).some((words) => new RegExp(`(^|[^\\d,])${words}([^\\d,]|,? |$)`).test(bound));
        assert.ok(isSaid, `${what}: "${bound}" does not say ${name}, which is ${value}`);
      }
    }
  });

  it("has every constant that is named like one", () => {
    const named = new Set(rows().flatMap(({ constants: names }) => names.map(keyOf)));
    const missing = [...known.keys()].filter(
      (key) => / (MAX|MOST|MANY)(_|$)/.test(key) && !named.has(key) && !NO_BOUNDS.includes(key),
    );
    assert.deepEqual(missing, []);
    for (const key of NO_BOUNDS) assert.ok(known.has(key) && !named.has(key), key);
  });
});
