import { readFileSync } from "node:fs";
import { cnOf, Resolver, type CnKind } from "../destinations/openchange/resolver.ts";
import { parseConfigString } from "../protocols/memcached/config-string.ts";
import { formatAddress, MemcachedServer } from "../protocols/memcached/server.ts";
import { connectPush } from "../protocols/sp/push-connection.ts";
import { fault, ok, warning, type Finding } from "./finding.ts";

const CONNECT_TIMEOUT_MS = 5_000;
/** The strings are the operator's own, so what they name may be read. */
const options = { readFile: (path: string) => readFileSync(path, "utf8") };

/** Whether each memcached that the strings name answers. */
export async function checkMemcached(resolvers: Iterable<string>): Promise<Finding[]> {
  const servers = new Map<string, MemcachedServer>();
  const findings: Finding[] = [];
  for (const resolver of new Set(resolvers)) {
    try {
      const { servers: named, connectTimeoutMs, pollTimeoutMs } = parseConfigString(resolver, options);
      for (const server of named) {
        const name = formatAddress(server);
        if (!servers.has(name)) servers.set(name, new MemcachedServer(server, { connectTimeoutMs, pollTimeoutMs }));
      }
    } catch (error) {
      findings.push(fault("memcached", `${resolver}: ${(error as Error).message}`, "correct the string"));
    }
  }
  const answers = [...servers.values()].map(async (server) => {
    try {
      return ok("memcached", `${server.name} answers, version ${await server.version()}`);
    } catch (error) {
      return fault(
        "memcached",
        (error as Error).message,
        "start it, or correct the resolver; the daemon goes on trying",
      );
    } finally {
      server.close();
    }
  });
  return [...findings, ...(await Promise.all(answers))];
}

/** Whether somebody is registered for the user, and each who is accepts notifications. */
export async function checkUser(
  user: string,
  resolvers: Iterable<string>,
  { cn, charset }: { cn: CnKind; charset: string },
): Promise<Finding[]> {
  const findings: Finding[] = [];
  const name = cnOf(user, cn);
  const hosts = new Set<string>();
  let failed = false;
  for (const resolver of new Set(resolvers)) {
    let opened: Resolver | undefined;
    try {
      opened = new Resolver(resolver, { ...options, charset });
      for (const host of await opened.hosts(name)) hosts.add(host);
    } catch (error) {
      failed = true;
      findings.push(
        fault("user", (error as Error).message, `ocnotify flush --username ${name}, if the record is broken`),
      );
    } finally {
      opened?.close();
    }
  }
  if (hosts.size === 0 && !failed) {
    findings.push(
      warning(
        "user",
        `nobody is registered for ${name}: nobody is told of what happens to ${user}`,
        "the server registers when the user logs in there, under the same name and in the same memcached: compare openchange_cn and openchange_resolver with its configuration",
      ),
    );
  }
  const answers = [...hosts].map(async (host) => {
    try {
      const connection = await connectPush(host, { connectTimeoutMs: CONNECT_TIMEOUT_MS });
      connection.end();
      return ok("host", `${host}, registered for ${name}, accepts notifications`);
    } catch (error) {
      const remedy = `start the server, open the port, or, if it is gone for good: ocnotify flush --username ${name}`;
      return fault("host", `${(error as Error).message} (registered for ${name})`, remedy);
    }
  });
  return [...findings, ...(await Promise.all(answers))];
}
