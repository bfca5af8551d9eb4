import { readFileSync } from "node:fs";
import { notificationCache } from "./smb-conf.ts";
import { parseConfigString } from "../../protocols/memcached/config-string.ts";
import type { ServerConfig } from "../../protocols/memcached/pool-config.ts";
import { fault, ok, warning, type Finding } from "../../check/finding.ts";

const PARAMETER = "mapistore:notification_cache";

/** A resolver string in effect, and the setting that says so. */
export interface NamedResolver {
  readonly resolver: string;
  readonly setting: string;
}

/** Whether servers that read this machine's smb.conf register where users are looked up; nothing without such a setting. */
export function checkSmbConf(resolvers: Iterable<NamedResolver>): Finding[] {
  const cache = notificationCache();
  if (cache === undefined) return [];
  let theirs: string;
  try {
    theirs = placementOf(cache.resolver);
  } catch (error) {
    const told = `${cache.file}: ${PARAMETER} = ${cache.resolver}: ${(error as Error).message}`;
    return [fault("memcached", told, "correct it there: servers that read it do not start")];
  }
  const findings: Finding[] = [];
  for (const { resolver, setting } of resolvers) {
    let ours: string;
    try {
      ours = placementOf(resolver);
    } catch {
      // Said by who checks that memcached answers.
      continue;
    }
    if (ours === theirs) {
      findings.push(ok("memcached", `${cache.file} names the same resolver as ${setting}`));
      continue;
    }
    const told = `${cache.file} has ${PARAMETER} = ${cache.resolver}, and ${setting} is ${resolver}: a server that reads this smb.conf registers where nobody looks`;
    const remedy = `set ${setting} to the string of smb.conf, or smb.conf's to this one; nothing, if your servers read another smb.conf`;
    findings.push(warning("memcached", told, remedy));
  }
  return findings;
}

/** All of a string that decides where a key is. */
function placementOf(resolver: string): string {
  const config = parseConfigString(resolver, { readFile: (path) => readFileSync(path, "utf8") });
  const { namespace, hash, distribution, pointsHash, weighted, hashWithNamespace } = config;
  // The names of servers count only in the points of consistent distribution, and only their order without it.
  const modula = distribution === "modula";
  const servers = config.servers.map((server) => (modula ? { ...withoutAlias(server), weight: 1 } : server));
  const points = modula ? [] : [pointsHash, weighted];
  return JSON.stringify([servers, namespace, hash, distribution, hashWithNamespace, points]);
}

function withoutAlias(server: ServerConfig): ServerConfig {
  return server.kind === "tcp" && server.host === "localhost" ? { ...server, host: "127.0.0.1" } : server;
}
