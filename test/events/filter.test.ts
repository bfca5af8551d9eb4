import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { MailboxEvent } from "../../src/events/event.ts";
import { eventFilter as filteredBy, type Filter } from "../../src/events/filter.ts";

function event(fields: Record<string, unknown> = {}): MailboxEvent {
  const whole = { ts: 1, event: "MessageNew", user: "jdoe@example.com", mailbox: "INBOX", sep: "/", ...fields };
  return whole as unknown as MailboxEvent;
}

/** Whether an event passes the filter. */
function eventFilter(filter: Filter): (event: MailboxEvent) => boolean {
  const leavesOut = filteredBy(filter);
  return (each) => leavesOut(each) === undefined;
}

function mailboxes(...globs: string[]): (mailbox: string) => boolean {
  const passes = eventFilter({ mailboxes: globs });
  return (mailbox) => passes(event({ mailbox }));
}

function by(...services: string[]): (service?: string) => boolean {
  const passes = eventFilter({ services });
  return (service) => passes(event(service === undefined ? {} : { service }));
}

/** The meaning of a pattern of few characters. */
function matchesSlowly(pattern: string, text: string): boolean {
  return new RegExp(`^${pattern.replaceAll("*", ".*").replaceAll("?", ".")}$`).test(text);
}

describe("a filter", () => {
  it("passes everything when it says nothing", () => {
    assert.ok(eventFilter({})(event()));
    assert.ok(eventFilter({ events: undefined, users: undefined, mailboxes: undefined, services: undefined })(event()));
  });

  it("passes nothing when a list is empty", () => {
    assert.ok(!eventFilter({ events: [] })(event()));
    assert.ok(!eventFilter({ users: [] })(event()));
    assert.ok(!eventFilter({ mailboxes: [] })(event()));
    assert.ok(!eventFilter({ services: [] })(event({ service: "lmtp" })));
  });

  it("says which of its lists leaves an event out, the first of them", () => {
    const leavesOut = filteredBy({
      events: ["MessageNew"],
      users: ["jdoe@*"],
      mailboxes: ["INBOX"],
      services: ["lmtp"],
    });
    assert.equal(leavesOut(event({ service: "lmtp" })), undefined);
    assert.equal(leavesOut(event({ service: "imap" })), "services");
    assert.equal(leavesOut(event({ service: "imap", mailbox: "Trash" })), "mailboxes");
    assert.equal(leavesOut(event({ user: "anna", mailbox: "Trash" })), "users");
    assert.equal(leavesOut(event({ event: "FlagsSet", user: "anna" })), "events");
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

  it("judges the mailbox that is notified, and not where a message or a mailbox came from", () => {
    const passes = eventFilter({ mailboxes: ["Trash"] });
    const excludes = eventFilter({ mailboxes: ["!EXPUNGED/*", "!Trash"] });
    for (const name of ["MessageMove", "MessageCopy", "MailboxRename"]) {
      assert.ok(passes(event({ event: name, mailbox: "Trash", oldMailbox: "INBOX" })), name);
      assert.ok(!passes(event({ event: name, mailbox: "INBOX", oldMailbox: "Trash" })), name);
      assert.ok(excludes(event({ event: name, mailbox: "INBOX", oldMailbox: "EXPUNGED/Work" })), name);
      assert.ok(!excludes(event({ event: name, mailbox: "EXPUNGED/Work", oldMailbox: "INBOX" })), name);
    }
  });

  it("passes what came by a service that is listed, and of unknown service only what no list asks for", () => {
    assert.equal(by("lda", "lmtp")("lmtp"), true);
    assert.equal(by("lda", "lmtp")("imap"), false);
    assert.equal(by("lda", "lmtp")(undefined), false);
    assert.equal(by("!doveadm")("imap"), true);
    assert.equal(by("!doveadm")("doveadm"), false);
    assert.equal(by("!doveadm")(undefined), true);
    assert.equal(by("*sieve")("managesieve"), true);
  });

  const lists = [
    { key: "events", one: "FlagsSet", other: "MessageNew", of: (text: string) => ({ event: text }) },
    { key: "users", one: "jdoe", other: "anna", of: (text: string) => ({ user: text }) },
    { key: "mailboxes", one: "Work", other: "INBOX", of: (text: string) => ({ mailbox: text }) },
    { key: "services", one: "doveadm", other: "lmtp", of: (text: string) => ({ service: text }) },
  ];
  for (const { key, one, other, of } of lists) {
    it(`excludes with ! in ${key}: alone it passes all others, and it wins over what is included`, () => {
      const passing = (...list: string[]): string[] => {
        const passes = eventFilter({ [key]: list });
        return [one, other].filter((text) => passes(event(of(text))));
      };
      assert.deepEqual(passing(`!${one}`), [other]);
      assert.deepEqual(passing(`!${one}`, `!${other}`), []);
      assert.deepEqual(passing(one, `!${one}`), []);
      assert.deepEqual(passing(`!${one}`, one, other), [other]);
      assert.deepEqual(passing(one, other, `!${other}`), [one]);
    });
  }

  it("takes a pattern also after !, and the case of users as without it", () => {
    assert.equal(mailboxes("!EXPUNGED/*")("EXPUNGED/Work/2026"), false);
    assert.equal(mailboxes("!EXPUNGED/*")("EXPUNGED"), true);
    assert.equal(mailboxes("Work/*", "!*/Private")("Work/Private"), false);
    assert.equal(mailboxes("Work/*", "!*/Private")("Work/2026"), true);
    assert.equal(eventFilter({ users: ["!JDoe@*"] })(event()), false);
  });

  it("names what begins with ! by ? for the !, and excludes it by a second !", () => {
    assert.equal(mailboxes("?important")("!important"), true);
    assert.equal(mailboxes("!!important")("!important"), false);
    assert.equal(mailboxes("!!important")("important"), true);
  });

  it("passes an event when something includes it, or nothing does include, and nothing excludes it", () => {
    const name = fc.constantFrom("a", "b", "!a", "ab", "c");
    const pattern = fc.constantFrom("a", "b", "ab", "a*", "?", "*", "!a");
    const entry = fc.tuple(fc.boolean(), pattern);
    fc.assert(
      fc.property(fc.array(entry), name, (entries, mailbox) => {
        const list = entries.map(([excludes, text]) => (excludes ? `!${text}` : text));
        const included = list.filter((text) => !text.startsWith("!"));
        const excluded = list.filter((text) => text.startsWith("!"));
        const isIncluded = included.length === 0 ? excluded.length > 0 : mailboxes(...included)(mailbox);
        const isExcluded = excluded.some((text) => matchesSlowly(text.slice(1), mailbox));
        assert.equal(mailboxes(...list)(mailbox), isIncluded && !isExcluded);
      }),
    );
  });

  it("takes any name without wildcards for that name alone", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.string({ unit: "grapheme" }), (name, other) => {
        fc.pre(!/[*?]|^!/.test(name));
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
