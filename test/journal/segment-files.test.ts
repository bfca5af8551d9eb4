import assert from "node:assert/strict";
import { appendFileSync, readSync, rmSync, statSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, it } from "node:test";
import { unreadIdentity } from "../../src/journal/identity.ts";
import type { Segment } from "../../src/journal/segment.ts";
import { SegmentFiles } from "../../src/journal/segment-files.ts";
import { line, noSegment, OWN_UID, segmentName, TestJournal } from "../helpers/journal.ts";

let journal: TestJournal;
let files: SegmentFiles;

beforeEach(() => {
  journal = new TestJournal();
  files = new SegmentFiles(journal.path, 2);
});
afterEach(() => {
  files.closeAll();
  journal.remove();
});

function write(bucket: number, text: string): Segment {
  const name = segmentName(bucket);
  writeFileSync(journal.file(name), text);
  const inode = statSync(journal.file(name), { bigint: true }).ino;
  return noSegment({ name, bucket, uid: OWN_UID, inode, identity: unreadIdentity(inode), size: text.length });
}

function textOf(file: number | "another" | undefined): string {
  assert.ok(typeof file === "number");
  const bytes = Buffer.alloc(1_000);
  return bytes.toString("utf8", 0, readSync(file, bytes, 0, bytes.length, 0));
}

describe("the open files of segments", () => {
  it("stay open, and the one that was opened first is closed for another", () => {
    const [first, second, third] = [write(1, "1\n"), write(2, "2\n"), write(3, "3\n")];
    for (const segment of [first, second]) files.open(segment);
    assert.equal(textOf(files.opened(first)), "1\n");
    files.open(third);
    assert.equal(files.opened(first), undefined);
    assert.deepEqual([textOf(files.opened(second)), textOf(files.opened(third))], ["2\n", "3\n"]);
    assert.equal(textOf(files.open(first)), "1\n", "it is opened again");
  });

  it("give a segment the identity of what it begins with, and know another file of its name", () => {
    const segment = write(1, line({ user: "a" }));
    files.open(segment);
    files.close(segment);
    const { identity } = segment;
    assert.notEqual(identity, unreadIdentity(segment.inode));
    assert.equal(files.confirm(segment, identity), identity);
    appendFileSync(journal.file(segment.name), line());
    assert.equal(files.confirm(segment, identity), identity, "it has grown");
    writeFileSync(journal.file(segment.name), `${"x".repeat(100)}\n`);
    assert.equal(files.confirm(segment, identity), undefined, "the same inode, and other bytes");
    assert.equal(files.open(segment), "another");
    assert.equal(files.opened(segment), undefined);
  });

  it("fail with the system's error for a file that is not there, of which nothing is known", () => {
    const segment = write(1, line());
    rmSync(journal.file(segment.name));
    assert.throws(() => files.open(segment), { code: "ENOENT" });
    assert.equal(files.confirm(segment, segment.identity), segment.identity);
  });
});
