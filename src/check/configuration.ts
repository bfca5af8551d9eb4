import { readFileSync } from "node:fs";
import type { Config } from "../config.ts";
import { charset } from "../destinations/openchange/codec/charset.ts";
import { parseConfigString } from "../protocols/memcached/config-string.ts";

/** What of the destinations' values is of the right form and still of no use: `destinations.a.charset: …`, one for each. */
export function unusableValues({ destinations }: Config): string[] {
  return Object.entries(destinations).flatMap(([name, destination]) => {
    const tries: Record<string, () => unknown> = {
      charset: () => charset(destination.charset),
      resolver: () => parse(destination.resolver),
      ...Object.fromEntries(destination.resolvers.map((each, index) => [`resolvers.${index}`, () => parse(each)])),
    };
    return Object.entries(tries).flatMap(([key, attempt]) => {
      try {
        attempt();
        return [];
      } catch (error) {
        return [`destinations.${name}.${key}: ${(error as Error).message}`];
      }
    });
  });
}

function parse(resolver: string): unknown {
  return parseConfigString(resolver, { readFile: (path) => readFileSync(path, "utf8") });
}
