import { readFileSync } from "node:fs";

/** Put in by the build of the one-file program, which has no package.json beside it. */
declare const OCNOTIFY_VERSION: string | undefined;

/** This version of ocnotify, as package.json says it. */
export const version: string = typeof OCNOTIFY_VERSION === "string" ? OCNOTIFY_VERSION : packageVersion();

/** The same with the version of Node.js, which the packaged program carries inside: `0.1.0 (Node.js 24.21.0)`. */
export const versions: string = describeVersions(version, process.versions.node);

export function describeVersions(ocnotify: string, node: string): string {
  return `${ocnotify} (Node.js ${node})`;
}

function packageVersion(): string {
  const file = new URL("../package.json", import.meta.url);
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}
