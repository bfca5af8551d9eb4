import assert from "node:assert/strict";
import type { DeliveryStatus } from "../../src/delivery/delivery.ts";
import type { DetailName } from "../../src/destinations/openchange/counters.ts";
import { askStatus, type Status } from "../../src/status.ts";

/** The status of a destination that notifies OpenChange servers, with what its kind counts beside what each does. */
export type OpenChangeStatus = DeliveryStatus &
  Readonly<Record<DetailName | "nobody" | "ignored" | "filtered" | "notified" | "done", number>>;

/** @throws OcnotifyError when no daemon answers, AssertionError when it has no such destination */
export async function destinationStatus(stateDir: string, name = "openchange"): Promise<OpenChangeStatus> {
  return destinationIn(await askStatus(stateDir), name);
}

/** The same in what was asked already. */
export function destinationIn({ destinations }: Status, name = "openchange"): OpenChangeStatus {
  const status = destinations[name];
  assert.ok(status !== undefined, `a destination ${name}`);
  const { notified, dropped, nobody, ignored, filtered, waiting } = status.outcomes;
  const done = notified + dropped + nobody + ignored + filtered;
  assert.equal(done + waiting, status.records, "each record has one outcome");
  const details = status.details as Record<DetailName, number>;
  return { ...status, ...details, nobody, ignored, filtered, notified, done };
}

const SIZE = { bytes: 3000, heldBytes: 0, maxBytes: 10_000, overHalfBytes: 0 };

/** The status of a daemon that has done nothing yet, with one destination, but for what is given. */
export function statusOf(
  destination: Partial<DeliveryStatus> = {},
  notRead: Status["journal"]["notRead"] = {},
): Status {
  return {
    version: "0.0.0",
    node: "20.19.0",
    pid: 1,
    host: "mx1",
    since: "2026-01-01T00:00:00.000Z",
    journal: { directory: "/journal", segments: 1, ...SIZE, inotify: "works", notRead, cleared: 0 },
    memory: { rssBytes: 1 },
    destinations: {
      openchange: {
        records: 10,
        bytes: 3000,
        malformed: 0,
        unrecorded: 0,
        untrusted: 0,
        lostBytes: 0,
        fullBytes: 0,
        shrunk: 0,
        unreadBytes: 0,
        unreadableSegments: 0,
        unknownSegments: 0,
        leftSegments: 0,
        leftBytes: 0,
        left: [],
        type: "openchange",
        state: { name: "delivering", since: "2026-01-01T00:00:00.000Z" },
        outcomes: { notified: 8, dropped: 0, nobody: 1, filtered: 1, ignored: 0, waiting: 0 },
        lagRecords: 0,
        lagSeconds: 0,
        dropped: {},
        waiting: 0,
        details: {
          sent: 7,
          resent: 1,
          lookupFailures: 1,
          lookupsAgain: 0,
          hostFailures: 1,
          lookingUp: 0,
          hosts: 1,
          connected: 1,
        },
        ...destination,
      },
    },
  };
}
