import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { MemcachedError } from "../../../src/protocols/memcached/errors.ts";
import { MAX_LINE_BYTES, ResponseParser } from "../../../src/protocols/memcached/parser.ts";

type Event = [string, ...unknown[]];

function collect(options: { maxValueSize?: number } = {}): { events: Event[]; parser: ResponseParser } {
  const events: Event[] = [];
  const parser = new ResponseParser(
    {
      onValue: ({ key, flags, cas, value }) => events.push(["value", key, flags, cas, value?.toString("hex")]),
      onReply: ({ type, text }) => events.push([type, text]),
    },
    options,
  );
  return { events, parser };
}

function parse(...chunks: (string | Buffer)[]): Event[] {
  const { events, parser } = collect();
  for (const chunk of chunks) {
    parser.feed(Buffer.from(chunk));
  }
  return events;
}

const isGarbage = (error: unknown): boolean =>
  error instanceof MemcachedError && error.code === "ERR_MEMCACHED_PROTOCOL" && error.canRetry;

const CONVERSATION = Buffer.from(
  "VALUE a 0 4\r\n\r\n\r\n\r\nVALUE ключ 4294967295 0 18446744073709551615\r\n\r\nEND\r\nSTORED\r\n" +
    "NOT_STORED\r\nEXISTS\r\nNOT_FOUND\r\nDELETED\r\nERROR\r\nCLIENT_ERROR bad data chunk\r\n" +
    "SERVER_ERROR out of memory\r\nVERSION 1.6.18\r\nVALUE b 1 5\r\nEND\r\n\r\nEND\r\n",
);
const MEANING: Event[] = [
  ["value", "a", 0, undefined, "0d0a0d0a"],
  ["value", "ключ", 4_294_967_295, "18446744073709551615", ""],
  ["end", ""],
  ["stored", ""],
  ["not-stored", ""],
  ["exists", ""],
  ["not-found", ""],
  ["deleted", ""],
  ["error", ""],
  ["client-error", "bad data chunk"],
  ["server-error", "out of memory"],
  ["version", "1.6.18"],
  ["value", "b", 1, undefined, "454e440d0a"],
  ["end", ""],
];

describe("the parser of memcached's answers", () => {
  it("reads every kind of line, and values with any bytes in them", () => {
    assert.deepEqual(parse(CONVERSATION), MEANING);
  });

  it("reads the same however the bytes are split", () => {
    for (let at = 0; at <= CONVERSATION.length; at++) {
      assert.deepEqual(parse(CONVERSATION.subarray(0, at), CONVERSATION.subarray(at)), MEANING, `split at ${at}`);
    }
    assert.deepEqual(parse(...Array.from(CONVERSATION, (byte) => Buffer.from([byte]))), MEANING);
    fc.assert(
      fc.property(fc.array(fc.nat(CONVERSATION.length)), (cuts) => {
        const sorted = [0, ...cuts.toSorted((a, b) => a - b), CONVERSATION.length];
        const chunks = sorted.slice(1).map((end, index) => CONVERSATION.subarray(sorted[index], end));
        assert.deepEqual(parse(...chunks), MEANING);
      }),
    );
  });

  it("gives back any value", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5000 }), fc.nat(3000), (value, cut) => {
        const bytes = Buffer.concat([Buffer.from(`VALUE k 7 ${value.length}\r\n`), value, Buffer.from("\r\nEND\r\n")]);
        const expected = [
          ["value", "k", 7, undefined, Buffer.from(value).toString("hex")],
          ["end", ""],
        ];
        assert.deepEqual(parse(bytes.subarray(0, cut), bytes.subarray(cut)), expected);
      }),
    );
  });

  it("says whether it stands in the middle of something", () => {
    const { parser } = collect();
    assert.equal(parser.midway, false);
    for (const [chunk, midway] of [
      ["EN", true],
      ["D\r\n", false],
      ["VALUE a 0 1\r\n", true],
      ["x\r\n", false],
    ] as const) {
      parser.feed(Buffer.from(chunk));
      assert.equal(parser.midway, midway, chunk);
    }
  });

  const garbage = [
    "HTTP/1.1 400 Bad Request\r\n",
    "\r\n",
    "\n",
    "END\n",
    "end\r\n",
    "END \r\n",
    "VERSION\r\n",
    "VALUE\r\n",
    "VALUE \r\n",
    "VALUES a 0 1\r\n",
    "VALUE a\r\n",
    "VALUE a 0\r\n",
    "VALUE a 0 \r\n",
    "VALUE  0 1\r\n",
    "VALUE a 0 -1\r\n",
    "VALUE a -1 1\r\n",
    "VALUE a 4294967296 1\r\nx\r\n",
    "VALUE a 0 99999999999\r\n",
    "VALUE a 0 1x\r\nx\r\n",
    "VALUE a 0 1 \r\nx\r\n",
    "VALUE a 0 1 x\r\nx\r\n",
    "VALUE a 0 1 1 1\r\nx\r\n",
    "VALUE a 0 1 123456789012345678901\r\nx\r\n",
    "VALUE a 0 1\r\nxy\r\n",
    "VALUE a 0 1\r\nx\n\n",
    `VALUE ${"k".repeat(251)} 0 1\r\nx\r\n`,
    "x".repeat(MAX_LINE_BYTES),
    `SERVER_ERROR ${"x".repeat(MAX_LINE_BYTES)}\r\n`,
  ];
  for (const bytes of garbage) {
    it(`refuses ${JSON.stringify(bytes.slice(0, 50))}, and everything after it`, () => {
      const { events, parser } = collect();
      assert.throws(() => parser.feed(Buffer.from(bytes)), isGarbage);
      assert.throws(() => parser.feed(Buffer.from("END\r\n")), isGarbage);
      assert.deepEqual(events, []);
    });
  }

  it("passes over values over the limit, wherever they stand, and reads what is between them", () => {
    const values = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 });
    fc.assert(
      fc.property(values, fc.nat(40), fc.array(fc.nat(600)), (sent, maxValueSize, cuts) => {
        const items = sent.flatMap((value, index) => [
          Buffer.from(`VALUE k${index} 7 ${value.length} ${index}\r\n`),
          value,
          Buffer.from("\r\n"),
        ]);
        const bytes = Buffer.concat([...items, Buffer.from("END\r\n")]);
        const { events, parser } = collect({ maxValueSize });
        const sorted = [0, ...cuts.toSorted((a, b) => a - b), bytes.length];
        for (const [index, end] of sorted.slice(1).entries()) parser.feed(bytes.subarray(sorted[index], end));
        const expected = sent.map((value, index) => {
          const text = value.length > maxValueSize ? undefined : Buffer.from(value).toString("hex");
          return ["value", `k${index}`, 7, String(index), text];
        });
        assert.deepEqual(events, [...expected, ["end", ""]]);
        assert.deepEqual([parser.midway, parser.skipping], [false, false]);
      }),
      { numRuns: 1000 },
    );
  });

  it("holds nothing of a value over the limit, and says how long it is", () => {
    const sizes: number[] = [];
    const parser = new ResponseParser({ onValue: ({ size }) => sizes.push(size), onReply: () => {} });
    const chunk = Buffer.alloc(64 * 1024);
    const size = 4_096 * chunk.length;
    parser.feed(Buffer.from(`VALUE a 0 ${size}\r\n`));
    const before = process.memoryUsage().arrayBuffers;
    for (let sent = 0; sent < size; sent += chunk.length) {
      assert.ok(parser.skipping);
      parser.feed(chunk);
    }
    assert.ok(process.memoryUsage().arrayBuffers - before < 4_000_000);
    parser.feed(Buffer.from("\r\nVALUE b 0 9999999999\r\n"));
    assert.ok(parser.skipping);
    assert.deepEqual(sizes, [size]);
  });

  it("refuses a value over the limit that does not end where it says", () => {
    const { events, parser } = collect({ maxValueSize: 2 });
    assert.throws(() => parser.feed(Buffer.from("VALUE a 0 3\r\nabcd\r\n")), isGarbage);
    assert.deepEqual(events, []);
  });

  it("does nothing with garbage but refuse it", () => {
    const word = fc.constantFrom("VALUE ", "a ", "0 ", "3", "\r\n", "END", "STORED", "VERSION ", "\n", " ", "-1", "\r");
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 300 }).map((part) => Buffer.from(part)),
      fc.array(word, { maxLength: 30 }).map((words) => Buffer.from(words.join(""))),
    );
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 5 }), (chunks) => {
        const { parser } = collect();
        try {
          for (const chunk of chunks) {
            parser.feed(chunk);
          }
        } catch (error) {
          assert.ok(isGarbage(error), String(error));
        }
      }),
      { numRuns: 1000 },
    );
  });
});
