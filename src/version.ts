import { readFileSync } from "node:fs";

/** Put in by the build of the one-file program, which has no package.json beside it. */
declare const OCNOTIFY_VERSION: string | undefined;

/** This version of ocnotify, as package.json says it. */
export const version: string = typeof OCNOTIFY_VERSION === "string" ? OCNOTIFY_VERSION : packageVersion();

function packageVersion(): string {
  const file = new URL("../package.json", import.meta.url);
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}
