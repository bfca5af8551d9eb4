import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { OcnotifyError } from "../../src/errors.ts";
import { EVENT_NAMES, parseRecord } from "../../src/events/event.ts";

const COMMON = { v: 1, ts: 1_795_452_606_246_714, event: "MessageNew", user: "jdoe", mailbox: "INBOX", sep: "/" };
const NEEDED: Record<string, object> = {
  MessageCopy: { oldMailbox: "Drafts" },
  MessageMove: { oldMailbox: "Drafts" },
  MailboxRename: { oldMailbox: "Drafts" },
  FlagsSet: { flags: ["\\Seen"] },
  FlagsClear: { flags: ["$Label1"] },
};

function parse(fields: Record<string, unknown>): unknown {
  return parseRecord(JSON.stringify({ ...COMMON, ...fields }));
}

function refusal(line: string): OcnotifyError {
  try {
    parseRecord(line);
  } catch (error) {
    assert.ok(error instanceof OcnotifyError, `not an OcnotifyError: ${String(error)}`);
    return error;
  }
  return assert.fail(`accepted: ${line.slice(0, 200)}`);
}

function refuses(fields: Record<string, unknown>, message: RegExp, code = "ERR_RECORD"): void {
  const error = refusal(JSON.stringify({ ...COMMON, ...fields }));
  assert.equal(error.code, code);
  assert.match(error.message, message);
}

function isEventOrRefused(line: string): void {
  try {
    assert.ok(EVENT_NAMES.includes(parseRecord(line).event));
  } catch (error) {
    if (!(error instanceof OcnotifyError)) throw error;
  }
}

describe("a record of the journal", () => {
  for (const event of EVENT_NAMES) {
    it(`may be a ${event}`, () => {
      const fields = { event, ...NEEDED[event] };
      assert.deepEqual(parse(fields), { ...COMMON, ...fields });
    });
  }

  it("that stands for a change which could not be recorded is refused with a code of its own, and names it", () => {
    const error = refusal('{"v":1,"ts":1,"event":"RecordLost","user":"jdoe\\u001b","lost":"MessageCopy"}');
    assert.equal(error.code, "ERR_RECORD_LOST");
    assert.match(error.message, /^"MessageCopy" of user "jdoe\\u001b" could not be recorded/);
  });

  it("may carry every field that the format knows", () => {
    const all = {
      by: "admin",
      uidvalidity: 0xffff_ffff,
      uids: "3:4,9",
      oldMailbox: "Entwürfe.数",
      oldSep: ".",
      oldUidvalidity: 1,
      oldUids: "7,5:6",
      flags: ["\\Seen"],
      size: 0,
      messageId: "<1@x>",
      from: "a@b",
      subject: "line\nbreak",
      service: "imap",
      session: "x",
      cn: "email",
      backend: "sogo",
      resolver: "--SERVER=a",
    };
    assert.deepEqual(parse({ ...all, event: "MessageCopy" }), { ...COMMON, ...all, event: "MessageCopy" });
  });

  it("may carry fields of a later minor format, whatever they are called", () => {
    parseRecord(`${JSON.stringify(COMMON).slice(0, -1)},"__proto__":{"a":1},"constructor":1,"future":[{}]}`);
  });

  it("is refused as ERR_RECORD_SYNTAX when it is not a JSON object", () => {
    for (const line of ["", "\0", "nonsense", "{", '"x"', "null", "1", "[]", "[1]", `${JSON.stringify(COMMON)}x`]) {
      assert.equal(refusal(line).code, "ERR_RECORD_SYNTAX", line);
    }
  });

  it("is refused as ERR_RECORD_VERSION when it is of another version, or of none", () => {
    refuses({ v: 2 }, /version 2, only 1/, "ERR_RECORD_VERSION");
    refuses({ v: "1" }, /version "1"/, "ERR_RECORD_VERSION");
    refuses({ v: undefined }, /version/, "ERR_RECORD_VERSION");
    refuses({ v: { a: 1 } }, /version/, "ERR_RECORD_VERSION");
  });

  it("is refused with a short message, however long the lie", () => {
    for (const field of ["v", "event", "uids", "oldUids", "cn", "sep", "user", "mailbox", "ts"]) {
      const { message } = refusal(JSON.stringify({ ...COMMON, [field]: "x".repeat(60_000) }));
      assert.ok(message.length < 200, `${field}: ${message.length} characters`);
    }
  });

  it("is refused and nothing worse when it nests deeply", () => {
    const deep = "[".repeat(30_000) + "]".repeat(30_000);
    assert.equal(refusal(`{"v":${deep}}`).code, "ERR_RECORD_VERSION");
    assert.equal(refusal(`{"v":1,"event":${deep}}`).code, "ERR_RECORD");
    assert.equal(refusal(`${JSON.stringify(COMMON).slice(0, -1)},"flags":${deep}}`).code, "ERR_RECORD");
  });

  it("names an event that is known", () => {
    for (const event of [undefined, null, 1, "", "messagenew", "toString", "__proto__"]) {
      refuses({ event }, /"event": unknown/);
    }
  });

  it("has a time", () => {
    for (const ts of [undefined, null, "1", -1, 1.5, 2 ** 53, true]) refuses({ ts }, /"ts": not microseconds/);
  });

  it("has a user of at most 1024 characters, all of which a resolver can be asked for", () => {
    refuses({ user: undefined }, /"user": not a string/);
    refuses({ user: 7 }, /"user": not a string/);
    refuses({ user: "" }, /"user": empty/);
    refuses({ user: "x".repeat(1025) }, /"user": 1025 characters/);
    for (const bad of ["\0", "\n", "\r", "\u001b", "\u007f"]) refuses({ user: `a${bad}b` }, /"user": has a control/);
    // The plugin puts it where Dovecot's name has bytes that are not UTF-8.
    refuses({ user: "j\ufffdrgen" }, /"user": is not UTF-8/);
    parse({ user: "x".repeat(1024) });
    parse({ user: "with space" });
    parse({ user: "jürgen@日本.example" });
  });

  it("has a mailbox of at most 16384 characters, any but NUL", () => {
    refuses({ mailbox: undefined }, /"mailbox": not a string/);
    refuses({ mailbox: "" }, /"mailbox": empty/);
    refuses({ mailbox: "x".repeat(16_385) }, /"mailbox": 16385 characters/);
    refuses({ mailbox: "a\0b" }, /"mailbox": has a NUL/);
    refuses({ event: "MailboxRename", oldMailbox: "a\0" }, /"oldMailbox": has a NUL/);
    for (const odd of [
      "a\tb",
      "a\nb",
      "\u001b[2J",
      "del\u007fx",
      "c1\u009bx",
      "\ufffd",
      "\u202e",
      '"',
      "\\",
      " ",
      "😀",
    ]) {
      parse({ mailbox: odd });
      parse({ event: "MailboxRename", oldMailbox: odd });
    }
    parse({ mailbox: "ß".repeat(16_384) });
  });

  it("has a separator of one ASCII character, and may have another one for the mailbox before", () => {
    for (const bad of ["", "//", "é", "\0", "\u0080", "\ufffd", 47, null]) {
      refuses({ sep: bad }, /"sep": not one ASCII character/);
      refuses({ event: "MessageMove", oldMailbox: "a", oldSep: bad }, /"oldSep": not one ASCII character/);
    }
    refuses({ sep: undefined }, /"sep": not one ASCII character/);
    for (const sep of ["/", ".", "~", " ", '"', "\\", "\u0001", "\u007f"]) {
      parse({ sep });
      parse({ event: "MessageMove", oldMailbox: "a", oldSep: sep });
    }
  });

  it("names the user and the folder when it is refused for one of its fields, on one line", () => {
    refuses({ mailbox: "Work\n\u009b2J", uids: "0" }, /"uids": .* \(user "jdoe", mailbox "Work\\n\\u009b2J"\)$/);
    refuses({ mailbox: undefined }, /\(user "jdoe", mailbox none\)$/);
  });

  it("is taken whatever a client calls its folders and keywords, with or without another separator", () => {
    const name = fc.string({ unit: "grapheme", minLength: 1, maxLength: 300 }).filter((text) => !text.includes("\0"));
    const ascii = fc.integer({ min: 1, max: 127 }).map((code) => String.fromCharCode(code));
    const fields = fc.record(
      {
        mailbox: name,
        sep: ascii,
        oldMailbox: name,
        oldSep: ascii,
        flags: fc.array(name),
        messageId: fc.string({ unit: "binary" }),
        subject: fc.string({ unit: "binary" }),
      },
      { requiredKeys: ["oldMailbox"] },
    );
    fc.assert(
      fc.property(fields, (some) => {
        const written = { ...COMMON, ...some, event: "MessageMove" };
        assert.deepEqual(parseRecord(JSON.stringify(written)), written);
      }),
    );
  });

  it("looks up the user name in one of two ways", () => {
    for (const cn of [null, "", "Username", "user", 1]) refuses({ cn }, /"cn": neither username nor email/);
  });

  it("has what its event needs", () => {
    refuses({ event: "MessageCopy" }, /"oldMailbox": missing/);
    refuses({ event: "MessageMove" }, /"oldMailbox": missing/);
    refuses({ event: "MailboxRename" }, /"oldMailbox": missing/);
    refuses({ event: "FlagsSet" }, /"flags": missing/);
    refuses({ event: "FlagsClear" }, /"flags": missing/);
  });

  it("has fields of the right type", () => {
    for (const field of ["by", "messageId", "from", "subject", "service", "session", "backend", "resolver"]) {
      for (const bad of [null, 1, {}, ["x"]]) refuses({ [field]: bad }, new RegExp(`"${field}": not a string`));
    }
    for (const field of ["uidvalidity", "oldUidvalidity", "size"]) {
      for (const bad of [null, "1", -1, 0.5, 1e300]) refuses({ [field]: bad }, new RegExp(`"${field}": not a number`));
    }
    for (const bad of [null, "\\Seen", {}, [1], [["x"]]]) refuses({ flags: bad }, /"flags": not an array of strings/);
  });

  it("cannot carry control characters to where they mean something: the resolver, the backend, the log", () => {
    for (const field of ["by", "backend", "resolver"]) {
      for (const bad of ["a\0", "a\r\nset x", "\u001b[2J"]) refuses({ [field]: bad }, new RegExp(`"${field}": has a`));
    }
  });

  it("names its messages as UIDs", () => {
    for (const uids of ["1:*", "*", "0", "0:3", "5:1", "4294967296", "1,", ",", "", "01", "-1", "1 2", "1.5", "x"]) {
      refuses({ uids }, /"uids": /);
    }
    refuses({ uids: 42 }, /"uids": not a sequence-set/);
    refuses({ uids: "1:4294967295" }, /"uids": more than 1000000 messages/);
    parse({ uids: "4294967295" });
    parse({ uids: "1:1000000" });
  });

  it("pairs the messages of a copy with their originals", () => {
    const copy = { event: "MessageCopy", oldMailbox: "a" };
    parse({ ...copy, uids: "1:3", oldUids: "9,4,7" });
    refuses({ ...copy, uids: "1:3", oldUids: "9,4" }, /"oldUids": 2 messages, but uids has 3/);
  });

  it("is an event or an OcnotifyError, whatever the bytes are", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => isEventOrRefused(Buffer.from(bytes).toString())),
    );
    fc.assert(fc.property(fc.json(), isEventOrRefused));
    const fields = [
      "ts",
      "user",
      "by",
      "mailbox",
      "sep",
      "uids",
      "oldUids",
      "flags",
      "event",
      "v",
      "oldMailbox",
      "oldSep",
      "size",
    ];
    const lies = fc.dictionary(fc.constantFrom(...fields), fc.jsonValue(), { maxKeys: 3 });
    fc.assert(fc.property(lies, (lie) => isEventOrRefused(JSON.stringify({ ...COMMON, ...lie }))));
  });
});
