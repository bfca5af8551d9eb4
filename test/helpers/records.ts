import fc from "fast-check";
import { EVENT_NAMES } from "../../src/events/event.ts";

const word = fc.stringMatching(/^[ -~]{1,20}$/);
const text = fc.oneof(word, fc.string({ unit: "binary", minLength: 1, maxLength: 20 }));
const mailbox = text.filter((name) => !name.includes("\0"));
const uid = fc.integer({ min: 1, max: 2 ** 32 - 1 });

/** Any record that `parseRecord` takes, with the fields in the order of the plugin. */
export const anyRecord: fc.Arbitrary<Record<string, unknown>> = fc
  .record(
    {
      v: fc.constant(1),
      ts: fc.integer({ min: 0, max: 2 ** 52 }),
      event: fc.constantFrom("MessageNew", "MessageNew", ...EVENT_NAMES),
      user: fc.constantFrom("jdoe", "anna@example.com", "ÅSA"),
      by: fc.constantFrom("jdoe", "boss"),
      mailbox,
      sep: fc.constantFrom("/", ".", "\\"),
      uidvalidity: uid,
      uids: uid.map(String),
      oldMailbox: mailbox,
      oldSep: fc.constantFrom("/", "."),
      oldUidvalidity: uid,
      flags: fc.array(text, { maxLength: 3 }),
      size: fc.nat(),
      messageId: text,
      from: text,
      subject: text,
      service: word,
      session: word,
      cn: fc.constantFrom("username", "email"),
      backend: word,
      resolver: word,
    },
    { requiredKeys: ["v", "ts", "event", "user", "mailbox", "sep", "oldMailbox", "flags"] },
  )
  .map(({ oldMailbox, oldSep, oldUidvalidity, flags, ...record }) => {
    const { event } = record;
    const moved = ["MessageCopy", "MessageMove", "MailboxRename"].includes(event);
    const flagged = ["FlagsSet", "FlagsClear"].includes(event);
    return {
      ...record,
      ...(moved && { oldMailbox, ...(oldSep !== undefined && { oldSep }) }),
      ...(moved && oldUidvalidity !== undefined && { oldUidvalidity }),
      ...(flagged && { flags }),
    };
  });
