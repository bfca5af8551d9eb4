import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { decodeNotification } from "../../../../src/destinations/openchange/codec/extended.ts";
import { decodeResolverRecord } from "../../../../src/destinations/openchange/codec/resolver-record.ts";
import { decodeSession } from "../../../../src/destinations/openchange/codec/session.ts";
import { decodeSubscriptions } from "../../../../src/destinations/openchange/codec/subscription.ts";
import { FrameDecoder } from "../../../../src/protocols/sp/frame.ts";

const text = readFileSync(new URL("../../../../docs/openchange-wire.md", import.meta.url), "utf8");
/** A line of JSON in backticks, and the block of hex with remarks below it. */
const examples = [...text.matchAll(/^`(\{.*\})`:\n\n```\n([^`]*)```$/gm)];

function hexOf(block: string): Buffer {
  const hex = block
    .split("\n")
    .map((line) => line.split("   ")[0] ?? "")
    .join("");
  return Buffer.from(hex.replaceAll(" ", ""), "hex");
}

function decode(value: object, bytes: Buffer): object {
  if ("hosts" in value) return { hosts: decodeResolverRecord(bytes) };
  if ("uuid" in value) return decodeSession(bytes);
  if ("subscriptions" in value) return { subscriptions: decodeSubscriptions(bytes) };
  const { type, ...rest } = decodeNotification(bytes);
  return "type" in value ? { type, ...rest } : rest;
}

describe("docs/openchange-wire.md", () => {
  it("has an example of each record", () => assert.equal(examples.length, 6));

  for (const [, json = "", block = ""] of examples) {
    it(`is right about ${json}`, () => {
      const value: object = JSON.parse(json);
      assert.deepEqual(decode(value, hexOf(block)), value);
    });
  }

  for (const transport of ["tcp", "ipc"] as const) {
    it(`is right about a frame over ${transport}`, () => {
      const line = new RegExp(String.raw`^([0-9a-f ]+?) +${transport.toUpperCase()}$`, "m").exec(text)?.[1] ?? "";
      const messages: Buffer[] = [];
      const decoder = new FrameDecoder(transport);
      decoder.feed(Buffer.from(line.replaceAll(" ", ""), "hex"), (message) => messages.push(message));
      assert.equal(decoder.buffered, 0);
      assert.deepEqual(
        messages.map((message) => decodeNotification(message)),
        [{ type: "NewMail", backend: "sogo", eml: "1.eml", folder: "INBOX", separator: "/" }],
      );
    });
  }
});
