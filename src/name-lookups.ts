import { execFile } from "node:child_process";
import { lookup as lookupInPool, type LookupAddress } from "node:dns";
import { isIP, type LookupFunction } from "node:net";

/** How long addresses are given out without asking again, in milliseconds. */
const FRESH_MS = 10_000;
/** How long they are given out while the name is asked for again: who is known never waits for a name server. */
const STALE_MS = 10 * 60_000;
/** How long a name that failed is not asked for again. */
const FAILED_MS = 10_000;
/** A name server that takes longer has failed. */
const TIMEOUT_MS = 5_000;
/** Look-ups at once, each a process of a megabyte or so; and for one asker, so that its dead names hold up only its own. */
const MAX_RUNNING = 16;
const MAX_RUNNING_OF_ONE = 4;
const MAX_NAMES = 10_000;
const MAX_ADDRESSES = 32;

type Callback = (error: NodeJS.ErrnoException | null, addresses: readonly LookupAddress[]) => void;

interface Name {
  readonly name: string;
  addresses: readonly LookupAddress[];
  /** When they were found, and when the last look-up failed; in ms of the process's clock. */
  foundAtMs: number;
  failedAtMs: number;
  failure: NodeJS.ErrnoException | undefined;
  /** Those who wait for the look-up that is queued or running; undefined when none is. */
  waiting: Callback[] | undefined;
}

/**
 * Looks up host names with getent(1), which asks where the system does (files, DNS, …). Node.js asks in a pool of which
 * two threads are for names: two names whose server is dead, at 5 to 20 s each, would hold up every other name. Here
 * each look-up is a process that ends in time, each name is asked for once, and what was found or failed is remembered.
 */
export class NameLookups {
  readonly #names = new Map<string, Name>();
  /** Names to be asked for, by asker; whose turn it is comes first. */
  readonly #queue = new Map<string, Name[]>();
  readonly #running = new Map<string, number>();
  readonly #command: string;
  #total = 0;

  /** @param command the program that is run as getent */
  constructor(command = "getent") {
    this.#command = command;
  }

  /**
   * For `connect({ lookup })`.
   * @param asker names of one asker may wait for each other, those of others do not
   */
  for(asker: string): LookupFunction {
    return (hostname, options, callback) => {
      const family = options.family === "IPv4" ? 4 : options.family === "IPv6" ? 6 : (options.family ?? 0);
      this.#lookup(hostname, asker, (error, found) => {
        const addresses = found.filter((address) => family === 0 || address.family === family);
        const [first] = addresses;
        const failure = error ?? (first === undefined ? notFound(hostname) : null);
        if (failure !== null || first === undefined) callback(failure, "", 0);
        else if (options.all === true) callback(null, addresses);
        else callback(null, first.address, first.family);
      });
    };
  }

  #lookup(hostname: string, asker: string, callback: Callback): void {
    const now = performance.now();
    const name = this.#name(hostname);
    const known = now - name.foundAtMs < STALE_MS;
    const failed = now - name.failedAtMs < FAILED_MS;
    if (known) process.nextTick(callback, null, name.addresses);
    else if (failed) process.nextTick(callback, name.failure ?? notFound(hostname), []);
    if (failed || now - name.foundAtMs < FRESH_MS) return;
    if (name.waiting === undefined) {
      name.waiting = [];
      const queued = this.#queue.get(asker);
      if (queued === undefined) this.#queue.set(asker, [name]);
      else queued.push(name);
    }
    if (!known) name.waiting.push(callback);
    this.#runNext();
  }

  #name(hostname: string): Name {
    let name = this.#names.get(hostname);
    if (name === undefined) {
      name = {
        name: hostname,
        addresses: [],
        foundAtMs: -Infinity,
        failedAtMs: -Infinity,
        failure: undefined,
        waiting: undefined,
      };
    } else {
      this.#names.delete(hostname);
    }
    // The one that was not asked for longest comes first, and goes first.
    this.#names.set(hostname, name);
    if (this.#names.size > MAX_NAMES) {
      const oldest = this.#names.keys().next();
      if (oldest.done !== true) this.#names.delete(oldest.value);
    }
    return name;
  }

  #runNext(): void {
    while (this.#total < MAX_RUNNING) {
      const asker = this.#nextAsker();
      const name = asker === undefined ? undefined : this.#take(asker);
      if (asker === undefined || name === undefined) return;
      this.#count(asker, 1);
      this.#ask(name.name, (error, addresses) => {
        this.#count(asker, -1);
        this.#answered(name, error, addresses);
        this.#runNext();
      });
    }
  }

  #nextAsker(): string | undefined {
    for (const asker of this.#queue.keys()) {
      if ((this.#running.get(asker) ?? 0) < MAX_RUNNING_OF_ONE) return asker;
    }
    return undefined;
  }

  #take(asker: string): Name | undefined {
    const queued = this.#queue.get(asker) ?? [];
    const name = queued.shift();
    this.#queue.delete(asker);
    if (queued.length > 0) this.#queue.set(asker, queued);
    return name;
  }

  #count(asker: string, change: 1 | -1): void {
    this.#total += change;
    const running = (this.#running.get(asker) ?? 0) + change;
    if (running === 0) this.#running.delete(asker);
    else this.#running.set(asker, running);
  }

  #answered(name: Name, error: NodeJS.ErrnoException | null, addresses: readonly LookupAddress[]): void {
    const waiting = name.waiting ?? [];
    name.waiting = undefined;
    if (error === null) {
      name.addresses = addresses;
      name.foundAtMs = performance.now();
    } else {
      name.failure = error;
      name.failedAtMs = performance.now();
    }
    for (const callback of waiting) callback(error, addresses);
  }

  #ask(hostname: string, done: Callback): void {
    const options = { timeout: TIMEOUT_MS, killSignal: "SIGKILL", maxBuffer: 64 * 1024 } as const;
    execFile(this.#command, ["ahosts", "--", hostname], options, (error, stdout) => {
      if (error?.code === "ENOENT") {
        // A system without getent: its names share Node's threads.
        lookupInPool(hostname, { all: true }, done);
        return;
      }
      const addresses = error === null ? parseAddresses(stdout) : [];
      if (addresses.length > 0) done(null, addresses);
      else done(error?.killed === true ? noAnswer(hostname) : notFound(hostname), []);
    });
  }
}

/** Lines such as `192.0.2.1       STREAM example.com`, one for each address and kind of socket. */
function parseAddresses(output: string): LookupAddress[] {
  const addresses = new Set(output.split("\n").map((line) => line.split(/\s/, 1)[0] ?? ""));
  return [...addresses]
    .map((address) => ({ address, family: isIP(address) }))
    .filter(({ family }) => family !== 0)
    .slice(0, MAX_ADDRESSES);
}

/** As Node's own look-up says it. */
function notFound(hostname: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), { code: "ENOTFOUND", hostname });
}

function noAnswer(hostname: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`getaddrinfo EAI_AGAIN ${hostname}: no answer within ${TIMEOUT_MS / 1000} s`), {
    code: "EAI_AGAIN",
    hostname,
  });
}
