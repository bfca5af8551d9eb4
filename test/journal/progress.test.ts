import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import fc from "fast-check";
import { loadCursor, saveCursor } from "../../src/journal/cursor.ts";
import type { EventRecord } from "../../src/journal/stretch.ts";
import { line, segmentName, TestJournal } from "../helpers/journal.ts";
import { waitFor } from "../helpers/wait.ts";

/** What may stand on a line of the journal; records of one moment and of later ones. */
const KINDS = ["record", "record", "record", "later record", "after a torn one", "garbage", "empty", "long garbage"];

interface Life {
  /** Lines that are written, to the first or the second segment. */
  readonly written: readonly { kind: string; second: boolean }[];
  /** Whether each record that was read is answered, in turn. */
  readonly answers: readonly boolean[];
}

const life: fc.Arbitrary<Life> = fc.record({
  written: fc.array(fc.record({ kind: fc.constantFrom(...KINDS), second: fc.boolean() }), { maxLength: 60 }),
  answers: fc.array(fc.boolean(), { minLength: 1, maxLength: 50 }),
});

describe("a place in the journal", () => {
  it("survives kills: nothing unanswered is passed by, and nothing that was answered and saved is read again", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(life, { minLength: 1, maxLength: 4 }), async (lives) => {
        const journal = new TestJournal();
        try {
          const file = join(journal.folder, "x.cursor");
          const unanswered = new Set<string>();
          let ts = 1;
          let count = 0;
          for (const { written, answers } of lives) {
            for (const { kind, second } of written) {
              const user = `u${count++}`;
              if (kind === "later record") ts += 2e6;
              const record = line({ user, ts });
              const text = {
                garbage: "garbage\n",
                empty: "\n",
                "long garbage": `${"x".repeat(70_000)}\n`,
                "after a torn one": record.slice(0, 30) + record,
              }[kind];
              if (text === undefined || text.endsWith(record)) unanswered.add(user);
              journal.append(segmentName(second ? 101 : 100), text ?? record);
            }
            const { records, tail, users } = await journal.read(await loadCursor(file));
            assert.deepEqual(new Set(users), unanswered);
            assert.equal(users.length, unanswered.size, "each once");
            records.forEach((record: EventRecord, index) => {
              if (answers[index % answers.length] !== true) return;
              assert.ok(tail.answer(record.stretch, record.index));
              unanswered.delete(users[index] as string);
            });
            await saveCursor(file, tail.cursor());
            journal.close();
          }
          const { users } = await journal.read(await loadCursor(file));
          assert.deepEqual(new Set(users), unanswered);
        } finally {
          journal.remove();
        }
      }),
      { numRuns: 60 },
    );
  });

  it("counts what is answered neither as read nor as yet to be read", async () => {
    const journal = new TestJournal();
    try {
      const lines = Array.from({ length: 100 }, (_, n) => line({ user: `u${n}` }));
      journal.append(segmentName(100), lines.join(""));
      const before = await journal.read();
      before.records.slice(1, 99).forEach(({ stretch, index }) => before.tail.answer(stretch, index));
      const cursor = before.tail.cursor();
      journal.close();
      const after = await journal.read(cursor);
      assert.deepEqual(after.users, ["u0", "u99"]);
      assert.equal(after.tail.counters.records, 2);
      assert.equal(after.tail.counters.bytes, `${lines[0]}${lines[99]}`.length);
      assert.equal(after.tail.unread().unreadBytes, 0);
      const [segment] = after.directory.segments.values();
      assert.ok(segment !== undefined);
      assert.equal(after.tail.isPast(segment), false);
      for (const { stretch, index } of after.records) after.tail.answer(stretch, index);
      assert.equal(after.tail.isPast(segment), true);
    } finally {
      journal.remove();
    }
  });

  it("of a segment that is shorter than what is answered of it is the segment's start", async () => {
    const journal = new TestJournal();
    try {
      journal.append(segmentName(100), line({ user: "a" }));
      const { directory } = await journal.read();
      const identity = directory.segments.get(segmentName(100))?.identity ?? "";
      journal.close();
      const cursor = new Map([[segmentName(100), { identity, offset: 5, answered: [[10, 100_000]] as const }]]);
      const again = await journal.read(cursor);
      assert.deepEqual(again.users, ["a"]);
    } finally {
      journal.remove();
    }
  });

  it("is kept when another line stands there than was answered: all after it is read", async () => {
    const journal = new TestJournal();
    try {
      const text = line({ user: "a" });
      journal.append(segmentName(100), text.repeat(4));
      const { directory } = await journal.read();
      const identity = directory.segments.get(segmentName(100))?.identity ?? "";
      journal.close();
      const answered = [[text.length + 5, text.length * 2]] as const;
      const again = await journal.read(new Map([[segmentName(100), { identity, offset: 0, answered }]]));
      await waitFor("all of it", () => again.records.length === 4);
    } finally {
      journal.remove();
    }
  });
});
