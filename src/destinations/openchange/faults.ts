import type { EventRecord, Writer } from "../../delivery/destination.ts";
import type { MailboxEvent } from "../../events/event.ts";
import { Once, type Logger } from "../../log.ts";
import { shortened } from "../../printable.ts";
import type { SpError } from "../../protocols/sp/errors.ts";
import type { Notification } from "./codec/extended.ts";
import type { DropReason } from "./counters.ts";
import { GivenUp } from "./given-up.ts";
import type { Job, Route } from "./route.ts";

/** A host, as far as its faults need it. */
export interface FaultyHost {
  readonly name: string;
  /** Whether records of trusted writers go to it. */
  readonly common: boolean;
  /** Otherwise, the writers whose records do. */
  readonly users: ReadonlySet<{ readonly uid: number }>;
}

/** A memcached, as far as its faults need it. */
export interface FaultyMemcached {
  readonly server: { readonly name: string };
  /** The uid of the only writer who names it, when that is one who is not trusted. */
  readonly blamed: number | undefined;
}

/**
 * What is logged of the things that go wrong: each cause once an hour, and for causes that a writer who is not trusted can
 * make up, no more than `Once` allows for the uid that is to blame.
 */
export class Faults {
  readonly #log: Logger;
  readonly #once = new Once();
  readonly #givenUp: GivenUp;

  constructor(log: Logger) {
    this.#log = log;
    this.#givenUp = new GivenUp(log);
  }

  /** Notifications were given up: the first of a reason is logged at once, what follows is summed up by `tick`. */
  givenUp(host: string, count: number, reason: DropReason, why: string): void {
    this.#givenUp.add(host, count, reason, why);
  }

  /** @param nowMs milliseconds of the process's clock */
  tick(nowMs: number): void {
    this.#givenUp.tick(nowMs);
  }

  hostFailed(host: FaultyHost, error: SpError, waiting: number, first: Job | undefined): void {
    const { name } = host;
    if (!this.#once.first(`host ${name}`, blamedForHost(host))) return;
    const fields = { host: name, user: first?.route.cn, waiting };
    // Nobody but the operator can mend what trying again does not.
    if (error.canRetry) this.#log.warn(fields, `the host cannot be told, trying again: ${error.message}`);
    else this.#log.error(fields, `the host is no receiver of notifications, trying again: ${error.message}`);
  }

  hostRecovered({ name }: FaultyHost): void {
    if (this.#once.forget(`host ${name}`)) this.#log.info({ host: name }, "the host is back");
  }

  /** Nothing is known of the host any more. */
  hostForgotten({ name }: FaultyHost): void {
    this.#once.forget(`host ${name}`);
  }

  hostUnregistered(host: FaultyHost, events: number): void {
    if (!this.#once.first(`unregistered ${host.name}`, blamedForHost(host))) return;
    this.#log.info({ host: host.name, events }, "the host is gone, and had unregistered before");
  }

  badAddress(host: string, { cn }: Route, writer: Writer, { message }: Error): void {
    if (!this.#once.first(`bad-address ${cn} ${message}`, blamed(writer))) return;
    this.#log.error({ cn, host: shortened(host, 300) }, `user ${cn} has a host that cannot be used: ${message}`);
  }

  /** @param what the writer has too many of */
  tooMany(uid: number, what: string): void {
    if (!this.#once.first(`share ${what} ${uid}`, uid)) return;
    this.#log.error(
      { uid },
      `notifications given up: records of uid ${uid} name ${what}. A uid in journal.mail_users has no such limit`,
    );
  }

  memcachedFailed({ server: { name }, blamed: uid }: FaultyMemcached, error: Error, waiting: number): void {
    if (!this.#once.first(`memcached ${name}`, uid)) return;
    this.#log.warn({ memcached: name, waiting }, `the resolver does not answer, trying again: ${error.message}`);
  }

  memcachedRecovered({ server: { name } }: FaultyMemcached): void {
    if (this.#once.forget(`memcached ${name}`)) this.#log.info({ memcached: name }, "the resolver answers again");
  }

  /** @param graceMs for how long after a start users are looked up again */
  memcachedRestarted({ server: { name }, blamed: uid }: FaultyMemcached, agoMs: number, graceMs: number): void {
    // Called once for each start, and each is logged; but not those of a server that a writer may restart at will.
    if (uid !== undefined && !this.#once.first(`restarted ${name}`, uid)) return;
    const ago = Math.round(agoMs / 1_000);
    const left = Math.ceil((graceMs - agoMs) / 1_000);
    this.#log.warn(
      { memcached: name },
      `memcached was started ${ago} s ago and knows nobody who registered before: who is not found is looked up again for ${left} s. A server of OpenChange registers again only when Outlook connects again`,
    );
  }

  memcachedAgeless({ server: { name }, blamed: uid }: FaultyMemcached): void {
    if (!this.#once.first(`ageless ${name}`, uid)) return;
    this.#log.warn(
      { memcached: name },
      "the resolver does not say when it was started (a proxy?): after its restart, whoever is not yet registered again is not told",
    );
  }

  badResolver({ user }: MailboxEvent, writer: Writer, { message }: Error): void {
    if (!this.#once.first(`bad-resolver ${user}`, blamed(writer))) return;
    this.#log.error({ user }, `cannot look up user ${user}: ${message}`);
  }

  badRecord({ cn }: Route, writer: Writer | undefined, { message }: Error): void {
    if (this.#once.first(`bad-record ${cn}`, blamed(writer))) this.#log.error({ cn }, message);
  }

  tooManyHosts({ cn, hosts }: Route, writer: Writer | undefined, omitted: number): void {
    if (!this.#once.first(`hosts ${cn}`, blamed(writer))) return;
    this.#log.error(
      { cn, hosts: hosts.length + omitted, notified: hosts.length },
      `only the last ${hosts.length} hosts of the user's record are notified: mostly the others are dead and never unregistered. remove_refused_after takes them out; to clear the record: ocnotify flush --username ${cn}. A server of OpenChange registers again only when Outlook connects again`,
    );
  }

  nobody({ cn, key }: Route): void {
    this.#log.debug({ cn, key }, "nobody is registered for the user");
  }

  unreadable({ stretch, offset }: EventRecord): void {
    if (!this.#once.first("unreadable")) return;
    this.#log.error(
      { segment: stretch.segment.name, offset },
      "notifications given up: their segment cannot be read, and their time to live is over",
    );
  }

  gone({ stretch, offset }: EventRecord): void {
    if (!this.#once.first("gone")) return;
    this.#log.error(
      { segment: stretch.segment.name, offset },
      "a record has gone from the journal before it was sent: journal.max_size was reached, or somebody else deletes segments",
    );
  }

  withoutUids({ user, mailbox, event }: MailboxEvent, writer: Writer): void {
    if (!this.#once.first("no-uid", blamed(writer))) return;
    this.#log.error(
      { user, mailbox, event },
      "cannot tell servers of a message without a UID. If ocnotify_fields (openchange_fields) is set in Dovecot's configuration, it must have uid; otherwise the Maildir was locked while the message was delivered (dovecot-uidlist.lock), and clients see it when they next look",
    );
  }

  unencodable({ record, route }: Job, notification: Notification | undefined, { message }: Error): void {
    if (!this.#once.first(`charset ${message}`, blamed(record.stretch.writer))) return;
    this.#log.error({ user: route.cn, mailbox: notification?.folder }, `cannot tell servers: ${message}`);
  }
}

/** The uid that is to blame; undefined when the writer is trusted. */
function blamed(writer: Writer | undefined): number | undefined {
  return writer === undefined || writer.trusted ? undefined : writer.uid;
}

/** The same for a host: undefined when several writers' records go to it. */
function blamedForHost({ common, users }: FaultyHost): number | undefined {
  if (common || users.size !== 1) return undefined;
  const [only] = users;
  return only?.uid;
}
