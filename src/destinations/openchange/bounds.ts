import type { Endpoint } from "./endpoint.ts";
import type { Job } from "./route.ts";

/** So much may wait for hosts that take what is sent, be it slowly; beyond it the journal is left to wait. */
export const MANY_WAITING = 75_000;
/**
 * The most that waits for all hosts. Beyond it the journal waits as well, but not for long if the one with the most
 * takes nothing: it must not hold up the others, so it gives up its oldest.
 */
export const MAX_WAITING = 200_000;
/** The most that was sent and may yet have to be sent again, all hosts together. */
const MAX_UNCONFIRMED = 150_000;

/** What is to be given up of one host. */
export interface Overflow {
  readonly endpoint: Endpoint;
  readonly jobs: readonly Job[];
}

/**
 * Keeps what waits for hosts, and what may yet have to be sent again, within bounds.
 * @param now milliseconds of the process's clock
 * @returns whether the journal is to wait, and what has been taken back because it cannot
 */
export function keepBounds(endpoints: readonly Endpoint[], now: number): { hold: boolean; overflow: Overflow[] } {
  confirmMost(endpoints);
  // What those who are not trusted let wait is bounded for each, and nobody else is to wait for it.
  const taking = sumOf(
    endpoints.filter((endpoint) => endpoint.common && endpoint.takes(now)),
    "waiting",
  );
  const excess = sumOf(endpoints, "waiting") - MAX_WAITING;
  const hopeful = excess > 0 && withMost(endpoints, "waiting")?.mayTake(now) === true;
  const overflow = hopeful ? [] : takeMost(endpoints, excess);
  return { hold: hopeful || taking > MANY_WAITING, overflow };
}

function confirmMost(endpoints: readonly Endpoint[]): void {
  let unconfirmed = sumOf(endpoints, "unconfirmed");
  while (unconfirmed > MAX_UNCONFIRMED) {
    const most = withMost(endpoints, "unconfirmed");
    const before = most?.unconfirmed ?? 0;
    most?.confirmEarly(before - Math.min(unconfirmed - MAX_UNCONFIRMED, Math.ceil(before / 2)));
    const confirmed = before - (most?.unconfirmed ?? 0);
    if (confirmed === 0) break;
    unconfirmed -= confirmed;
  }
}

/** Takes back `count` in all, the oldest of those that have the most. */
function takeMost(endpoints: readonly Endpoint[], count: number): Overflow[] {
  const taken: Overflow[] = [];
  let left = count;
  while (left > 0) {
    const endpoint = withMost(endpoints, "waiting");
    // At most a half of it, so that the next-longest is not spared; one at least.
    const jobs = endpoint?.takeOldest(Math.min(left, Math.ceil(endpoint.waiting / 2))) ?? [];
    if (endpoint === undefined || jobs.length === 0) break;
    left -= jobs.length;
    taken.push({ endpoint, jobs });
  }
  return taken;
}

function sumOf(endpoints: readonly Endpoint[], what: "waiting" | "unconfirmed"): number {
  return endpoints.reduce((sum, endpoint) => sum + endpoint[what], 0);
}

function withMost(endpoints: readonly Endpoint[], what: "waiting" | "unconfirmed"): Endpoint | undefined {
  let most: Endpoint | undefined;
  for (const endpoint of endpoints) {
    if (most === undefined || endpoint[what] > most[what]) most = endpoint;
  }
  return most;
}
