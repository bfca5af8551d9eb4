import { decodeNewMail } from "../src/destinations/openchange/codec/newmail.ts";

const EXPECTED = 1;
const RECEIVED = 2;
const EXCUSED = 4;

/** What one host was to be told of one user by one destination. UIDs count from 1 in the order in which they were written. */
class Stream {
  readonly host: string;
  readonly user: string;
  flags = new Uint8Array(64);
  /** The highest UID that came, of each order. */
  readonly highest: number[] = [];
  #writtenAt = new Float64Array(64);

  constructor(host: string, user: string) {
    this.host = host;
    this.user = user;
  }

  at(uid: number): number {
    return this.flags[uid] ?? 0;
  }

  mark(uid: number, flag: number): void {
    if (uid >= this.flags.length) {
      const larger = new Uint8Array(Math.max(uid + 1, this.flags.length * 2));
      larger.set(this.flags);
      this.flags = larger;
    }
    this.flags[uid] = this.at(uid) | flag;
  }

  wrote(uid: number, at: number): void {
    if (uid >= this.#writtenAt.length) {
      const larger = new Float64Array(Math.max(uid + 1, this.#writtenAt.length * 2));
      larger.set(this.#writtenAt);
      this.#writtenAt = larger;
    }
    this.#writtenAt[uid] = at;
  }

  writtenAt(uid: number): number {
    return this.#writtenAt[uid] ?? 0;
  }
}

export interface Counts {
  /** Notifications that hosts had to get. */
  readonly sent: number;
  /** All that came. */
  readonly received: number;
  /** Of these, the ones that had come before. */
  readonly duplicated: number;
  /** Neither came nor were to be given up. */
  readonly lost: number;
  /** Came for the first time after a later one of the same user had. */
  readonly disordered: number;
  /** Came and were never written, or were not for that host. */
  readonly strange: number;
}

/** Whom a destination tells of, by the backend that its notifications name. */
export type Destinations = Readonly<Record<string, (user: string) => boolean>>;

/**
 * Who had to be told of what, and what came. The payload names no user, so each user's mails are in a folder of his
 * name. Order is judged without repeats: after a kill the same may come once more, and then what follows it.
 */
export class Tally {
  destinations: Destinations = { sogo: () => true };
  readonly #audience = new Map<string, readonly string[]>();
  readonly #streams = new Map<string, Stream>();
  readonly #lastUid = new Map<string, number>();
  readonly #timed = new Set<string>();
  #latencies: number[] = [];
  /** By host and user, the last UID of which the host may be told though it need not. */
  readonly #mayHear = new Map<string, number>();
  /** By user, the last UIDs of the orders that are over. */
  readonly #orders = new Map<string, number[]>();
  /** Records written. */
  records = 0;
  /** Expected, not excused, and not yet received. */
  missing = 0;
  #sent = 0;
  #received = 0;
  #duplicated = 0;
  #disordered = 0;
  #strange = 0;

  /** From now on these hosts are to be told of this user. */
  listens(user: string, hosts: readonly string[]): void {
    this.#audience.set(user, hosts);
  }

  hostsOf(user: string): readonly string[] {
    return this.#audience.get(user) ?? [];
  }

  /** This host may be told of this user, also of what is written already, but need not. */
  mayHear(user: string, host: string): void {
    this.#mayHear.set(`${host} ${user}`, Infinity);
  }

  /** From now on this host is not to be told of this user any more, and of what is written already it need not. */
  mayNotHear(user: string, host: string): void {
    this.#mayHear.set(`${host} ${user}`, this.#lastUid.get(user) ?? 0);
  }

  /** What is written from now on has no order with what was written before. */
  beginOrder(): void {
    for (const [user, uid] of this.#lastUid) {
      const orders = this.#orders.get(user) ?? [];
      this.#orders.set(user, orders);
      orders.push(uid);
    }
  }

  get users(): string[] {
    return [...this.#audience.keys()];
  }

  /** Remembers how long the notifications of this user take. */
  timed(user: string): void {
    this.#timed.add(user);
  }

  /** A record is about to be written; returns its UID. */
  write(user: string): number {
    const uid = (this.#lastUid.get(user) ?? 0) + 1;
    this.#lastUid.set(user, uid);
    this.records++;
    for (const [backend, wants] of Object.entries(this.destinations)) {
      if (!wants(user)) continue;
      for (const host of this.hostsOf(user)) {
        const stream = this.#stream(backend, host, user);
        stream.mark(uid, EXPECTED);
        if (this.#timed.has(user)) stream.wrote(uid, performance.now());
        this.#sent++;
        this.missing++;
      }
    }
    return uid;
  }

  /** What this host has not got of what was written so far, of all users or this one, may be given up. */
  excuse(host: string, user?: string): number {
    let excused = 0;
    for (const stream of this.#streams.values()) {
      if (stream.host !== host || (user !== undefined && stream.user !== user)) continue;
      for (let uid = 1; uid < stream.flags.length; uid++) {
        if (stream.flags[uid] !== EXPECTED) continue;
        stream.mark(uid, EXCUSED);
        this.missing--;
        excused++;
      }
    }
    return excused;
  }

  receive(host: string, payload: Buffer): void {
    const { backend, folder: user, eml } = decodeNewMail(payload);
    const uid = Number(eml.slice(0, -".eml".length));
    this.#received++;
    const need = ((this.#streams.get(`${backend} ${host} ${user}`)?.at(uid) ?? 0) & EXPECTED) !== 0;
    if (!need && !this.#may(backend, host, user, uid)) {
      this.#strange++;
      return;
    }
    const stream = this.#stream(backend, host, user);
    const flags = stream.at(uid);
    if ((flags & RECEIVED) !== 0) {
      this.#duplicated++;
      return;
    }
    stream.mark(uid, RECEIVED);
    // What was given up and came all the same, after a kill, has no place in the order.
    if (!need || (flags & EXCUSED) !== 0) return;
    this.missing--;
    const order = this.#orders.get(user)?.filter((last) => last < uid).length ?? 0;
    const highest = stream.highest[order] ?? 0;
    if (uid < highest) this.#disordered++;
    stream.highest[order] = Math.max(highest, uid);
    const writtenAt = stream.writtenAt(uid);
    if (writtenAt > 0) this.#latencies.push(performance.now() - writtenAt);
  }

  #may(backend: string, host: string, user: string, uid: number): boolean {
    const wanted = this.destinations[backend]?.(user) ?? false;
    const last = Math.min(this.#mayHear.get(`${host} ${user}`) ?? 0, this.#lastUid.get(user) ?? 0);
    return wanted && uid <= last;
  }

  counts(): Counts {
    return {
      sent: this.#sent,
      received: this.#received,
      duplicated: this.#duplicated,
      lost: this.missing,
      disordered: this.#disordered,
      strange: this.#strange,
    };
  }

  /** Milliseconds between a record and its notification, of the timed users. */
  latency(): { p50: number; p99: number; most: number; count: number } {
    const sorted = this.#latencies.toSorted((a, b) => a - b);
    const at = (share: number): number => Math.round(sorted[Math.floor((sorted.length - 1) * share)] ?? 0);
    return { p50: at(0.5), p99: at(0.99), most: at(1), count: sorted.length };
  }

  forgetLatency(): void {
    this.#latencies = [];
  }

  /** For how many milliseconds the oldest that is missing has been so, of the timed users. */
  longestWait(): number {
    const now = performance.now();
    let longest = 0;
    for (const stream of this.#streams.values()) {
      for (let uid = 1; uid < stream.flags.length; uid++) {
        if (stream.flags[uid] !== EXPECTED || stream.writtenAt(uid) === 0) continue;
        longest = Math.max(longest, now - stream.writtenAt(uid));
        break;
      }
    }
    return Math.round(longest);
  }

  /** Which are missing, for the message of a failure. */
  examples(most = 5): string {
    const found: string[] = [];
    for (const [key, { flags }] of this.#streams) {
      for (let uid = 1; uid < flags.length && found.length < most; uid++) {
        if (flags[uid] === EXPECTED) found.push(`${key.slice(0, 60)} ${uid}`);
      }
    }
    return found.join(", ");
  }

  #stream(backend: string, host: string, user: string): Stream {
    const key = `${backend} ${host} ${user}`;
    let stream = this.#streams.get(key);
    if (stream === undefined) {
      stream = new Stream(host, user);
      this.#streams.set(key, stream);
    }
    return stream;
  }
}
