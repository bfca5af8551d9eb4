import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { MailboxEvent } from "../src/event.ts";
import { eventFilter } from "../src/filter.ts";

function event(fields: Record<string, unknown> = {}): MailboxEvent {
  const whole = { ts: 1, event: "MessageNew", user: "jdoe@example.com", mailbox: "INBOX", sep: "/", ...fields };
  return whole as unknown as MailboxEvent;
}

function mailboxes(...globs: string[]): (mailbox: string) => boolean {
  const passes = eventFilter({ mailboxes: globs });
  return (mailbox) => passes(event({ mailbox }));
}

describe("a filter", () => {
  it("passes everything when it says nothing", () => {
    assert.ok(eventFilter({})(event()));
    assert.ok(eventFilter({ events: undefined, users: undefined, mailboxes: undefined })(event()));
  });

  it("passes nothing when a list is empty", () => {
    assert.ok(!eventFilter({ events: [] })(event()));
    assert.ok(!eventFilter({ users: [] })(event()));
    assert.ok(!eventFilter({ mailboxes: [] })(event()));
  });

  it("wants every condition met", () => {
    const passes = eventFilter({ events: ["MessageNew", "FlagsSet"], users: ["*@example.com"], mailboxes: ["INBOX"] });
    assert.ok(passes(event()));
    assert.ok(passes(event({ event: "FlagsSet" })));
    assert.ok(!passes(event({ event: "MessageExpunge" })));
    assert.ok(!passes(event({ user: "jdoe@example.org" })));
    assert.ok(!passes(event({ mailbox: "Sent" })));
  });

  it("does not mind the case of users, and does that of mailboxes", () => {
    assert.ok(eventFilter({ users: ["JDoe@*"] })(event()));
    assert.ok(!mailboxes("inbox")("INBOX"));
  });

  it("takes * for any characters, ? for one, and the rest for itself", () => {
    const some = mailboxes("Projects/*", "a?c", "x.y", "[Gmail]/*", "(a|b)", "$^+{1}\\");
    for (const yes of [
      "Projects/",
      "Projects/a/b",
      "Projects/a\nb",
      "abc",
      "a🎉c",
      "x.y",
      "[Gmail]/Spam",
      "(a|b)",
      "$^+{1}\\",
    ]) {
      assert.ok(some(yes), yes);
    }
    for (const no of ["Projects", "xProjects/a", "ac", "abbc", "xzy", "G/Spam", "a", ""]) assert.ok(!some(no), no);
    assert.ok(mailboxes("*")("anything/at all"));
  });

  it("passes a rename or a move when either name passes", () => {
    const passes = eventFilter({ mailboxes: ["Trash"] });
    assert.ok(passes(event({ event: "MessageMove", mailbox: "Trash", oldMailbox: "INBOX" })));
    assert.ok(passes(event({ event: "MessageMove", mailbox: "INBOX", oldMailbox: "Trash" })));
    assert.ok(!passes(event({ event: "MessageMove", mailbox: "INBOX", oldMailbox: "Sent" })));
  });

  it("takes any name without wildcards for that name alone", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.string({ unit: "grapheme" }), (name, other) => {
        fc.pre(!/[*?]/.test(name));
        assert.equal(mailboxes(name)(name), true);
        assert.equal(mailboxes(name)(other), name === other);
      }),
    );
  });

  it("stays quick on names made to match badly", () => {
    const passes = mailboxes("*a*a*a*b");
    const started = performance.now();
    assert.ok(!passes("a".repeat(4_096)));
    assert.ok(performance.now() - started < 1_000, `${performance.now() - started} ms`);
  });
});
