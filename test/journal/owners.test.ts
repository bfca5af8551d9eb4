import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Owners, uidsOfUsers } from "../../src/journal/owners.ts";
import { OWN_UID, STRANGE_UID } from "../helpers/journal.ts";

const YEAR_MS = 365 * 24 * 60 * 60_000;

describe("mail users", () => {
  it("are named, or numbered", async () => {
    assert.deepEqual(await uidsOfUsers(["root", 5000, "5001"]), [0, 5000, 5001]);
  });

  it("that the system does not know are an error with the remedy", async () => {
    await assert.rejects(uidsOfUsers(["no-such-user"]), {
      code: "ERR_MAIL_USER",
      message: /mail user "no-such-user": this system knows no such user\. Name the user that Dovecot delivers as/,
    });
    await assert.rejects(uidsOfUsers(["--help"]), { code: "ERR_MAIL_USER" });
  });
});

describe("whom the owner of a segment speaks for", () => {
  it("is everybody for root, the daemon's own user and the mail users", () => {
    const owners = new Owners([5000]);
    for (const uid of [0, OWN_UID, 5000]) assert.ok(owners.speaksForAll(uid));
    assert.ok(!owners.speaksForAll(5001));
  });

  it("is learned from the system", async () => {
    const owners = new Owners([]);
    assert.equal(owners.knows(0), false);
    assert.equal(await owners.learn(0), true);
    assert.equal(owners.knows(0), true);
    assert.equal(owners.nameOf(0), "root");
    await owners.learn(STRANGE_UID);
    assert.equal(owners.knows(STRANGE_UID), true);
    assert.equal(owners.nameOf(STRANGE_UID), undefined);
  });

  it("is believed for ten minutes, however the clock is set meanwhile", async (t) => {
    const owners = new Owners([]);
    await owners.learn(0);
    const later = performance.now() + 11 * 60_000;
    t.mock.timers.enable({ apis: ["Date"], now: Date.now() + YEAR_MS });
    assert.equal(owners.knows(0), true, "set ahead");
    t.mock.timers.setTime(0);
    t.mock.method(performance, "now", () => later);
    assert.equal(owners.knows(0), false, "set back");
  });

  it("is asked once at a time, however many want to know", async () => {
    const owners = new Owners([]);
    assert.equal(owners.learn(0), owners.learn(0));
    await owners.learn(0);
  });

  it("is not known when the system gives no answer, and asked again later", async () => {
    const owners = new Owners([]);
    const path = process.env["PATH"];
    process.env["PATH"] = "/nonexistent";
    try {
      assert.equal(await owners.learn(0), false);
    } finally {
      process.env["PATH"] = path;
    }
    assert.equal(owners.knows(0), false);
    assert.equal(await owners.learn(0), true);
  });
});
