import type { Row } from "./part.ts";

const COLUMNS: readonly { title: string; of: (row: Row) => string }[] = [
  { title: "what", of: ({ what }) => what },
  { title: "figure", of: ({ figure }) => figure },
  { title: "compared with", of: ({ against }) => against ?? "" },
  { title: "ratio", of: ({ ratio }) => ratio ?? "" },
  { title: "bar", of: ({ bar }) => bar ?? "" },
  { title: "", of: ({ met }) => (met === undefined ? "" : met ? "met" : "not met") },
];

/** As a table of Markdown that also reads well as text. */
export function table(rows: readonly Row[]): string {
  const cells = [COLUMNS.map(({ title }) => title), ...rows.map((row) => COLUMNS.map(({ of }) => of(row)))];
  const widths = COLUMNS.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const lines = cells.map((row) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`);
  lines.splice(1, 0, `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`);
  return lines.join("\n");
}
