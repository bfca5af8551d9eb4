import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { describe, it } from "node:test";

const ROOT = join(import.meta.dirname, "..");
const SOURCE = join(ROOT, "src");
const IMPORTED = /(?:\bfrom|^import|\bimport\()\s*"(\.[^"]+)"/gm;

type Graph = ReadonlyMap<string, readonly string[]>;

/** Each file of src, without its ending, and what it imports of src, types and `import()` included. */
function importsBelow(folder: string): Graph {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"));
  return new Map(
    files.map((file) => {
      const imported = readFileSync(join(folder, file), "utf8").matchAll(IMPORTED);
      return [nameOf(file), Array.from(imported, ([, path = ""]) => nameOf(normalize(join(dirname(file), path))))];
    }),
  );
}

const nameOf = (file: string): string => file.replace(/\.ts$/, "");

/** Groups of files each of which reaches every other of its group (Tarjan's strongly connected components). */
function circlesIn(graph: Graph): string[][] {
  const order = new Map<string, number>();
  const lowest = new Map<string, number>();
  const path: string[] = [];
  const circles: string[][] = [];
  const low = (file: string): number => lowest.get(file) as number;
  const visit = (file: string): void => {
    order.set(file, order.size);
    lowest.set(file, order.size - 1);
    path.push(file);
    for (const next of graph.get(file) ?? []) {
      if (!order.has(next)) visit(next);
      if (path.includes(next)) lowest.set(file, Math.min(low(file), low(next)));
    }
    if (low(file) !== order.get(file)) return;
    const circle = path.splice(path.indexOf(file));
    if (circle.length > 1) circles.push(circle.toSorted());
  };
  for (const file of graph.keys()) if (!order.has(file)) visit(file);
  return circles.toSorted((a, b) => (a.join() < b.join() ? -1 : 1));
}

interface Row {
  readonly names: readonly string[];
  readonly allowed: readonly string[];
}

const quoted = (cell: string): string[] => Array.from(cell.matchAll(/`([^`]+)`/g), ([, name = ""]) => name);

/** The table of ARCHITECTURE.md. */
function table(): Row[] {
  const text = readFileSync(join(ROOT, "ARCHITECTURE.md"), "utf8");
  const [, rows = ""] = text.slice(text.indexOf("| of `src/` |")).split("|---|---|---|\n");
  return rows
    .slice(0, rows.indexOf("\n\n"))
    .split("\n")
    .map((row) => row.split("|"))
    .map(([, names = "", allowed = ""]) => ({ names: quoted(names), allowed: quoted(allowed) }));
}

/** The row of a file: its own, its folder's, or undefined for a file of src itself that has none. */
function rowOf(file: string, rows: readonly Row[]): Row | undefined {
  const named = (name: string): Row | undefined => rows.find(({ names }) => names.includes(name));
  return named(file) ?? named(`${dirname(file)}/`);
}

const graph = importsBelow(SOURCE);

describe("the imports of the source", () => {
  it("are found, whatever their form", () => {
    assert.ok(graph.get("daemon")?.includes("journal/directory"));
    assert.ok(graph.get("destinations/kinds")?.includes("destinations/openchange/kind"), "import()");
    assert.ok(graph.get("journal/chain")?.includes("journal/overtaking"), "import type");
    for (const [file, imported] of graph) {
      for (const other of imported) assert.ok(graph.has(other), `${file} imports ${other}, which is not there`);
    }
  });

  it("have no circles, those of types included", () => {
    assert.deepEqual(circlesIn(graph), []);
  });

  it("that form a circle would be found", () => {
    const circle = new Map([
      ["a", ["b"]],
      ["b", ["c", "e"]],
      ["c", ["d"]],
      ["d", ["b"]],
      ["e", []],
    ]);
    assert.deepEqual(circlesIn(circle), [["b", "c", "d"]]);
  });

  it("are those that ARCHITECTURE.md lets each folder have", () => {
    const rows = table();
    assert.ok(rows.length > 10);
    const wrong: string[] = [];
    for (const [file, imported] of graph) {
      const row = rowOf(file, rows);
      if (row === undefined && dirname(file) !== ".") wrong.push(`${dirname(file)}/ has no row`);
      if (row === undefined || row.allowed.includes("*")) continue;
      for (const other of imported) {
        const folder = `${dirname(other)}/`;
        const isOwn = dirname(other) === dirname(file) && row.names.includes(folder);
        if (!isOwn && !row.allowed.includes(other) && !row.allowed.includes(folder))
          wrong.push(`${file} imports ${other}`);
      }
    }
    assert.deepEqual([...new Set(wrong)], []);
  });

  it("names in ARCHITECTURE.md's table what is there", () => {
    const folders = new Set(Array.from(graph.keys(), (file) => `${dirname(file)}/`));
    const names = table().flatMap(({ names: own, allowed }) => [...own, ...allowed]);
    const missing = names.filter((name) => !["*", "src/"].includes(name) && !folders.has(name) && !graph.has(name));
    assert.deepEqual(missing, []);
  });
});
