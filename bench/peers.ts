import { execFileSync } from "node:child_process";
import { encodeResolverRecord } from "../src/destinations/openchange/codec/resolver-record.ts";
import { Resolver, resolverKey } from "../src/destinations/openchange/resolver.ts";

import { startMemcached, type TestMemcached } from "../test/helpers/memcached.ts";
import { userName } from "./journal.ts";
import { built, OTHER_CORES, Program } from "./process.ts";
import { freePort } from "../test/helpers/ports.ts";

/** What a receiver counted: see nn-sink.c. */
export interface Counted {
  readonly messages: number;
  readonly bytes: number;
  readonly sum: string;
  readonly first: number;
  readonly last: number;
  readonly cpuUs: number;
}

export interface Sink {
  readonly address: string;
  readonly program: Program;
}

/** Receivers of libnanomsg, each a process of its own, as OpenChange servers are. */
export async function startSinks(count: number): Promise<Sink[]> {
  const sinks: Sink[] = [];
  for (let index = 0; index < count; index++) {
    const address = `tcp://127.0.0.1:${await freePort()}`;
    sinks.push({ address, program: await Program.start([...OTHER_CORES, built("nn-sink"), address]) });
  }
  return sinks;
}

/** What several receivers counted together. `last` is when the last of them had all of its share. */
export function together(counted: readonly Counted[]): Counted & { whole: boolean } {
  const sum = counted.reduce((total, { sum }) => BigInt.asUintN(64, total + BigInt(`0x${sum}`)), 0n);
  const add = (of: (part: Counted) => number): number => counted.reduce((total, part) => total + of(part), 0);
  return {
    messages: add(({ messages }) => messages),
    bytes: add(({ bytes }) => bytes),
    sum: sum.toString(16),
    first: Math.min(...counted.map(({ first }) => first)),
    last: Math.max(...counted.map(({ last }) => last)),
    cpuUs: add(({ cpuUs }) => cpuUs),
    whole: counted.every(({ last }) => last > 0),
  };
}

/** Registers users, each at one or more hosts, all at once. */
export async function register(
  configuration: string,
  users: Iterable<readonly [string, readonly string[]]>,
): Promise<void> {
  const resolver = new Resolver(configuration);
  let pending: Promise<unknown>[] = [];
  for (const [user, hosts] of users) {
    const key = resolverKey(user);
    const server = resolver.pool.serverFor(key);
    pending.push(server.set(resolver.pool.wireKey(key), encodeResolverRecord(hosts)));
    if (pending.length < 1_000) continue;
    await Promise.all(pending);
    pending = [];
  }
  await Promise.all(pending);
  resolver.close();
}

/** `count` users, spread over the hosts in turn. */
export function* spread(count: number, hosts: readonly string[]): Generator<readonly [string, readonly string[]]> {
  for (let index = 0; index < count; index++) yield [userName(index), [hosts[index % hosts.length] ?? ""]];
}

/** A real memcached with room for `megabytes`, kept off the core of the sender. */
export async function startResolver(megabytes = 64): Promise<TestMemcached> {
  const memcached = await startMemcached({ args: ["-m", String(megabytes)] });
  const [command = "", , cores = ""] = OTHER_CORES;
  if (command !== "") execFileSync(command, ["-a", "-c", "-p", cores, String(memcached.pid)], { stdio: "ignore" });
  return memcached;
}

/** Thousands of receivers in one process: see sp-hosts.c. */
export interface Hosts {
  readonly addresses: readonly string[];
  readonly ask: () => Promise<{ connections: number; messages: number }>;
  readonly stop: () => Promise<void>;
}

export async function startHosts(count: number): Promise<Hosts> {
  const port = await freePort();
  const program = await Program.start([...OTHER_CORES, built("sp-hosts"), String(port)]);
  const addresses = Array.from({ length: count }, (_, index) => {
    const number = index + 1;
    return `tcp://127.1.${number >> 8}.${number & 255}:${port}`;
  });
  return { addresses, ask: () => program.ask("?"), stop: () => program.stop() };
}
