import { readFileSync } from "node:fs";

/** This version of ocnotify, as package.json says it. */
export const version: string = (
  JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as { version: string }
).version;
