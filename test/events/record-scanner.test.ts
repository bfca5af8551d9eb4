import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { parseRecord } from "../../src/events/event.ts";
import { RecordScanner } from "../../src/events/record-scanner.ts";

const KEPT = ["ts", "event", "user", "mailbox", "sep", "uids", "cn", "backend", "resolver"] as const;
const KEPT_WITH_SERVICE = [...KEPT, "service"] as const;

/** A record as the plugin writes it. */
const RECORD = {
  v: 1,
  ts: 1795452606246714,
  event: "MessageNew",
  user: "jdoe@example.com",
  mailbox: "Entwürfe",
  sep: "/",
  uidvalidity: 1795452600,
  uids: "42",
  size: 312,
  messageId: "<1@x>",
  service: "lmtp",
  session: "DyBG+abc",
  cn: "email",
  backend: "sogo",
  resolver: "--SERVER=127.0.0.1:11211",
};

/** What the parser makes of a line, of the fields that the scanner keeps; undefined when it refuses it. */
function parsed(line: string, kept: readonly string[] = KEPT): Record<string, unknown> | undefined {
  let event: Record<string, unknown>;
  try {
    event = { ...parseRecord(line) };
  } catch {
    return undefined;
  }
  return Object.fromEntries(kept.map((field) => [field, event[field]]));
}

function scanned(scanner: RecordScanner, line: string): Record<string, unknown> | undefined {
  const bytes = Buffer.from(`before\n${line}\nbehind`);
  const event = scanner.scan(bytes, 7, bytes.length);
  if (event !== undefined) assert.equal(scanner.end, bytes.length - 6);
  return event === undefined ? undefined : { ...event };
}

describe("scanning records", () => {
  it("takes a record as the plugin writes it, and gives what the parser gives", () => {
    const line = JSON.stringify(RECORD);
    const scanner = new RecordScanner();
    assert.notEqual(scanned(scanner, line), undefined);
    for (let time = 0; time < 3; time++) assert.deepEqual(scanned(scanner, line), parsed(line));
  });

  it("leaves a line without its end, cut anywhere", () => {
    const scanner = new RecordScanner();
    const bytes = Buffer.from(`${JSON.stringify(RECORD)}\n`);
    for (let limit = 0; limit < bytes.length; limit++) assert.equal(scanner.scan(bytes, 0, limit), undefined);
    assert.notEqual(scanner.scan(bytes, 0, bytes.length), undefined);
  });

  it("does not mix up one record with the one before", () => {
    const { cn: _cn, backend: _backend, resolver: _resolver, uids: _uids, service: _service, ...bare } = RECORD;
    const line = JSON.stringify({ ...bare, mailbox: "INBOX", user: "anna" });
    for (const [scanner, kept] of [
      [new RecordScanner(), KEPT],
      [new RecordScanner(true), KEPT_WITH_SERVICE],
    ] as const) {
      scanned(scanner, JSON.stringify(RECORD));
      assert.deepEqual(scanned(scanner, line), parsed(line, kept));
    }
  });

  it("gives the service of each record to who asks for it, and to nobody else", () => {
    const scanner = new RecordScanner(true);
    for (const service of ["lmtp", "lmtp", "imap", "lda", "", "indexer-worker", "lmtp"]) {
      const line = JSON.stringify({ ...RECORD, service });
      assert.deepEqual(scanned(scanner, line), parsed(line, KEPT_WITH_SERVICE));
    }
    assert.ok(!("service" in (scanned(new RecordScanner(), JSON.stringify(RECORD)) ?? {})));
  });

  it("leaves to the parser what it does not know", () => {
    const scanner = new RecordScanner();
    for (const change of [
      { event: "MessageExpunge" },
      { by: "anna" },
      { flags: ["\\Seen"] },
      { user: 'o"brien' },
      { subject: "Grüße" },
      { user: "j".repeat(1025) },
      // For the parser to refuse.
      { user: "del\u007f" },
      { user: "\ufffd" },
      { backend: "\u007f" },
      { resolver: "\u007f" },
    ]) {
      assert.equal(scanned(scanner, JSON.stringify({ ...RECORD, ...change })), undefined, JSON.stringify(change));
    }
  });

  it("takes odd names of folders too", () => {
    const scanner = new RecordScanner();
    for (const change of [{ mailbox: "del\u007fx" }, { mailbox: "c1\u009bx\ufffd" }, { sep: "\u007f" }, { sep: " " }]) {
      const line = JSON.stringify({ ...RECORD, ...change });
      assert.notEqual(scanned(scanner, line), undefined, line);
      assert.deepEqual(scanned(scanner, line), parsed(line));
    }
  });

  it("never takes what the parser refuses, and never reads it otherwise", () => {
    const scanner = new RecordScanner();
    const withService = new RecordScanner(true);
    const value = fc.oneof(
      fc.string(),
      fc.string({ unit: "binary" }),
      fc.nat(),
      fc.double(),
      fc.constantFrom("1:3", "0", "", "email", "MessageAppend", "\u007f", "\ufffd", "\\", 9007199254740992, -1),
    );
    const record = fc
      .dictionary(fc.constantFrom(...Object.keys(RECORD), "by", "flags", "oldSep", "other"), value, { maxKeys: 3 })
      .map((changes) => JSON.stringify({ ...RECORD, ...changes }));
    // Also a character too many, too few or another, anywhere.
    const line = fc.tuple(record, fc.nat(), fc.nat(2), fc.string({ maxLength: 2 })).map(([text, at, cut, insert]) => {
      const place = at % (text.length * 4);
      return text.slice(0, place) + insert + text.slice(place + (place < text.length ? cut : 0));
    });
    fc.assert(
      fc.property(fc.oneof(record, line), (text) => {
        // The parser reads bytes too: half a surrogate pair is none.
        const bytes = Buffer.from(text).toString();
        const fast = scanned(scanner, text);
        if (fast !== undefined) assert.deepEqual(fast, parsed(bytes));
        const fastWithService = scanned(withService, text);
        if (fastWithService !== undefined) assert.deepEqual(fastWithService, parsed(bytes, KEPT_WITH_SERVICE));
      }),
      { numRuns: 20_000 },
    );
  });
});
