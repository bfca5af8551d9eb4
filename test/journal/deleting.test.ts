import assert from "node:assert/strict";
import fs, { closeSync, existsSync, fstatSync, lstatSync, openSync, writeSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { EventRecord } from "../../src/journal/stretch.ts";
import { line, type Reader, segmentName, TestJournal } from "../helpers/journal.ts";
import { waitFor } from "../helpers/wait.ts";

const SEGMENT = segmentName(100);
const FIRST = line({ user: "first" });
const SECOND = line({ user: "second" });

/** What is done between the steps of a deletion. */
const MOMENTS = ["before rename", "after rename", "before unlink", "after unlink"] as const;
type Moment = (typeof MOMENTS)[number];

let journal: TestJournal;

beforeEach(() => {
  journal = new TestJournal();
});
afterEach(() => journal.remove());

/** Calls back at each moment of the deletions that `work` makes. */
function during<T>(callback: (moment: Moment) => void, work: () => T): T {
  const { renameSync, unlinkSync } = fs;
  fs.renameSync = (...args) => {
    callback("before rename");
    renameSync(...args);
    callback("after rename");
  };
  fs.unlinkSync = (path) => {
    callback("before unlink");
    unlinkSync(path);
    callback("after unlink");
  };
  syncBuiltinESMExports();
  try {
    return work();
  } finally {
    Object.assign(fs, { renameSync, unlinkSync });
    syncBuiltinESMExports();
  }
}

/** A writer that has opened the segment, with the plugin's check after the write: the present one's, or the former one's. */
class Writer {
  readonly #path = journal.file(SEGMENT);
  #file = openSync(this.#path, "a");

  write(): void {
    writeSync(this.#file, SECOND);
  }

  check(by: "path" | "links"): void {
    const { ino, nlink } = fstatSync(this.#file, { bigint: true });
    const isThere =
      by === "links" ? nlink > 0n : lstatSync(this.#path, { bigint: true, throwIfNoEntry: false })?.ino === ino;
    closeSync(this.#file);
    if (isThere) return;
    this.#file = openSync(this.#path, "a");
    this.write();
    closeSync(this.#file);
  }
}

/** A reader that has read the one record there is, and answered it. */
async function past(): Promise<Reader> {
  journal.append(SEGMENT, FIRST);
  const reader = await journal.read();
  const [record] = reader.records as [EventRecord];
  reader.tail.answer(record.stretch, record.index);
  return reader;
}

function remove({ directory }: Reader): boolean {
  const segment = directory.segments.get(SEGMENT);
  assert.ok(segment !== undefined);
  return directory.remove(segment);
}

describe("a segment that is deleted while somebody writes to it", () => {
  for (const [at, writes] of MOMENTS.entries()) {
    for (const checks of MOMENTS.slice(at)) {
      it(`loses nothing when the write is ${writes} and the check ${checks}`, async () => {
        const reader = await past();
        const writer = new Writer();
        const steps = [
          { when: writes, step: () => writer.write() },
          { when: checks, step: () => writer.check("path") },
        ];
        during(
          (moment) => {
            while (steps[0]?.when === moment) steps.shift()?.step();
          },
          () => remove(reader),
        );
        // What was written to is not unlinked, so those moments do not come.
        for (const { step } of steps) step();
        await waitFor("the record", () => reader.users.includes("second"), 2_000);
        if (!writes.endsWith("unlink")) assert.equal(reader.tail.counters.lostBytes, 0);
      });
    }
  }

  for (const writes of MOMENTS) {
    it(`loses nothing uncounted of a plugin that looks at the links only, when it writes ${writes}`, async () => {
      const reader = await past();
      const writer = new Writer();
      during(
        (moment) => {
          if (moment !== writes) return;
          writer.write();
          writer.check("links");
        },
        () => remove(reader),
      );
      await waitFor(
        "the record, or its loss",
        () =>
          reader.users.includes("second") ||
          (writes === "before unlink" && reader.tail.counters.lostBytes === SECOND.length),
      );
      assert.equal(reader.users.includes("second"), writes !== "before unlink");
    });
  }

  it("is another file when a writer has made the name anew, and both are read", async () => {
    const reader = await past();
    const writer = new Writer();
    during(
      (moment) => {
        if (moment !== "after rename") return;
        writer.write();
        journal.append(SEGMENT, line({ user: "third" }));
        writer.check("path");
      },
      () => assert.equal(remove(reader), false),
    );
    await waitFor("both", () => reader.users.includes("second") && reader.users.includes("third"));
    assert.equal(reader.users.filter((user) => user === "first").length, 1, "the old one goes on where it was");
    assert.equal(reader.directory.segments.size, 2);
  });

  it("is found by a daemon that starts after a kill between the steps, and goes on where it was", async () => {
    const reader = await past();
    const cursor = reader.tail.cursor();
    const writer = new Writer();
    assert.throws(
      () =>
        during(
          (moment) => {
            if (moment !== "after rename") return;
            writer.write();
            throw new Error("killed");
          },
          () => {
            remove(reader);
            throw new Error("killed");
          },
        ),
      /killed/,
    );
    assert.equal(existsSync(journal.file(SEGMENT)), false);
    journal.close();
    const again = await journal.read(cursor);
    assert.deepEqual(again.users, ["second"]);
    assert.equal(again.directory.segments.size, 1);
  });
});
