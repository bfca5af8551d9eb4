import { isIP } from "node:net";
import type { Writer } from "../../delivery/destination.ts";
import { isExpired } from "../../delivery/lane.ts";
import type { NameLookups } from "../../name-lookups.ts";
import { parseAddress, type SpAddress } from "../../protocols/sp/address.ts";
import type { SpError } from "../../protocols/sp/errors.ts";
import { keepBounds, MANY_WAITING, MAX_WAITING } from "./bounds.ts";
import type { DropReason } from "./counters.ts";
import type { JobEncoder } from "./encode-chunk.ts";
import { Endpoint, type EndpointEvents, type EndpointSettings } from "./endpoint.ts";
import type { Faults } from "./faults.ts";
import type { Ledger } from "./ledger.ts";
import type { Removals } from "./removals.ts";
import type { Job, Route } from "./route.ts";
import { MAX_NOTIFICATIONS, Share } from "./share.ts";
import { Unregistered } from "./unregistered.ts";

export interface HostsSettings {
  readonly timeToLiveMs: number;
  /** After a memcached's start, servers may take this long to register there again. */
  readonly restartGraceMs: number;
  /** A host that refuses for this long is taken out of the resolver; undefined never. */
  readonly removeRefusedAfterMs: number | undefined;
  /** Connections that are open at once; with more hosts, those with nothing to send make room for the others. */
  readonly maxConnections: number;
  readonly endpoint: EndpointSettings;
  /** Looks up the names of hosts. */
  readonly names: NameLookups;
}

export interface HostsTools {
  readonly encoder: JobEncoder;
  readonly ledger: Ledger;
  readonly faults: Faults;
  readonly removals: Pick<Removals, "add">;
  /** `full` has become false again. */
  hasRoom(): void;
}

/** All hosts: brings each job to those of its user, and what no host will have to its end. */
export class Hosts {
  readonly #settings: HostsSettings;
  readonly #tools: HostsTools;
  readonly #ledger: Ledger;
  readonly #faults: Faults;
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #endpointEvents: EndpointEvents;
  /** By uid: who deletes his segments and begins anew is another `Writer`, and has no further share. */
  readonly #shares = new Map<number, Share>();
  readonly #unregistered: Unregistered;
  #connections = 0;
  #full = false;

  constructor(settings: HostsSettings, tools: HostsTools) {
    const { ledger, faults, encoder } = tools;
    this.#settings = settings;
    this.#tools = tools;
    this.#ledger = ledger;
    this.#faults = faults;
    this.#unregistered = new Unregistered(settings.restartGraceMs, (endpoint, jobs) => {
      faults.hostUnregistered(endpoint, jobs.length);
      for (const job of jobs) ledger.dropJob(job, "unregistered");
    });
    this.#endpointEvents = {
      encoder,
      mayConnect: (endpoint) => this.#connections < settings.maxConnections && isAllowed(endpoint),
      connections: (change) => (this.#connections += change),
      sent: (chunk) => ledger.received(chunk),
      resending: (count) => (ledger.counts.resent += count),
      recovered: (endpoint) => faults.hostRecovered(endpoint),
      failed: (endpoint, error) => this.#failed(endpoint, error),
      idle: (endpoint) => this.#idle(endpoint),
    };
  }

  get size(): number {
    return this.#endpoints.size;
  }

  get connected(): number {
    let connected = 0;
    for (const endpoint of this.#endpoints.values()) if (endpoint.connected) connected++;
    return connected;
  }

  /** Whether too much waits for more of a backlog to come. */
  get full(): boolean {
    return this.#full;
  }

  /** Brings the job to the hosts of its route, or answers its record. */
  send(job: Job, route: Route): void {
    const { hosts } = route;
    const { record } = job;
    const { writer } = record.stretch;
    if (hosts.length === 0) {
      this.#faults.nobody(route);
      this.#ledger.answer(record, "nobody");
      return;
    }
    const share = this.#share(writer);
    if (share !== undefined && writer.pending + hosts.length > MAX_NOTIFICATIONS) {
      this.#faults.tooMany(share.uid, `more than ${MAX_NOTIFICATIONS} notifications that wait for hosts`);
      this.#ledger.dropRecord(record, "overflow", hosts.length);
      return;
    }
    this.#ledger.expect(job, hosts.length);
    // Only a share looks at it, and reading the clock takes time that each record would pay for.
    const nowMs = share === undefined ? 0 : performance.now();
    for (const host of hosts) {
      const endpoint = this.#endpoint(host, route, writer);
      if (endpoint === undefined) {
        this.#ledger.dropJob(job, "bad-address");
      } else if (this.#maySend(endpoint, share, nowMs)) {
        if (endpoint.slow) this.#ledger.park(record);
        endpoint.push(job);
      } else {
        this.#ledger.dropJob(job, "overflow");
      }
    }
  }

  /** @param nowMs up to when every connection that broke has been noticed, in milliseconds of the process's clock */
  tick(nowMs: number): void {
    const noneLeft = this.#connections >= this.#settings.maxConnections;
    for (const endpoint of this.#endpoints.values()) {
      if (noneLeft && endpoint.size === 0) endpoint.hangUp();
      endpoint.tick(nowMs);
      if (endpoint.slow) this.#park(endpoint);
    }
    // Not at each job: what comes between two ticks is little beside the bounds.
    if (this.#ledger.unsettled > MANY_WAITING || this.#full) this.#keepBounds(nowMs);
  }

  close(): void {
    this.#unregistered.close();
    for (const endpoint of this.#endpoints.values()) endpoint.close();
  }

  /** What a writer who is not trusted uses; undefined for one who is. */
  #share(writer: Writer): Share | undefined {
    if (writer.trusted) return undefined;
    let share = this.#shares.get(writer.uid);
    if (share === undefined) {
      share = new Share(writer.uid, this.#settings.maxConnections);
      this.#shares.set(writer.uid, share);
    }
    return share;
  }

  #maySend(endpoint: Endpoint, share: Share | undefined, nowMs: number): boolean {
    if (endpoint.common) return true;
    if (share === undefined) {
      endpoint.common = true;
      this.#release(endpoint);
      return true;
    }
    if (share.use(endpoint, nowMs)) return true;
    this.#faults.tooMany(share.uid, "too many hosts");
    return false;
  }

  /** The host is no part of anybody's share any more. */
  #release(endpoint: Endpoint): void {
    for (const share of endpoint.users) {
      share.release(endpoint);
      if (share.unused) this.#shares.delete(share.uid);
    }
  }

  #endpoint(host: string, route: Route, writer: Writer): Endpoint | undefined {
    let endpoint = this.#endpoints.get(host);
    if (endpoint !== undefined) return endpoint;
    try {
      const address = parseAddress(host);
      endpoint = new Endpoint(host, address, this.#endpointSettings(address, route), this.#endpointEvents);
    } catch (error) {
      this.#faults.badAddress(host, route, writer, error as Error);
      return undefined;
    }
    this.#endpoints.set(host, endpoint);
    return endpoint;
  }

  /** A user's record may have many names that nobody answers for: they hold up that user's hosts only. */
  #endpointSettings(address: SpAddress, { cn }: Route): EndpointSettings {
    const { endpoint, names } = this.#settings;
    const hasName = address.transport === "tcp" && isIP(address.host) === 0;
    return hasName ? { ...endpoint, lookup: names.for(`user ${cn}`) } : endpoint;
  }

  #keepBounds(nowMs: number): void {
    const { hold, overflow } = keepBounds([...this.#endpoints.values()], nowMs);
    for (const { host, jobs } of overflow) {
      this.#giveUp(host.name, jobs, "overflow", `more than ${MAX_WAITING} wait for hosts`);
    }
    if (this.#full && !hold) this.#tools.hasRoom();
    this.#full = hold;
  }

  #failed(endpoint: Endpoint, error: SpError): void {
    this.#ledger.counts.hostFailures++;
    const [first] = endpoint.waitingJobs();
    this.#faults.hostFailed(endpoint, error, endpoint.waiting, first);
    this.#park(endpoint);
    const nowMs = performance.now();
    if (this.#isGoneForGood(endpoint, nowMs)) {
      this.#remove(endpoint);
      return;
    }
    const expired = endpoint.takeIf(isExpired(this.#settings.timeToLiveMs, nowMs));
    this.#giveUp(endpoint.name, expired, "expired", error.message);
    if (error.code === "ERR_SP_REFUSED") this.#unregistered.ask(endpoint);
  }

  #isGoneForGood({ refusedSinceMs }: Endpoint, nowMs: number): boolean {
    const { removeRefusedAfterMs } = this.#settings;
    if (removeRefusedAfterMs === undefined || refusedSinceMs === undefined) return false;
    return nowMs - refusedSinceMs >= removeRefusedAfterMs;
  }

  /** Its server has ended without having unregistered. */
  #remove(endpoint: Endpoint): void {
    const { name } = endpoint;
    const jobs = endpoint.takeOldest(Infinity);
    for (const route of new Set(jobs.map((job) => job.route))) this.#tools.removals.add(route, name);
    this.#giveUp(name, jobs, "host-removed", "the host has refused connections for too long");
  }

  /** What waits for a slow host must not take the memory of the others. */
  #park(endpoint: Endpoint): void {
    for (const job of endpoint.waitingJobs()) this.#ledger.park(job.record);
  }

  #giveUp(host: string, jobs: readonly Job[], reason: DropReason, why: string): void {
    if (jobs.length === 0) return;
    this.#faults.givenUp(host, jobs.length, reason, why);
    for (const job of jobs) this.#ledger.dropJob(job, reason);
  }

  #idle(endpoint: Endpoint): void {
    // For how long it has refused must be remembered as long as that may still lead to its removal.
    const { refusedSinceMs } = endpoint;
    const keptMs = (this.#settings.removeRefusedAfterMs ?? 0) * 2;
    if (refusedSinceMs !== undefined && performance.now() - refusedSinceMs < keptMs) return;
    this.#endpoints.delete(endpoint.name);
    this.#release(endpoint);
    this.#faults.hostForgotten(endpoint);
  }
}

/** Whether one of the writers whose records go to the host may have one more connection. */
function isAllowed({ common, users }: Endpoint): boolean {
  if (common) return true;
  for (const share of users) if (share.mayConnect) return true;
  return false;
}
