import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { asksFor, ASKED_BY } from "../../../src/destinations/openchange/asks-for.ts";
import { notificationFlags, type Notification, type Subscription } from "../../../src/index.ts";

type Type = Notification["type"];
type Flag = keyof typeof notificationFlags;

const TYPES = Object.keys(ASKED_BY) as Type[];
const [INBOX, WORK, NONE] = ["0000000000000001", "f503000000000002", "0000000000000000"] as const;
const subscription = (flags: readonly Flag[], fid: string = NONE): Subscription => ({
  handle: 1,
  flags: flags.reduce((sum, name) => sum | notificationFlags[name], 0),
  fid,
  mid: NONE,
  properties: [],
});
const asks = (flags: readonly Flag[], fid: string, type: Type, now?: string, old?: string): boolean =>
  asksFor(subscription(flags, fid), type, { now, old });

describe("a subscription", () => {
  test("asks by its flags", () => {
    const told: Readonly<Record<Flag, readonly Type[]>> = {
      WholeStore: [],
      NewMail: ["NewMail"],
      ObjectCreated: ["NewMail"],
      ObjectDeleted: ["ObjectDeleted"],
      ObjectModified: ["ObjectModified"],
      ObjectMoved: ["ObjectMoved"],
      ObjectCopied: ["ObjectCopied"],
      SearchCompleted: [],
      TableModified: TYPES,
    };
    for (const [name, types] of Object.entries(told) as [Flag, readonly Type[]][]) {
      for (const flags of [[name], [name, "WholeStore"]] as Flag[][]) {
        const asked = TYPES.filter((type) => asks(flags, NONE, type, INBOX));
        assert.deepEqual(asked, types, flags.join("|"));
      }
    }
  });

  test("for one folder asks for no other, unless it is for the whole store", () => {
    assert.equal(asks(["NewMail"], INBOX, "NewMail", INBOX), true);
    assert.equal(asks(["NewMail"], INBOX, "NewMail", WORK), false);
    assert.equal(asks(["NewMail"], INBOX, "NewMail", undefined), false, "a folder that the server does not have");
    assert.equal(asks(["NewMail", "WholeStore"], INBOX, "NewMail", WORK), true);
    assert.equal(asks(["NewMail"], NONE, "NewMail", undefined), true);
  });

  test("for one folder hears of a move out of it and of a move into it", () => {
    for (const flag of ["ObjectMoved", "TableModified"] as const) {
      assert.equal(asks([flag], INBOX, "ObjectMoved", WORK, INBOX), true);
      assert.equal(asks([flag], INBOX, "ObjectMoved", INBOX, WORK), true);
      assert.equal(asks([flag], INBOX, "ObjectMoved", WORK, WORK), false);
    }
  });

  test("for one folder hears of a copy of what is in it; its table changes only by a copy into it", () => {
    assert.equal(asks(["ObjectCopied"], INBOX, "ObjectCopied", WORK, INBOX), true);
    assert.equal(asks(["TableModified"], INBOX, "ObjectCopied", WORK, INBOX), false);
    assert.equal(asks(["TableModified"], INBOX, "ObjectCopied", INBOX, WORK), true);
  });

  test("asks for more with more flags, and for no more with a folder, whatever they are", () => {
    const flags = fc.nat(0xffff);
    const id = fc.constantFrom(NONE, INBOX, WORK);
    const folder = fc.constantFrom(INBOX, WORK, undefined);
    fc.assert(
      fc.property(flags, flags, id, fc.constantFrom(...TYPES), folder, folder, (one, other, fid, type, now, old) => {
        const by = (sum: number, of = fid): boolean =>
          asksFor({ ...subscription([], of), flags: sum }, type, { now, old });
        if (by(one)) assert.ok(by(one | other));
        if (by(one)) assert.ok(by(one, NONE));
        // Each bit on its own, then; WholeStore counts for every other.
        const whole = (one | other) & notificationFlags.WholeStore;
        assert.equal(by(one | other), by(one | whole) || by(other | whole));
      }),
    );
  });
});
