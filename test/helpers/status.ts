import type { DeliveryStatus } from "../../src/delivery/delivery.ts";
import type { Status } from "../../src/status.ts";

/** The status of a daemon that has done nothing yet, with one destination, but for what is given. */
export function statusOf(
  destination: Partial<DeliveryStatus> = {},
  notRead: Status["journal"]["notRead"] = {},
): Status {
  return {
    version: "0.0.0",
    node: "20.19.0",
    pid: 1,
    since: "2026-01-01T00:00:00.000Z",
    journal: { directory: "/journal", segments: 1, inotify: "works", notRead, cleared: 0 },
    memory: { rssBytes: 1 },
    destinations: {
      openchange: {
        records: 10,
        bytes: 3000,
        malformed: 0,
        unrecorded: 0,
        untrusted: 0,
        lostBytes: 0,
        shrunk: 0,
        unreadBytes: 0,
        unreadableSegments: 0,
        unknownSegments: 0,
        leftSegments: 0,
        leftBytes: 0,
        left: [],
        filtered: 1,
        done: 10,
        lagRecords: 0,
        lagSeconds: 0,
        ignored: 1,
        nobody: 1,
        sent: 7,
        resent: 1,
        lookupFailures: 1,
        lookupsAgain: 0,
        hostFailures: 1,
        dropped: {},
        lookingUp: 0,
        waiting: 0,
        hosts: 1,
        connected: 1,
        ...destination,
      },
    },
  };
}
