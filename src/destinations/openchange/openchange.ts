import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import type { EventName, MailboxEvent } from "../../events/event.ts";
import { Once, type Logger } from "../../log.ts";
import { NameLookups } from "../../name-lookups.ts";
import { shortened } from "../../printable.ts";
import { parseAddress, type SpAddress } from "../../protocols/sp/address.ts";
import type { SpError } from "../../protocols/sp/errors.ts";
import type {
  Answers,
  Destination,
  DestinationStatus,
  EventRecord,
  Outcome,
  Place,
  Writer,
} from "../../delivery/destination.ts";
import { keepBounds, MANY_WAITING, MAX_WAITING } from "./bounds.ts";
import { charset } from "./codec/charset.ts";
import { NotificationEncoder, type Notification } from "./codec/extended.ts";
import { modifiedUtf7 } from "./codec/modified-utf7.ts";
import { Endpoint, type EndpointEvents, type EndpointSettings } from "./endpoint.ts";
import type { DetailName, DropReason } from "./counters.ts";
import { GivenUp } from "./given-up.ts";
import type { Lookups } from "./lookups.ts";
import { hasUids, isNotified, notificationsOf, type NotificationSettings } from "./notifications.ts";
import { Removals } from "./removals.ts";
import type { CnKind } from "./resolver.ts";
import type { Job, Route } from "./route.ts";
import { Routes } from "./routes.ts";
import { MAX_NOTIFICATIONS, Share } from "./share.ts";
import { Unregistered } from "./unregistered.ts";

/** The most that waits for look-ups before the journal is left to wait instead. */
const MAX_LOOKUPS = 100_000;
/** Events of one writer who is not trusted that are kept in memory; of further ones, their place in the journal. */
const MAX_KEPT = 128;
/** A look-up may take so long, whatever its memcached does, before the time to live of what waits for it counts. */
const LOOKUP_MS = 30_000;
const EXPIRE_MS = 1_000;
const BUSY_TICK_MS = 250;
const IDLE_TICK_MS = 5_000;

export interface OpenChangeSettings {
  /** libmemcached configuration string, for records that name none. */
  readonly resolver: string;
  /** Further strings that the records of those who are not trusted may name. */
  readonly resolvers: readonly string[];
  readonly cn: CnKind;
  readonly backend: string;
  /** The servers' "dos charset". */
  readonly charset: string;
  /** Events that are told as new mail. */
  readonly newMailEvents: readonly EventName[];
  /** Whether the servers know the extension: they are told of deletions, changes, moves and copies as such. */
  readonly extended: boolean;
  readonly timeToLiveMs: number;
  /** After a memcached's start, servers may take so long to register there again. */
  readonly restartGraceMs: number;
  /** A host that refuses for so long is taken out of the resolver; undefined never. */
  readonly removeRefusedAfterMs: number | undefined;
  /** Connections that are open at once; with more hosts, those with nothing to send make room for the others. */
  readonly maxConnections: number;
  readonly endpoint: EndpointSettings;
}

/**
 * Tells the OpenChange servers that hold a session of the user: looks them up in the resolver (memcached) and pushes
 * a notification to each (nanomsg). A user's events reach each host in their order; a host that is slow or gone, and a
 * memcached that does not answer, hold up nobody else's.
 */
export class OpenChange implements Destination {
  readonly #counts = { sent: 0, resent: 0, lookupFailures: 0, lookupsAgain: 0, hostFailures: 0 };
  readonly #dropped: Partial<Record<DropReason, number>> = {};
  readonly #settings: OpenChangeSettings;
  readonly #answers: Answers;
  readonly #log: Logger;
  readonly #once = new Once();
  readonly #notify: NotificationSettings;
  readonly #encoder: NotificationEncoder;
  readonly #routes: Routes;
  readonly #names = new NameLookups();
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #shares = new WeakMap<Writer, Share>();
  readonly #endpointEvents: EndpointEvents;
  #lookingUp = 0;
  #unsettled = 0;
  #connections = 0;
  /** Reading waits: for look-ups, for hosts. */
  #paused = false;
  #held = false;
  readonly #unregistered: Unregistered;
  readonly #removals: Removals;
  readonly #givenUp: GivenUp;
  #expiredAt = -Infinity;
  #ticking: NodeJS.Timeout | undefined;
  #tickingIdly = false;
  #closed = false;

  /** @throws OcnotifyError ERR_CHARSET, MemcachedError ERR_MEMCACHED_CONFIG for settings that cannot be used */
  constructor(settings: OpenChangeSettings, answers: Answers, log: Logger) {
    this.#settings = settings;
    this.#answers = answers;
    this.#log = log;
    const { backend, extended } = settings;
    this.#notify = { backend, extended, newMailEvents: new Set(settings.newMailEvents) };
    this.#encoder = new NotificationEncoder(charset(settings.charset), modifiedUtf7);
    this.#givenUp = new GivenUp(log);
    this.#removals = new Removals(log);
    this.#unregistered = new Unregistered(settings.restartGraceMs, (endpoint, jobs) => {
      if (this.#once.first(`unregistered ${endpoint.name}`, blamedFor(endpoint))) {
        this.#log.info({ host: endpoint.name, events: jobs.length }, "the host is gone, and had unregistered before");
      }
      for (const job of jobs) this.#dropJob(job, "unregistered");
    });
    this.#endpointEvents = {
      notifications: (job) => this.#notifications(job),
      encodedLength: (notification) => this.#encoder.encodedLength(notification),
      write: (target, offset, notification) => this.#encoder.write(target, offset, notification),
      mayConnect: (endpoint) => this.#connections < this.#settings.maxConnections && isAllowed(endpoint),
      connections: (change) => (this.#connections += change),
      encoded: (job) => this.#encoded(job),
      unencodable: (job, notification, error) => this.#unencodable(job, notification, error as Error),
      sent: (chunk) => {
        this.#counts.sent += chunk.notifications;
        chunk.forEach((stretch, index) => this.#settle(stretch, index, "notified"));
      },
      resending: (count) => (this.#counts.resent += count),
      recovered: ({ name }) => {
        if (this.#once.forget(`host ${name}`)) this.#log.info({ host: name }, "the host is back");
      },
      failed: (endpoint, error) => this.#hostFailed(endpoint, error),
      idle: (endpoint) => this.#idle(endpoint),
    };
    this.#routes = new Routes(
      { ...settings, names: this.#names },
      {
        found: (route, jobs, omitted) => {
          this.#lookedUp(jobs.length);
          if (omitted > 0) this.#tooManyHosts(route, jobs, omitted);
          for (const job of jobs) this.#send(job, route);
        },
        undecodable: (route, jobs, error) => this.#undecodable(route, jobs, error),
        failed: (lookups, error) => this.#lookupFailed(lookups, error),
        recovered: ({ server }) => {
          if (!this.#once.forget(`memcached ${server.name}`)) return;
          this.#log.info({ memcached: server.name }, "the resolver answers again");
        },
        restarted: ({ server, blamed }, agoMs) => {
          if (blamed !== undefined && !this.#once.first(`restarted ${server.name}`, blamed.uid)) return;
          const seconds = Math.ceil((settings.restartGraceMs - agoMs) / 1_000);
          this.#log.warn(
            { memcached: server.name },
            `memcached was started ${Math.round(agoMs / 1_000)} s ago and knows nobody who registered before: who is not found is looked up again for ${seconds} s. A server of OpenChange registers again only when Outlook connects again`,
          );
        },
        notYet: (lookups, routes) => this.#notYet(lookups, routes),
        ageless: ({ server, blamed }) => {
          if (!this.#once.first(`ageless ${server.name}`, blamed?.uid)) return;
          this.#log.warn(
            { memcached: server.name },
            "the resolver does not say when it was started (a proxy?): after its restart, whoever is not yet registered again is not told",
          );
        },
      },
      (path) => readFileSync(path, "utf8"),
    );
  }

  get accepting(): boolean {
    return !this.#paused && !this.#held && !this.#closed;
  }

  deliver(records: readonly EventRecord[]): void {
    const now = performance.now();
    for (const record of records) {
      const { event } = record;
      if (event === undefined || !isNotified(event, this.#notify)) {
        this.#answer(record, "ignored");
      } else {
        this.#lookUp(record, event, now);
      }
    }
    this.#tickSoon();
  }

  status(): DestinationStatus {
    const { size: hosts } = this.#endpoints;
    const connected = [...this.#endpoints.values()].filter((endpoint) => endpoint.connected).length;
    const details: Record<DetailName, number> = { ...this.#counts, lookingUp: this.#lookingUp, hosts, connected };
    return { dropped: { ...this.#dropped }, waiting: this.#unsettled, details };
  }

  async close(drainMs: number): Promise<void> {
    const deadline = performance.now() + drainMs;
    while (this.#lookingUp + this.#unsettled > 0 && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    this.#closed = true;
    this.#unregistered.close();
    this.#removals.close();
    clearTimeout(this.#ticking);
    for (const endpoint of this.#endpoints.values()) endpoint.close();
    this.#routes.close();
  }

  #lookUp(record: EventRecord, event: MailboxEvent, now: number): void {
    const { writer } = record.stretch;
    let route: Route;
    try {
      route = this.#routes.of(event, writer, now);
    } catch (error) {
      this.#drop("bad-resolver", 1);
      if (this.#once.first(`bad-resolver ${event.user}`, blamed(writer))) {
        this.#log.error({ user: event.user }, `cannot look up user ${event.user}: ${(error as Error).message}`);
      }
      this.#answer(record, "dropped");
      return;
    }
    const job: Job = { record, route, unencoded: 0 };
    const kept = writer.pending <= MAX_KEPT || writer.trusted;
    if (!kept || route.lookups.failing || route.again) this.#answers.park(record);
    if (route.answersFor(record.stretch.seenAt, now)) {
      this.#send(job, route);
      return;
    }
    this.#lookingUp++;
    if (this.#lookingUp >= MAX_LOOKUPS) this.#paused = true;
    route.lookups.push(job);
  }

  #lookedUp(count: number): void {
    this.#lookingUp -= count;
    if (this.#paused && this.#lookingUp < MAX_LOOKUPS / 2) {
      this.#paused = false;
      this.#answers.resume();
    }
  }

  #undecodable(route: Route, jobs: readonly Job[], error: Error): void {
    this.#lookedUp(jobs.length);
    this.#drop("bad-record", jobs.length);
    if (this.#once.first(`bad-record ${route.cn}`, blamed(jobs[0]?.record.stretch.writer))) {
      this.#log.error({ cn: route.cn }, error.message);
    }
    for (const job of jobs) this.#answer(job.record, "dropped");
  }

  #tooManyHosts({ cn, hosts }: Route, jobs: readonly Job[], omitted: number): void {
    this.#drop("bad-record", jobs.length * omitted);
    if (!this.#once.first(`hosts ${cn}`, blamed(jobs[0]?.record.stretch.writer))) return;
    this.#log.error(
      { cn, hosts: hosts.length + omitted, notified: hosts.length },
      `only the last ${hosts.length} hosts of the user's record are notified: mostly the others are dead and never unregistered. remove_refused_after takes them out; to clear the record: ocnotify flush --username ${cn}. A server of OpenChange registers again only when Outlook connects again`,
    );
  }

  #send(job: Job, route: Route): void {
    const { hosts } = route;
    if (hosts.length === 0) {
      this.#log.debug({ cn: route.cn, key: route.key }, "nobody is registered for the user");
      this.#answer(job.record, "nobody");
      return;
    }
    const { stretch, index } = job.record;
    const share = this.#share(stretch.writer);
    if (share !== undefined && stretch.writer.pending + hosts.length > MAX_NOTIFICATIONS) {
      this.#tooMany(share, hosts.length, `more than ${MAX_NOTIFICATIONS} notifications that wait for hosts`);
      this.#answer(job.record, "dropped");
      return;
    }
    if (hosts.length > 1) this.#answers.split(stretch, index, hosts.length);
    job.unencoded = hosts.length;
    this.#unsettled += hosts.length;
    const now = performance.now();
    for (const host of hosts) {
      const endpoint = this.#endpoint(host, route, stretch.writer);
      if (endpoint === undefined) {
        this.#dropJob(job, "bad-address");
        continue;
      }
      if (share === undefined) {
        if (!endpoint.common) serveEverybody(endpoint);
      } else if (!endpoint.common && !share.use(endpoint, now)) {
        this.#tooMany(share, 0, "too many hosts");
        this.#dropJob(job, "overflow");
        continue;
      }
      if (endpoint.slow) this.#answers.park(job.record);
      endpoint.push(job);
    }
  }

  /** What a writer who is not trusted uses; undefined for one who is. */
  #share(writer: Writer): Share | undefined {
    if (writer.trusted) return undefined;
    let share = this.#shares.get(writer);
    if (share === undefined) {
      share = new Share(writer.uid, this.#settings.maxConnections);
      this.#shares.set(writer, share);
    }
    return share;
  }

  #tooMany({ uid }: Share, dropped: number, what: string): void {
    if (dropped > 0) this.#drop("overflow", dropped);
    if (!this.#once.first(`share ${what} ${uid}`, uid)) return;
    this.#log.error(
      { uid },
      `notifications given up: records of uid ${uid} name ${what}. A uid in journal.mail_users has no such limit`,
    );
  }

  #endpoint(host: string, route: Route, writer: Writer): Endpoint | undefined {
    let endpoint = this.#endpoints.get(host);
    if (endpoint !== undefined) return endpoint;
    try {
      const address = parseAddress(host);
      endpoint = new Endpoint(host, address, this.#endpointSettings(address, route), this.#endpointEvents);
    } catch (error) {
      const { message } = error as Error;
      if (this.#once.first(`bad-address ${route.cn} ${message}`, blamed(writer))) {
        const { cn } = route;
        this.#log.error({ cn, host: shortened(host, 300) }, `user ${cn} has a host that cannot be used: ${message}`);
      }
      return undefined;
    }
    this.#endpoints.set(host, endpoint);
    return endpoint;
  }

  /** A user's record may have many names that nobody answers for: they hold up that user's hosts only. */
  #endpointSettings(address: SpAddress, { cn }: Route): EndpointSettings {
    const { endpoint } = this.#settings;
    const hasName = address.transport === "tcp" && isIP(address.host) === 0;
    return hasName ? { ...endpoint, lookup: this.#names.for(`user ${cn}`) } : endpoint;
  }

  /** Looked after at each tick: what comes between two is little beside the bounds. */
  #bound(now: number): void {
    const { hold, overflow } = keepBounds([...this.#endpoints.values()], now);
    for (const { endpoint, jobs } of overflow) {
      this.#giveUp(endpoint.name, jobs, "overflow", `more than ${MAX_WAITING} wait for hosts`);
    }
    if (this.#held && !hold) this.#answers.resume();
    this.#held = hold;
  }

  #notifications(job: Job): Iterator<Notification, void> | "later" | undefined {
    const event = this.#answers.load(job.record);
    if (event === "later") {
      if (!this.#isExpired(performance.now())(job)) return "later";
      this.#dropJob(job, "expired");
      if (this.#once.first("unreadable")) {
        this.#log.error(
          { segment: job.record.stretch.segment.name, offset: job.record.offset },
          "notifications given up: their segment cannot be read, and their time to live is over",
        );
      }
      return undefined;
    }
    if (event !== "gone" && hasUids(event)) return notificationsOf(event, this.#notify);
    if (event !== "gone") {
      this.#withoutUids(job, event);
      return undefined;
    }
    this.#dropJob(job, "gone");
    if (this.#once.first("gone")) {
      this.#log.error(
        { segment: job.record.stretch.segment.name, offset: job.record.offset },
        "a record has gone from the journal before it was sent: somebody else deletes segments",
      );
    }
    return undefined;
  }

  #withoutUids(job: Job, { user, mailbox, event }: MailboxEvent): void {
    this.#dropJob(job, "no-uid");
    if (!this.#once.first("no-uid", blamed(job.record.stretch.writer))) return;
    this.#log.error(
      { user, mailbox, event },
      "cannot tell servers of a message without a UID. If ocnotify_fields (openchange_fields) is set in Dovecot's configuration, it must have uid; otherwise the Maildir was locked while the message was delivered (dovecot-uidlist.lock), and clients see it when they next look",
    );
  }

  #unencodable(job: Job, notification: Notification | undefined, error: Error): boolean {
    if (this.#once.first(`charset ${error.message}`, blamed(job.record.stretch.writer))) {
      this.#log.error({ user: job.route.cn, mailbox: notification?.folder }, `cannot tell servers: ${error.message}`);
    }
    // A move from a folder that has no name there: that the message is new where it is now can still be told.
    if (notification !== undefined && notification.type !== "NewMail") {
      this.#drop("charset", 1);
      return true;
    }
    this.#dropJob(job, "charset");
    return false;
  }

  #lookupFailed(lookups: Lookups, error: Error): void {
    this.#counts.lookupFailures++;
    const { name } = lookups.server;
    // What waits here must not take the memory of those whose memcached answers.
    for (const job of lookups.jobs()) this.#answers.park(job.record);
    if (this.#once.first(`memcached ${name}`, lookups.blamed?.uid)) {
      this.#log.warn(
        { memcached: name, waiting: this.#lookingUp },
        `the resolver does not answer, trying again: ${error.message}`,
      );
    }
    this.#expire(lookups, this.#isExpired(performance.now()), error.message);
  }

  #expire(lookups: Lookups, isExpired: (job: Job) => boolean, why: string): void {
    const expired = lookups.takeIf(isExpired);
    if (expired.length === 0) return;
    this.#givenUp.add(
      lookups.server.name,
      expired.length,
      "expired",
      `the resolver did not answer within their time to live (${why})`,
    );
    this.#expired(expired);
  }

  /** A memcached that neither answers nor fails must not keep what waits for it for longer than that lives. */
  #expireLookups(now: number): void {
    if (now - this.#expiredAt < EXPIRE_MS) return;
    this.#expiredAt = now;
    const isExpired = this.#isExpired(now);
    for (const lookups of this.#routes.lookups()) {
      this.#expire(lookups, (job) => now - job.route.queuedAt > LOOKUP_MS && isExpired(job), "it has yet to answer");
    }
  }

  #notYet({ server }: Lookups, routes: readonly Route[]): void {
    this.#counts.lookupsAgain += routes.length;
    const isExpired = this.#isExpired(performance.now());
    for (const route of routes) {
      const expired = route.takeIf(isExpired);
      if (expired.length > 0) {
        this.#givenUp.add(
          server.name,
          expired.length,
          "expired",
          "nobody has registered since memcached was restarted",
        );
        this.#expired(expired);
      }
      for (const job of route.waiting) this.#answers.park(job.record);
    }
  }

  /** Looked up in vain for their whole time to live. */
  #expired(jobs: readonly Job[]): void {
    this.#drop("expired", jobs.length);
    this.#lookedUp(jobs.length);
    for (const job of jobs) this.#answer(job.record, "dropped");
  }

  #hostFailed(endpoint: Endpoint, error: SpError): void {
    this.#counts.hostFailures++;
    const [first] = endpoint.waitingJobs();
    const host = endpoint.name;
    if (this.#once.first(`host ${host}`, blamedFor(endpoint))) {
      const fields = { host, user: first?.route.cn, waiting: endpoint.waiting };
      // Nobody but the operator can mend what trying again does not.
      if (error.canRetry) this.#log.warn(fields, `the host cannot be told, trying again: ${error.message}`);
      else this.#log.error(fields, `the host is no receiver of notifications, trying again: ${error.message}`);
    }
    this.#park(endpoint);
    const { removeRefusedAfterMs } = this.#settings;
    if (
      removeRefusedAfterMs !== undefined &&
      endpoint.refusedSince !== undefined &&
      performance.now() - endpoint.refusedSince >= removeRefusedAfterMs
    ) {
      this.#removeHost(endpoint);
      return;
    }
    const expired = endpoint.takeIf(this.#isExpired(performance.now()));
    this.#giveUp(host, expired, "expired", error.message);
    if (error.code === "ERR_SP_REFUSED") this.#unregistered.ask(endpoint);
  }

  #isExpired(now: number): (job: Job) => boolean {
    const before = now - this.#settings.timeToLiveMs;
    return ({ record }) => record.stretch.happenedAt < before;
  }

  /** The host has refused for too long: its server is gone for good without having unregistered. */
  #removeHost(endpoint: Endpoint): void {
    const host = endpoint.name;
    const jobs = endpoint.takeOldest(Infinity);
    for (const route of new Set(jobs.map((job) => job.route))) this.#removals.add(route, host);
    this.#giveUp(host, jobs, "host-removed", "the host has refused connections for too long");
  }

  /** What waits for a slow host must not take the memory of the others. */
  #park(endpoint: Endpoint): void {
    for (const job of endpoint.waitingJobs()) this.#answers.park(job.record);
  }

  #giveUp(host: string, jobs: readonly Job[], reason: DropReason, why: string): void {
    if (jobs.length === 0) return;
    this.#givenUp.add(host, jobs.length, reason, why);
    for (const job of jobs) this.#dropJob(job, reason);
  }

  #dropJob(job: Job, reason: DropReason): void {
    this.#drop(reason, 1);
    this.#encoded(job);
    this.#settle(job.record.stretch, job.record.index, "dropped");
  }

  #drop(reason: DropReason, count: number): void {
    this.#dropped[reason] = (this.#dropped[reason] ?? 0) + count;
  }

  /** One host less for which the event is needed. */
  #encoded(job: Job): void {
    job.unencoded--;
    if (job.unencoded <= 0) this.#answers.park(job.record);
  }

  #settle(stretch: Place, index: number, outcome: Outcome): void {
    this.#unsettled--;
    this.#answers.done(stretch, index, outcome);
  }

  /** Nobody is notified of it. */
  #answer({ stretch, index }: EventRecord, outcome: Outcome): void {
    this.#answers.done(stretch, index, outcome);
  }

  #idle(endpoint: Endpoint): void {
    // How long it has refused must be remembered for as long as that may still lead to its removal.
    const { refusedSince } = endpoint;
    const kept = (this.#settings.removeRefusedAfterMs ?? 0) * 2;
    if (refusedSince !== undefined && performance.now() - refusedSince < kept) return;
    this.#endpoints.delete(endpoint.name);
    for (const share of endpoint.users) share.release(endpoint);
    this.#once.forget(`host ${endpoint.name}`);
  }

  #tickSoon(): void {
    // What is sent now is not to wait for the slow tick before it counts as sent.
    if (this.#ticking === undefined || this.#tickingIdly) this.#tickIn(BUSY_TICK_MS);
  }

  #tickIn(ms: number): void {
    clearTimeout(this.#ticking);
    this.#tickingIdly = ms !== BUSY_TICK_MS;
    if (this.#closed) {
      this.#ticking = undefined;
      return;
    }
    this.#ticking = setTimeout(() => {
      const now = performance.now();
      // Timers run before sockets are looked at, and a socket that broke is closed at the end of that turn. When this process
      // stood still, that must be seen before what was sent on it counts as confirmed: so not in this turn, but the next.
      setImmediate(() => setImmediate(() => this.#tick(now)));
    }, ms);
  }

  /** @param now milliseconds of the process's clock, up to when every connection that broke has been noticed */
  #tick(now: number): void {
    if (this.#closed) return;
    const full = this.#connections >= this.#settings.maxConnections;
    for (const endpoint of this.#endpoints.values()) {
      if (full && endpoint.size === 0) endpoint.hangUp();
      endpoint.tick(now);
      if (endpoint.slow) this.#park(endpoint);
    }
    if (this.#unsettled > MANY_WAITING || this.#held) this.#bound(now);
    if (this.#lookingUp > 0) this.#expireLookups(now);
    this.#givenUp.tell(now);
    clearTimeout(this.#ticking);
    this.#ticking = undefined;
    if (this.#endpoints.size === 0 && this.#lookingUp === 0) return;
    const busy = this.#unsettled + this.#lookingUp > 0;
    this.#tickIn(busy ? BUSY_TICK_MS : Math.min(IDLE_TICK_MS, this.#settings.endpoint.idleTimeoutMs + 1));
  }
}

/** Whose fault it is, as far as the log is concerned; nobody's when it is one who is trusted. */
function blamed(writer: Writer | undefined): number | undefined {
  return writer === undefined || writer.trusted ? undefined : writer.uid;
}

/** The same for a host: one whom several tell of something is nobody's. */
function blamedFor({ common, users }: Endpoint): number | undefined {
  if (common || users.size !== 1) return undefined;
  const [only] = users;
  return only?.uid;
}

/** Whether one of those who tell the host of something may have one more connection. */
function isAllowed({ common, users }: Endpoint): boolean {
  if (common) return true;
  for (const share of users) if (share.mayConnect) return true;
  return false;
}

function serveEverybody(endpoint: Endpoint): void {
  endpoint.common = true;
  for (const share of endpoint.users) share.release(endpoint);
}
