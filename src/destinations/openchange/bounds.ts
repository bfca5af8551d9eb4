import type { Job } from "./route.ts";

/** With this many jobs that wait for hosts that take what is sent, even slowly, the journal is not read on. */
export const MANY_WAITING = 75_000;
/**
 * The most jobs that wait for all hosts. Beyond it the journal is not read on either, but only while the host with the most
 * may yet take something. Otherwise that host must not hold up the others: its oldest jobs are given up.
 */
export const MAX_WAITING = 200_000;
/** The most jobs that were sent and may yet have to be sent again, all hosts together. Beyond it the oldest count as received. */
const MAX_UNCONFIRMED = 150_000;

/** What the bounds need of a host. */
export interface BoundedHost {
  /** Whether records of trusted writers go to it. */
  readonly common: boolean;
  /** Jobs that wait to be sent. */
  readonly waiting: number;
  /** Jobs that were sent and may yet have to be sent again. */
  readonly unconfirmed: number;
  /** Whether it takes what is sent, even slowly. */
  takes(nowMs: number): boolean;
  /** Whether it may do so yet. */
  mayTake(nowMs: number): boolean;
  confirmEarly(most: number): void;
  takeOldest(count: number): Job[];
}

/** What is to be given up of one host. */
export interface Overflow<Host> {
  readonly host: Host;
  readonly jobs: readonly Job[];
}

/**
 * Keeps what waits for hosts, and what may yet have to be sent again, within bounds.
 * @param nowMs milliseconds of the process's clock
 * @returns whether the journal is to wait, and what has been taken back because it cannot
 */
export function keepBounds<Host extends BoundedHost>(
  hosts: readonly Host[],
  nowMs: number,
): { hold: boolean; overflow: Overflow<Host>[] } {
  confirmMost(hosts);
  // What writers who are not trusted let wait is bounded for each, and nobody else is to wait for it.
  const taking = sumOf(
    hosts.filter((host) => host.common && host.takes(nowMs)),
    "waiting",
  );
  const excess = sumOf(hosts, "waiting") - MAX_WAITING;
  const hopeful = excess > 0 && withMost(hosts, "waiting")?.mayTake(nowMs) === true;
  const overflow = hopeful ? [] : takeMost(hosts, excess);
  return { hold: hopeful || taking > MANY_WAITING, overflow };
}

function confirmMost(hosts: readonly BoundedHost[]): void {
  let unconfirmed = sumOf(hosts, "unconfirmed");
  while (unconfirmed > MAX_UNCONFIRMED) {
    const most = withMost(hosts, "unconfirmed");
    const before = most?.unconfirmed ?? 0;
    most?.confirmEarly(before - Math.min(unconfirmed - MAX_UNCONFIRMED, Math.ceil(before / 2)));
    const confirmed = before - (most?.unconfirmed ?? 0);
    if (confirmed === 0) break;
    unconfirmed -= confirmed;
  }
}

/** Takes back `count` in all, the oldest of those that have the most. */
function takeMost<Host extends BoundedHost>(hosts: readonly Host[], count: number): Overflow<Host>[] {
  const taken: Overflow<Host>[] = [];
  let left = count;
  while (left > 0) {
    const host = withMost(hosts, "waiting");
    // At most a half of it, so that the next-longest is not spared; one at least.
    const jobs = host?.takeOldest(Math.min(left, Math.ceil(host.waiting / 2))) ?? [];
    if (host === undefined || jobs.length === 0) break;
    left -= jobs.length;
    taken.push({ host, jobs });
  }
  return taken;
}

function sumOf(hosts: readonly BoundedHost[], what: "waiting" | "unconfirmed"): number {
  return hosts.reduce((sum, host) => sum + host[what], 0);
}

function withMost<Host extends BoundedHost>(hosts: readonly Host[], what: "waiting" | "unconfirmed"): Host | undefined {
  let most: Host | undefined;
  for (const host of hosts) {
    if (most === undefined || host[what] > most[what]) most = host;
  }
  return most;
}
