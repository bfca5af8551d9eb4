import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { parseRecord } from "../../src/events/event.ts";
import { RecordScanner } from "../../src/events/record-scanner.ts";
import { LineReader, MAX_LINE } from "../../src/journal/line-reader.ts";
import { line } from "../helpers/journal.ts";

interface Line {
  readonly from: number;
  readonly to: number;
  /** Absent where it has no record. */
  readonly user?: string;
  readonly recordAt?: number;
  readonly fault?: string;
}

interface Read {
  readonly lines: readonly Line[];
  readonly at: number;
  readonly rest: number;
}

function read(text: string | Buffer, { skipping = false, scanner = new RecordScanner() } = {}): Read {
  const bytes = Buffer.from(text);
  // What follows is of an earlier chunk, and must not be looked at.
  const reader = new LineReader(Buffer.concat([bytes, Buffer.from(`\n${line({ user: "stale" })}`)]), scanner);
  reader.begin(bytes.length, skipping);
  const lines: Line[] = [];
  while (reader.next()) {
    const { from, to, event, recordAt, fault } = reader;
    lines.push({
      from,
      to,
      ...(event === undefined ? {} : { user: event.user, recordAt }),
      ...(fault === undefined ? {} : { fault: fault.code ?? fault.reason }),
    });
  }
  return { lines, at: reader.at, rest: reader.rest };
}

const A = line({ user: "a" });
const B = line({ user: "b" });
const TORN = A.slice(0, 30);

/** What stands on a line, without its newline: records, torn ones before others, garbage, nothing. */
const lineText = fc.oneof(
  fc.constantFrom("a", "anna", "\u00e9").map((user) => line({ user }).trimEnd()),
  fc.constantFrom("", TORN, `${TORN}${B.trimEnd()}`, '{"v":2}', "garbage", "{}", '{"v":1,"lost":1}'),
  fc.string({ unit: "binary-ascii" }).map((text) => text.replaceAll("\n", " ")),
);

/** A record with this many bytes more. */
const padded = (length: number): string => line({ pad: "" }).replace('"pad":""', `"pad":"${"x".repeat(length)}"`);

describe("the line reader", () => {
  it("says where each line and its record are, and what is no record", () => {
    const text = `${A}\n${TORN}${B}garbage\n`;
    const torn = A.length + 1;
    const garbage = torn + TORN.length + B.length;
    assert.deepEqual(read(text), {
      lines: [
        { from: 0, to: A.length, user: "a", recordAt: 0 },
        { from: A.length, to: torn },
        { from: torn, to: garbage, user: "b", recordAt: torn + TORN.length, fault: "ERR_RECORD_SYNTAX" },
        { from: garbage, to: text.length, fault: "it does not begin with {" },
      ],
      at: text.length,
      rest: 0,
    });
  });

  it("leaves a line without its end, and whatever comes after the chunk's", () => {
    assert.deepEqual(read(A + TORN), {
      lines: [{ from: 0, to: A.length, user: "a", recordAt: 0 }],
      at: A.length,
      rest: TORN.length,
    });
    assert.deepEqual(read(A.trimEnd()), { lines: [], at: 0, rest: A.length - 1 });
    assert.deepEqual(read(""), { lines: [], at: 0, rest: 0 });
  });

  it("takes the record at the end of what it skips, and does not call the rest of that line a fault", () => {
    const long = `${"x".repeat(100)}${B}`;
    assert.deepEqual(read(long + A, { skipping: true }).lines, [
      { from: 0, to: long.length, user: "b", recordAt: 100 },
      { from: long.length, to: long.length + A.length, user: "a", recordAt: long.length },
    ]);
    assert.deepEqual(read(`garbage\n${A}`, { skipping: true }).lines[0], { from: 0, to: 8 });
    assert.equal(read(B, { skipping: true }).lines[0]?.user, "b", "the record may be all that is left of it");
  });

  it("skips what is too long at its last 64 KiB", () => {
    const bytes = Buffer.alloc(3 * MAX_LINE, "x");
    const reader = new LineReader(bytes);
    reader.begin(bytes.length);
    assert.equal(reader.next(), false);
    assert.equal(reader.rest, bytes.length);
    reader.skip();
    assert.deepEqual([reader.at, reader.rest, reader.skipping], [2 * MAX_LINE, MAX_LINE, true]);
  });

  it("has a record of 64 KiB, and none of a byte more", () => {
    const least = padded(0).length - 1;
    assert.deepEqual(read(padded(MAX_LINE - least)).lines[0]?.user, "jdoe");
    const [tooLong] = read(padded(MAX_LINE - least + 1)).lines;
    assert.deepEqual([tooLong?.user, tooLong?.fault], [undefined, `a line of more than ${MAX_LINE} bytes`]);
  });

  it("reads the same wherever the bytes are split between two chunks", () => {
    fc.assert(
      fc.property(fc.array(lineText, { maxLength: 8 }), fc.nat(), (texts, at) => {
        const bytes = Buffer.from(texts.map((text) => `${text}\n`).join(""));
        const whole = read(bytes);
        assert.equal(whole.at, bytes.length);
        const split = at % (bytes.length + 1);
        const first = read(bytes.subarray(0, split));
        const second = read(bytes.subarray(first.at)).lines.map(({ from, to, recordAt, ...others }) => ({
          from: from + first.at,
          to: to + first.at,
          ...others,
          ...(recordAt === undefined ? {} : { recordAt: recordAt + first.at }),
        }));
        assert.deepEqual([...first.lines, ...second], whole.lines);
      }),
    );
  });

  it("has each line once, in order, with the record that parseRecord makes of it", () => {
    fc.assert(
      fc.property(fc.array(lineText, { maxLength: 8 }), fc.boolean(), (texts, scans) => {
        const bytes = Buffer.from(texts.map((text) => `${text}\n`).join(""));
        const reader = new LineReader(bytes, scans ? new RecordScanner() : undefined);
        reader.begin(bytes.length);
        let at = 0;
        for (const text of texts) {
          assert.ok(reader.next());
          assert.deepEqual([reader.from, reader.to], [at, at + Buffer.byteLength(text) + 1]);
          at = reader.to;
          let whole: string | undefined;
          try {
            whole = parseRecord(text).user;
          } catch {
            whole = undefined;
          }
          if (whole !== undefined) {
            assert.deepEqual([reader.event?.user, reader.recordAt, reader.fault], [whole, reader.from, undefined]);
          } else if (text !== "") assert.ok(reader.fault !== undefined);
          if (reader.event !== undefined) {
            const record = bytes.toString("utf8", reader.recordAt, reader.to - 1);
            assert.equal(parseRecord(record).user, reader.event.user);
          }
        }
        assert.equal(reader.next(), false);
      }),
    );
  });
});
