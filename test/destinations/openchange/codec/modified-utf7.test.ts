import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import iconv from "iconv-lite";
import { NotificationEncoder, type Notification } from "../../../../src/destinations/openchange/codec/extended.ts";
import { modifiedUtf7 } from "../../../../src/destinations/openchange/codec/modified-utf7.ts";
import { charset } from "../../../../src/destinations/openchange/codec/charset.ts";

const encode = (name: string): string => modifiedUtf7.encode(name, "folder").toString("latin1");

/** RFC 3501 §5.1.3, and nothing that it forbids. */
function decode(text: string): string {
  assert.match(text, /^[ -~]*$/);
  return text.replaceAll(/&([^-]*)-|&/g, (whole, base64: string | undefined) => {
    if (whole === "&-") return "&";
    const bytes = Buffer.from((base64 ?? "").replaceAll(",", "/"), "base64");
    const canonical = bytes.toString("base64").replaceAll("/", ",").replaceAll("=", "");
    if (whole !== `&${canonical}-`) assert.fail(`${whole} is not base64 with its end and without padding`);
    const part = bytes.swap16().toString("utf16le");
    if (/[ -~]/.test(part)) assert.fail(`${whole} has printable ASCII, which stands for itself`);
    return part;
  });
}

describe("modified UTF-7", () => {
  const names: readonly (readonly [name: string, encoded: string])[] = [
    ["", ""],
    ["INBOX", "INBOX"],
    ["INBOX/Work (2026) ~!+,-", "INBOX/Work (2026) ~!+,-"],
    ["Entwürfe", "Entw&APw-rfe"],
    ["Łódź", "&AUEA8w-d&AXo-"],
    ["R&D", "R&-D"],
    ["&", "&-"],
    ["&&", "&-&-"],
    ["é&é", "&AOk-&-&AOk-"],
    ["-é-", "-&AOk--"],
    // What looks encoded is a name like any other.
    ["&-", "&--"],
    ["Entw&APw-rfe", "Entw&-APw-rfe"],
    // RFC 3501 §5.1.3 and doveadm-mailbox(1) have these.
    ["~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"],
    ["台北日本語", "&U,BTF2XlZyyKng-"],
    ["🎉", "&2DzfiQ-"],
    ["a\u0000\t\u001f\u007fb", "a&AAAACQAfAH8-b"],
    ["\u0080\u00a0\ufeff\uffff", "&AIAAoP7,,,8-"],
  ];
  for (const [name, encoded] of names) {
    it(`of ${JSON.stringify(name)} is ${encoded}`, () => {
      assert.equal(encode(name), encoded);
      assert.equal(decode(encoded), name);
    });
  }

  it("is one and the same for no two names, and gives each back", () => {
    const unit = fc.constantFrom("&", "-", "a", ",", "/", "\u007f", "é", "日", "\ud83d\udc7e", "A", "+");
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: "binary" }), fc.string({ unit })), (name) => {
        assert.equal(decode(encode(name)), name);
        assert.equal(encode(name), iconv.encode(name, "utf-7-imap").toString("latin1"));
      }),
      { numRuns: 5_000 },
    );
  });

  it("has every character of Unicode beside others, and those of 16 bits between ASCII too", () => {
    for (let from = 0; from <= 0x10_ffff; from += 1_024) {
      if (from >= 0xd800 && from <= 0xdfff) continue;
      const characters = Array.from({ length: 1_024 }, (_, index) => String.fromCodePoint(from + index));
      for (const between of from < 0x1_0000 ? ["", "a&"] : [""]) {
        const name = characters.join(between);
        assert.ok(decode(encode(name)) === name, `from U+${from.toString(16)}, with "${between}" between`);
      }
    }
  });

  it("refuses half of a surrogate pair, which no mailbox has in its name", () => {
    for (const name of ["\ud800", "a\udc00", "\udc7e\ud83d", "x\ud83dx"]) {
      assert.throws(() => modifiedUtf7.encode(name, "old folder"), {
        code: "ERR_CHARSET",
        canRetry: false,
        message: /^old folder "[^"]*\\ud[^"]*" .* no mailbox/,
      });
    }
  });
});

function bytesOf(encoder: NotificationEncoder, notification: Notification): string {
  const payload = Buffer.alloc(encoder.encodedLength(notification));
  assert.equal(encoder.write(payload, 0, notification), payload.length);
  return payload.toString("hex");
}

function hex(text: string): string {
  return Buffer.from(text).toString("hex");
}

describe("notifications with folders in modified UTF-7", () => {
  const message = { backend: "Büro", eml: "1.eml", folder: "Entwürfe", separator: "/" };
  const old = { oldEml: "2.eml", oldFolder: "R&D/受信", oldSeparator: "." };
  const notifications: readonly Notification[] = [
    { type: "NewMail", ...message },
    { type: "ObjectDeleted", ...message },
    { type: "ObjectModified", ...message, flagsSet: [], flagsCleared: [] },
    { type: "ObjectMoved", ...message, ...old },
    { type: "ObjectCopied", ...message, ...old },
  ];
  for (const notification of notifications) {
    it(`${notification.type} has every folder so, and the backend in the dos charset`, () => {
      const bytes = bytesOf(new NotificationEncoder(charset(), modifiedUtf7), notification);
      const oldFolder = "oldFolder" in notification ? hex("2.eml\0R&-D/&U9dP4Q-\0.") : "";
      const flags = notification.type === "ObjectModified" ? "0000" : "";
      assert.equal(bytes.slice(6), `4281${hex("ro\u00001.eml\0Entw&APw-rfe\0/")}${flags}${oldFolder}`);
    });
  }

  it("are as given without being asked for", () => {
    const [newMail] = notifications;
    assert.ok(newMail !== undefined);
    assert.match(bytesOf(new NotificationEncoder(), newMail), new RegExp(`${hex("Entw")}81${hex("rfe\0/")}$`));
  });

  it("are byte for byte what OpenChange's own plugin sends", () => {
    const encoder = new NotificationEncoder(charset(), modifiedUtf7);
    const entwuerfe = { type: "NewMail", backend: "sogo", eml: "1.eml", folder: "Entwürfe", separator: "/" } as const;
    const bytes = "010200736f676f00312e656d6c00456e7477264150772d72666500";
    assert.equal(bytesOf(encoder, entwuerfe), `${bytes}2f`);
    assert.equal(bytesOf(encoder, { ...entwuerfe, separator: "." }), `${bytes}2e`);
  });
});
