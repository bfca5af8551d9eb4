import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const ROOT = join(import.meta.dirname, "..");

test("docs/errors.md has each code that the source gives an error, what it means and what to do, and no other", () => {
  const source = join(ROOT, "src");
  const files = readdirSync(source, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"));
  // A `case` may be of a code of Node.js.
  const codes = files.flatMap((file) =>
    Array.from(readFileSync(join(source, file), "utf8").matchAll(/(?<!case )"(ERR_[A-Z_]+)"/g), ([, code]) => code),
  );
  const text = readFileSync(join(ROOT, "docs/errors.md"), "utf8");
  const rows = [...text.matchAll(/^\| `(ERR_[A-Z_]+)` \| ([^|]+) \| ([^|]+) \|$/gm)];
  assert.deepEqual(
    rows.map(([, code]) => code),
    [...new Set(codes)].toSorted((a = "", b = "") => (a < b ? -1 : 1)),
  );
});
