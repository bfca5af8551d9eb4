import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { commonOptions } from "../src/delivery/common-options.ts";
import type { options } from "../src/destinations/openchange/options.ts";
import { encodeResolverRecord } from "../src/destinations/openchange/codec/resolver-record.ts";
import { resolverKey } from "../src/destinations/openchange/resolver.ts";
import { parseConfigString } from "../src/protocols/memcached/config-string.ts";
import { MemcachedPool } from "../src/protocols/memcached/pool.ts";
import { askStatus, type Status } from "../src/status.ts";
import { destinationIn, type OpenChangeStatus } from "../test/helpers/status.ts";
import { startMemcached, type TestMemcached } from "../test/helpers/memcached.ts";
import { buildNnPrograms, type NnPrograms } from "../test/helpers/nanocat.ts";
import { ocnotify } from "../test/helpers/ocnotify.ts";
import { DaemonProcess } from "../test/helpers/daemon-process.ts";
import { Random } from "./random.ts";
import { NnReceiver, PullReceiver } from "./receivers.ts";
import { Tally } from "./tally.ts";
import { Writer } from "./writer.ts";
import { freePort } from "../test/helpers/ports.ts";
import { waitFor } from "../test/helpers/wait.ts";

/** Nothing came for so long: what is missing does not come any more. */
const PATIENCE_MS = 20_000;
const LOAD_TICK_MS = 5;

/** What stands in ocnotify.yaml. */
type Destination = Partial<Record<keyof typeof options | keyof typeof commonOptions, unknown>>;

export interface WorldConfig {
  /** Instead of the world's own memcached. */
  readonly resolver?: string;
  /** What all destinations have in common. */
  readonly destination?: Destination;
  /** One, openchange, by default. */
  readonly destinations?: Readonly<Record<string, Destination>>;
  /** Their uids, for whose segments root may write. */
  readonly mailUsers?: readonly number[];
  readonly retention?: string;
  readonly drainTimeout?: string;
  readonly stateDir?: string;
  readonly environment?: Record<string, string>;
  /** A module that the daemon loads before the program. */
  readonly preload?: string;
}

/** One scenario's journal, memcached, daemon and receivers, and what is to be said of it. */
export class World {
  readonly random: Random;
  readonly tally = new Tally();
  /** The large numbers, for some minutes; else the small ones, for some seconds. */
  readonly long: boolean;
  readonly folder = mkdtempSync(join(tmpdir(), "ocnotify-torture-"));
  readonly journal = join(this.folder, "journal");
  stateDir = join(this.folder, "state");
  readonly notes: string[] = [];
  readonly writer: Writer;
  readonly #releases: (() => unknown)[] = [];
  readonly #configFile = join(this.folder, "ocnotify.yaml");
  #environment: Record<string, string> = {};
  #preload: string | undefined;
  #daemon: DaemonProcess | undefined;
  #memcached: TestMemcached | undefined;
  #programs: NnPrograms | undefined;

  constructor(seed: number, long: boolean) {
    this.random = new Random(seed);
    this.long = long;
    mkdirSync(this.journal);
    chmodSync(this.journal, 0o3733);
    this.writer = new Writer(this.journal, this.tally);
  }

  /** The first number in the short version, the second in the long one. */
  size(short: number, long: number): number {
    return this.long ? long : short;
  }

  note(text: string): void {
    this.notes.push(text);
  }

  /** Calls `release` at the end, in reverse order. */
  finally(release: () => unknown): void {
    this.#releases.push(release);
  }

  async release(): Promise<void> {
    for (const release of this.#releases.splice(0).toReversed()) await release();
    await this.#daemon?.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** @param args further ones of its command line */
  async memcached(args: readonly string[] = []): Promise<TestMemcached> {
    const memcached = await startMemcached({ args });
    this.#memcached ??= memcached;
    this.finally(() => memcached.stop());
    return memcached;
  }

  /** The configuration string of the first memcached. */
  get resolver(): string {
    if (this.#memcached === undefined) throw new Error("no memcached");
    return this.#memcached.config;
  }

  /** @param registered the address by which it is known, where that is not the one listened at */
  async receiver(address?: string, registered?: string): Promise<PullReceiver> {
    return this.#receive(new PullReceiver(address ?? (await this.address()), this.tally, { registered }));
  }

  /** Takes no more than this many notifications a second. */
  async slowReceiver(perSecond: number): Promise<PullReceiver> {
    return this.#receive(new PullReceiver(await this.address(), this.tally, { perSecond }));
  }

  async #receive<R extends PullReceiver>(receiver: R): Promise<R> {
    await receiver.start();
    this.finally(() => receiver.stop());
    return receiver;
  }

  /**
   * As `receiver`, a process of libnanomsg.
   * @param leftOut messages in which this stands are read and count for nothing
   */
  async nnReceiver(leftOut?: string): Promise<NnReceiver> {
    if (this.#programs === undefined) {
      const programs = await buildNnPrograms();
      this.#programs = programs;
      this.finally(() => programs.remove());
    }
    const receiver = new NnReceiver(await this.address(), this.tally, this.#programs, leftOut);
    await receiver.start();
    this.finally(() => receiver.stop());
    return receiver;
  }

  async address(): Promise<string> {
    return `tcp://127.0.0.1:${await freePort()}`;
  }

  /** Puts the users' hosts into the resolver, in place of what is there. */
  async register(users = this.tally.users, resolver = this.resolver): Promise<void> {
    await this.putRecords(
      users.map((user) => [user, this.tally.hostsOf(user)] as const),
      resolver,
    );
  }

  /** Puts these hosts of these users into the resolver. */
  async putRecords(
    records: Iterable<readonly [user: string, hosts: readonly string[]]>,
    resolver = this.resolver,
  ): Promise<void> {
    const pool = new MemcachedPool(parseConfigString(resolver));
    try {
      for (const [user, hosts] of records) {
        const key = resolverKey(user);
        const result = await pool.serverFor(key).set(pool.wireKey(key), encodeResolverRecord(hosts));
        if (result !== "stored") throw new Error(`memcached answered ${result}`);
      }
    } finally {
      pool.close();
    }
  }

  configure(config: WorldConfig = {}): void {
    this.stateDir = config.stateDir ?? this.stateDir;
    this.#environment = config.environment ?? {};
    this.#preload = config.preload;
    const destinations = Object.entries(config.destinations ?? { openchange: {} }).map(([name, own]) => [
      name,
      {
        retry_first: "100ms",
        retry_most: "1s",
        connect_timeout: "1s",
        ...config.destination,
        resolver: config.resolver ?? this.resolver,
        ...own,
      },
    ]);
    const input = {
      journal: {
        directory: this.journal,
        mail_users: config.mailUsers ?? [WRITER_UID],
        retention: config.retention ?? "1h",
      },
      state_directory: this.stateDir,
      drain_timeout: config.drainTimeout ?? "5s",
      destinations: Object.fromEntries(destinations) as unknown,
    };
    writeFileSync(this.#configFile, JSON.stringify(input));
  }

  /** Starts the daemon without waiting for it. */
  launch(): DaemonProcess {
    this.#daemon = new DaemonProcess({
      args: ["--config", this.#configFile],
      environment: this.#environment,
      preload: this.#preload,
    });
    return this.#daemon;
  }

  async start(): Promise<DaemonProcess> {
    const daemon = this.launch();
    await daemon.ready();
    return daemon;
  }

  get daemon(): DaemonProcess {
    if (this.#daemon === undefined) throw new Error("no daemon");
    return this.#daemon;
  }

  /** Writes `records` records of random users at this pace, in small bursts. */
  async load(users: readonly string[], records: number, perSecond: number): Promise<void> {
    const start = performance.now();
    for (let written = 0; written < records;) {
      const due = Math.min(records, Math.ceil(((performance.now() - start) / 1000) * perSecond));
      // A burst at a time, so that a late timer does not become one huge write.
      const burst = Math.min(due - written, 500);
      this.writer.write(Array.from({ length: burst }, () => this.random.pick(users)));
      written += burst;
      await delay(LOAD_TICK_MS);
    }
  }

  /** Does `accident` again and again until `work` is done. */
  async during(work: Promise<void>, accident: () => Promise<void>): Promise<void> {
    let working = true;
    const worked = work.finally(() => {
      working = false;
    });
    // `worked` may fail while an accident is under way; that is told at the end.
    worked.catch(() => undefined);
    const goesOn = (): boolean => working;
    while (goesOn()) await accident();
    await worked;
  }

  async until(what: string, condition: () => boolean | Promise<boolean>, timeoutMs = 20_000): Promise<void> {
    await waitFor(what, condition, timeoutMs);
  }

  /** Which server of a pool each user's key is on, counted from 0. */
  serversOf(users: readonly string[], resolver: string): number[] {
    const pool = new MemcachedPool(parseConfigString(resolver));
    const servers = users.map((user) => pool.servers.indexOf(pool.serverFor(resolverKey(user))));
    pool.close();
    return servers;
  }

  /** Of the first destination. */
  async status(): Promise<OpenChangeStatus> {
    const [first] = Object.values(await this.statusOfAll());
    if (first === undefined) throw new Error("status tells of no destination");
    return first;
  }

  async statusOfAll(): Promise<Readonly<Record<string, OpenChangeStatus>>> {
    const status = await askStatus(this.stateDir);
    return Object.fromEntries(Object.keys(status.destinations).map((name) => [name, destinationIn(status, name)]));
  }

  /** Waits until everything has come, or nothing comes any more. */
  async arrival(patienceMs = PATIENCE_MS): Promise<void> {
    let received = -1;
    let since = performance.now();
    while (this.tally.missing > 0) {
      const now = this.tally.counts().received;
      if (now !== received) {
        received = now;
        since = performance.now();
      }
      if (performance.now() - since > patienceMs) return;
      await delay(10);
    }
  }

  /** Waits until every destination has answered for every record. */
  async settled(timeoutMs = 60_000): Promise<OpenChangeStatus> {
    await waitFor(
      "the daemon to be done with the journal",
      async () => {
        await delay(50);
        return Object.values(await this.statusOfAll()).every(
          ({ lagRecords, waiting, lookingUp }) => lagRecords === 0 && waiting === 0 && lookingUp === 0,
        );
      },
      timeoutMs,
    );
    return this.status();
  }

  /**
   * `ocnotify status --json` of a daemon that has read the whole journal itself says what was counted here.
   * @param expected what beside the obvious must be there
   */
  async checkStatus(expected: { dropped?: number; reason?: string } = {}): Promise<OpenChangeStatus> {
    await this.settled();
    const { code, stdout, stderr } = await ocnotify(["status", "--json", "--state-dir", this.stateDir]);
    if (code !== 0) throw new Error(`ocnotify status: ${stderr}`);
    const status = destinationIn(JSON.parse(stdout) as Status);
    const { sent } = this.tally.counts();
    const dropped = Object.values(status.dropped).reduce((sum, count) => sum + count, 0);
    const wanted = {
      records: this.tally.records,
      bytes: this.writer.bytes,
      done: this.tally.records,
      sent: sent - (expected.dropped ?? 0),
      dropped: expected.dropped ?? 0,
      malformed: 0,
      unrecorded: 0,
      untrusted: 0,
      lostBytes: 0,
      shrunk: 0,
      leftSegments: 0,
      unreadableSegments: 0,
      unknownSegments: 0,
      nobody: 0,
      ignored: 0,
      filtered: 0,
      unreadBytes: 0,
      lagRecords: 0,
      lagSeconds: 0,
    };
    for (const [name, value] of Object.entries(wanted)) {
      const said = name === "dropped" ? dropped : status[name as keyof typeof wanted];
      if (said !== value) throw new Error(`status says ${name} ${JSON.stringify(said)}, counted were ${value}`);
    }
    const { reason } = expected;
    if (reason !== undefined && status.dropped[reason as "expired"] !== expected.dropped) {
      throw new Error(`status says ${JSON.stringify(status.dropped)}, not ${expected.dropped} ${reason}`);
    }
    return status;
  }
}

/** The uid of a second writer, for those who may give files away. */
export const WRITER_UID = 61_234;
export const isRoot = process.getuid?.() === 0;

/** `count` users named after `prefix`. */
export function usersNamed(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`);
}

/** Fails a scenario. */
export function must(condition: boolean, what: string): void {
  if (!condition) throw new Error(what);
}
