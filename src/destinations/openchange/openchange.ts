import type { EventName } from "../../events/event.ts";
import type { Logger } from "../../log.ts";
import { NameLookups } from "../../name-lookups.ts";
import type { Answers, Destination, DestinationStatus, EventRecord } from "../../delivery/destination.ts";
import { charset } from "./codec/charset.ts";
import type { DetailName } from "./counters.ts";
import type { EndpointSettings } from "./endpoint.ts";
import { EventEncoder } from "./event-encoder.ts";
import { Faults } from "./faults.ts";
import { HostFinder } from "./host-finder.ts";
import { Hosts } from "./hosts.ts";
import { Ledger } from "./ledger.ts";
import { isNotified, type NotificationSettings } from "./notifications.ts";
import { Removals } from "./removals.ts";
import type { CnKind } from "./resolver.ts";
import { BUSY_TICK_MS, Ticker } from "./ticker.ts";

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
  /** Events that are notified as new mail. */
  readonly newMailEvents: readonly EventName[];
  /** Whether the servers know the extension: they are notified of deletions, changes, moves and copies as such. */
  readonly extended: boolean;
  readonly timeToLiveMs: number;
  /** After a memcached's start, servers may take this long to register there again. */
  readonly restartGraceMs: number;
  /** A host that refuses for this long is taken out of the resolver; undefined never. */
  readonly removeRefusedAfterMs: number | undefined;
  /** Connections that are open at once; with more hosts, those with nothing to send make room for the others. */
  readonly maxConnections: number;
  readonly endpoint: EndpointSettings;
}

/**
 * Notifies the OpenChange servers that hold a session of the user: looks them up in the resolver (memcached) and pushes
 * a notification to each (nanomsg). A user's events reach each host in their order; a host that is slow or gone, and a
 * memcached that does not reply, hold up nobody else's.
 */
export class OpenChange implements Destination {
  readonly #settings: OpenChangeSettings;
  readonly #notify: NotificationSettings;
  readonly #ledger: Ledger;
  readonly #faults: Faults;
  readonly #finder: HostFinder;
  readonly #hosts: Hosts;
  readonly #removals: Removals;
  readonly #ticker = new Ticker((nowMs) => this.#tick(nowMs));
  #closed = false;

  /** @throws OcnotifyError ERR_CHARSET, MemcachedError ERR_MEMCACHED_CONFIG for settings that cannot be used */
  constructor(settings: OpenChangeSettings, answers: Answers, log: Logger) {
    const { backend, extended, newMailEvents, timeToLiveMs } = settings;
    this.#settings = settings;
    this.#notify = { backend, extended, newMailEvents: new Set(newMailEvents) };
    this.#ledger = new Ledger(answers);
    this.#faults = new Faults(log);
    this.#removals = new Removals(log);
    const encoder = new EventEncoder(
      { notify: this.#notify, charset: charset(settings.charset), timeToLiveMs },
      (record) => answers.load(record),
      this.#ledger,
      this.#faults,
    );
    const names = new NameLookups();
    const hasRoom = (): void => answers.resume();
    this.#hosts = new Hosts(
      { ...settings, names },
      { encoder, ledger: this.#ledger, faults: this.#faults, removals: this.#removals, hasRoom },
    );
    this.#finder = new HostFinder({ ...settings, names }, this.#ledger, this.#faults, {
      found: (job, route) => this.#hosts.send(job, route),
      hasRoom,
    });
  }

  get accepting(): boolean {
    return !this.#finder.full && !this.#hosts.full && !this.#closed;
  }

  deliver(records: readonly EventRecord[]): void {
    const nowMs = performance.now();
    for (const record of records) {
      const { event } = record;
      if (event === undefined || !isNotified(event, this.#notify)) this.#ledger.answer(record, "ignored");
      else this.#finder.find(record, event, nowMs);
    }
    this.#ticker.soon();
  }

  status(): DestinationStatus {
    const details: Record<DetailName, number> = {
      ...this.#ledger.counts,
      lookingUp: this.#finder.lookingUp,
      hosts: this.#hosts.size,
      connected: this.#hosts.connected,
    };
    return { dropped: this.#ledger.dropped, waiting: this.#ledger.unsettled, details };
  }

  async close(drainMs: number): Promise<void> {
    const deadlineMs = performance.now() + drainMs;
    while (this.#isBusy && performance.now() < deadlineMs) await new Promise((resolve) => setTimeout(resolve, 20));
    this.#closed = true;
    this.#removals.close();
    this.#ticker.close();
    this.#hosts.close();
    this.#finder.close();
  }

  get #isBusy(): boolean {
    return this.#finder.lookingUp + this.#ledger.unsettled > 0;
  }

  /** @returns when to look again */
  #tick(nowMs: number): number | undefined {
    this.#hosts.tick(nowMs);
    this.#finder.tick(nowMs);
    this.#faults.tick(nowMs);
    if (this.#isBusy) return BUSY_TICK_MS;
    if (this.#hosts.size === 0) return undefined;
    return Math.min(IDLE_TICK_MS, this.#settings.endpoint.idleTimeoutMs + 1);
  }
}
