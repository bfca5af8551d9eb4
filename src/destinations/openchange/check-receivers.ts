import { readFileSync } from "node:fs";
import { cnOf, Resolver, type CnKind } from "./resolver.ts";
import { parseConfigString } from "../../protocols/memcached/config-string.ts";
import { formatAddress, MemcachedServer } from "../../protocols/memcached/server.ts";
import { connectPush } from "../../protocols/sp/push-connection.ts";
import { fault, ok, warning, type Finding } from "../../check/finding.ts";

const CONNECT_TIMEOUT_MS = 5_000;
/** Hosts that are tried, all at once. A longer record is mostly of dead ones, and those who registered last stand last. */
const MAX_TRIED = 100;
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
      return fault("memcached", (error as Error).message, memcachedRemedy(error));
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
      findings.push(fault("user", (error as Error).message, userRemedy(error, name)));
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
  if (hosts.size > MAX_TRIED) {
    findings.push(
      warning(
        "user",
        `${hosts.size} hosts are registered for ${name}: the last ${MAX_TRIED} of them are tried here`,
        `mostly the others are dead and never unregistered: remove_refused_after takes them out. Or ${flushing(name)}`,
      ),
    );
  }
  const answers = [...hosts].slice(-MAX_TRIED).map(async (host) => {
    try {
      const connection = await connectPush(host, { connectTimeoutMs: CONNECT_TIMEOUT_MS });
      connection.end();
      return ok("host", `${host}, registered for ${name}, accepts notifications`);
    } catch (error) {
      return fault("host", `${(error as Error).message} (registered for ${name})`, hostRemedy(error, name));
    }
  });
  return [...findings, ...(await Promise.all(answers))];
}

const codeOf = (error: unknown): unknown => (error as { code?: unknown }).code;

/** What to do about a memcached that was asked in vain. */
function memcachedRemedy(error: unknown): string {
  switch (codeOf(error)) {
    case "ERR_MEMCACHED_TIMEOUT":
      return "start it again if it hangs, or open its port in the firewall; the daemon goes on trying";
    case "ERR_MEMCACHED_PROTOCOL":
      return "what answers there is no memcached: correct the resolver";
    case "ERR_MEMCACHED_SERVER":
    case "ERR_MEMCACHED_CLIENT":
      return "see memcached's own log";
    case "ERR_MEMCACHED_CONFIG":
    case "ERR_MEMCACHED_CONFIG_FILE":
      return "correct the string";
    default:
      return "start it, or correct the resolver; the daemon goes on trying";
  }
}

/** What to do about a user who could not be looked up. */
function userRemedy(error: unknown, name: string): string {
  switch (codeOf(error)) {
    case "ERR_RESOLVER_RECORD":
      return `if nothing else uses that key: ${flushing(name)}`;
    case "ERR_CN":
    case "ERR_MEMCACHED_KEY":
      return "name the user as Dovecot does: doveadm user; such a name no server can register";
    default:
      return memcachedRemedy(error);
  }
}

/** What to do about a registered host that takes no notifications. */
function hostRemedy(error: unknown, name: string): string {
  switch (codeOf(error)) {
    case "ERR_SP_REFUSED":
      return "start the server. If it is gone for good, the daemon takes it out of the resolver after remove_refused_after";
    case "ERR_SP_UNREACHABLE":
    case "ERR_SP_TIMEOUT":
      return `open its port between here and the server. If the server is gone for good: ${flushing(name)}`;
    case "ERR_SP_DNS":
      return "make the name known on this host, or have the server register an address";
    case "ERR_SP_HANDSHAKE":
    case "ERR_SP_PEER_PROTOCOL":
      return `another program listens there, so the server is gone: ${flushing(name)}`;
    case "ERR_SP_ADDRESS":
      return `have the server register an address that mail hosts can connect to, then: ${flushing(name)}`;
    default:
      return "see the server's own log";
  }
}

const flushing = (name: string): string =>
  `ocnotify flush --username ${name}. An OpenChange server registers again only when its client connects again`;
