import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import {
  decodeNewMail,
  encodeNewMail,
  NewMailEncoder,
  type NewMail,
} from "../../../../src/destinations/openchange/codec/newmail.ts";
import {
  decodeResolverRecord,
  encodeResolverRecord,
} from "../../../../src/destinations/openchange/codec/resolver-record.ts";
import { decodeSession, encodeSession } from "../../../../src/destinations/openchange/codec/session.ts";
import {
  decodeSubscriptions,
  encodeSubscriptions,
  type Subscription,
} from "../../../../src/destinations/openchange/codec/subscription.ts";

type Vector = { hex: string; error?: number } & (
  | ({ kind: "newmail" } & NewMail)
  | { kind: "resolver"; hosts: string[] }
  | { kind: "session"; uuid: string; cn: string }
  | { kind: "subscription"; subscriptions: Subscription[] }
);

const fixture = new URL("../../../fixtures/openchange-ndr.json", import.meta.url);
const vectors: Vector[] = JSON.parse(readFileSync(fixture, "utf8"));

describe("records made by OpenChange's own code", () => {
  for (const vector of vectors) {
    const { kind, hex, error, ...rest } = vector;
    it(`${kind} ${JSON.stringify(rest)}`, () => {
      switch (vector.kind) {
        case "newmail": {
          const { backend, eml, folder, separator } = vector;
          const mail = { backend, eml, folder, separator };
          if (error !== undefined) {
            assert.throws(() => encodeNewMail(mail), { code: "ERR_CHARSET" });
            const encoder = new NewMailEncoder();
            assert.throws(() => encoder.encodedLength(mail), { code: "ERR_CHARSET" });
            assert.throws(() => encoder.encodedLength(mail), { code: "ERR_CHARSET" });
            return;
          }
          assert.equal(encodeNewMail(mail).toString("hex"), hex);
          assert.deepEqual(decodeNewMail(Buffer.from(hex, "hex")), mail);
          return;
        }
        case "resolver":
          assert.equal(encodeResolverRecord(vector.hosts).toString("hex"), hex);
          assert.deepEqual(decodeResolverRecord(Buffer.from(hex, "hex")), vector.hosts);
          return;
        case "session": {
          const session = { uuid: vector.uuid, cn: vector.cn };
          assert.equal(encodeSession(session).toString("hex"), hex);
          assert.deepEqual(decodeSession(Buffer.from(hex, "hex")), session);
          return;
        }
        case "subscription":
          assert.equal(encodeSubscriptions(vector.subscriptions).toString("hex"), hex);
          assert.deepEqual(decodeSubscriptions(Buffer.from(hex, "hex")), vector.subscriptions);
      }
    });
  }
});
