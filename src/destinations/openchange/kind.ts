import { readFileSync } from "node:fs";
import type { CheckContext, Kind } from "../../delivery/kind.ts";
import type { Finding } from "../../check/finding.ts";
import type { Settings } from "../../delivery/options.ts";
import { parseConfigString } from "../../protocols/memcached/config-string.ts";
import { checkMemcached, checkUser } from "./check-receivers.ts";
import { checkSmbConf, type NamedResolver } from "./check-smb-conf.ts";
import { charset, defaultCharset } from "./codec/charset.ts";
import { counters, dropReasons } from "./counters.ts";
import { OpenChange } from "./openchange.ts";
import { options } from "./options.ts";

type OpenChangeOptions = Settings<typeof options>;

/** The servers of OpenChange that are registered for a user. */
export const openchange: Kind<typeof options> = {
  type: "openchange",
  meaning: "the servers of OpenChange that are registered for a user",
  options,
  wholeRecords: false,
  startsAt: "oldest",
  counters,
  dropReasons,
  describe(details) {
    const count = (name: string): number => details[name] ?? 0;
    const again = count("lookupsAgain");
    return [
      ["sent", `${count("sent")} notifications, ${count("resent")} events again after a lost connection`],
      ["failures", `${count("lookupFailures")} of the resolver, ${count("hostFailures")} of hosts`],
      ...(again > 0 ? [["again", `${again} look-ups in a memcached that was restarted`] as const] : []),
      ["hosts", `${count("hosts")} in use, ${count("connected")} connected`],
      ["looking up", `${count("lookingUp")} records`],
    ];
  },
  unusable(settings) {
    return [
      ...faultOf("charset", () => charset(settings.charset)),
      ...faultOf("resolver", () => parse(settings.resolver)),
      ...settings.resolvers.flatMap((resolver, index) => faultOf(`resolvers.${index}`, () => parse(resolver))),
    ];
  },
  check,
  create(settings, { answers, log, maxConnections }) {
    return new OpenChange(
      {
        resolver: settings.resolver,
        resolvers: settings.resolvers,
        cn: settings.cn,
        backend: settings.backend,
        charset: settings.charset,
        newMailEvents: settings.new_mail_events,
        extended: settings.extended,
        timeToLiveMs: settings.time_to_live,
        restartGraceMs: settings.restart_grace,
        removeRefusedAfterMs: settings.remove_refused_after,
        maxConnections: Math.min(settings.max_connections, maxConnections),
        endpoint: {
          connectTimeoutMs: settings.connect_timeout,
          stallTimeoutMs: settings.stall_timeout,
          idleTimeoutMs: settings.idle_timeout,
          firstRetryMs: settings.retry_first,
          mostRetryMs: settings.retry_most,
        },
      },
      answers,
      log,
    );
  },
};

/** What Dovecot says goes before what the daemon's configuration says, for every record that brings it. */
async function* check(
  destinations: ReadonlyMap<string, OpenChangeOptions>,
  { dovecot, user }: CheckContext,
): AsyncGenerator<Finding> {
  const settings = [...destinations.values()];
  yield* checkSmbConf(resolversInEffect(destinations, dovecot["openchange_resolver"]));
  const resolvers = settings.map(({ resolver }) => dovecot["openchange_resolver"] ?? resolver);
  yield* await checkMemcached([...resolvers, ...settings.flatMap((each) => each.resolvers)]);
  if (user === undefined) return;
  const cn = dovecot["openchange_cn"] ?? settings[0]?.cn;
  yield* await checkUser(user, resolvers, {
    cn: cn === "email" ? "email" : "username",
    charset: settings[0]?.charset ?? defaultCharset,
  });
}

function resolversInEffect(
  destinations: ReadonlyMap<string, OpenChangeOptions>,
  dovecots: string | undefined,
): NamedResolver[] {
  if (dovecots !== undefined) {
    return [{ resolver: dovecots, setting: "openchange_resolver in Dovecot's configuration" }];
  }
  return Array.from(destinations, ([name, { resolver }]) => ({
    resolver,
    setting: `destinations.${name}.resolver in the daemon's configuration`,
  }));
}

function parse(resolver: string): unknown {
  return parseConfigString(resolver, { readFile: (path) => readFileSync(path, "utf8") });
}

function faultOf(key: string, attempt: () => unknown): string[] {
  try {
    attempt();
    return [];
  } catch (error) {
    return [`${key}: ${(error as Error).message}`];
  }
}
