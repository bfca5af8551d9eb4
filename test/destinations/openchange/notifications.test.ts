import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { notificationsOf } from "../../../src/destinations/openchange/notifications.ts";
import { parseRecord } from "../../../src/events/event.ts";

const SETTINGS = { backend: "sogo", newMailEvents: new Set([]), extended: true };
const MOVE = {
  v: 1,
  ts: 1,
  event: "MessageMove",
  user: "jdoe",
  mailbox: "Work/Sub",
  sep: "/",
  uids: "1",
  oldMailbox: "Archive.2026",
  oldUids: "7",
};

function separators(fields: object): unknown {
  const event = parseRecord(JSON.stringify({ ...MOVE, ...fields }));
  const { value } = notificationsOf(event, SETTINGS).next();
  assert.ok(value?.type === "ObjectMoved" || value?.type === "ObjectCopied");
  return [value.separator, value.oldSeparator];
}

describe("the notification of a move or a copy", () => {
  it("has the separator of each folder", () => {
    assert.deepEqual(separators({ oldSep: "." }), ["/", "."]);
    assert.deepEqual(separators({ oldSep: ".", event: "MessageCopy" }), ["/", "."]);
  });

  it("has one separator for both where the record has", () => {
    assert.deepEqual(separators({}), ["/", "/"]);
  });
});
