import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { pino } from "pino";
import { Owners, uidOfMailUser, type UserNames } from "../../src/journal/owners.ts";
import { OWN_UID, STRANGE_UID } from "../helpers/journal.ts";
import { TestNameService } from "../helpers/name-service.ts";

const YEAR_MS = 365 * 24 * 60 * 60_000;
const log = pino({ level: "silent" });

/** Whether the uid speaks for the user, when the system has been asked everything. */
async function speaks(userNames: UserNames, uid: number, user: string): Promise<boolean> {
  const owners = new Owners([], userNames);
  await owners.learn(uid);
  if (!owners.speaksFor(uid, user)) await owners.reconsider(uid, [user]);
  return owners.speaksFor(uid, user);
}

describe("a mail user", () => {
  it("is named, or numbered", async () => {
    assert.equal(await uidOfMailUser("root"), 0);
    assert.equal(await uidOfMailUser(5000), 5000);
    assert.equal(await uidOfMailUser("5001"), 5001);
  });

  it("that the system does not know is an error with the remedy", async () => {
    await assert.rejects(uidOfMailUser("no-such-user"), {
      code: "ERR_MAIL_USER",
      message: /mail user "no-such-user": this system knows no such user\. Name the user that Dovecot delivers as/,
    });
    await assert.rejects(uidOfMailUser("--help"), { code: "ERR_MAIL_USER" });
  });
});

describe("whom the owner of a segment speaks for", () => {
  it("is everybody for root, the daemon's own user and the mail users", async () => {
    const owners = new Owners([5000, "5002", "root"]);
    await owners.resolve(log);
    for (const uid of [0, OWN_UID, 5000, 5002]) assert.ok(owners.speaksForAll(uid));
    assert.ok(!owners.speaksForAll(5001));
  });

  it("is learned from the system", async () => {
    const owners = new Owners([]);
    assert.equal(owners.knows(STRANGE_UID), false);
    assert.equal(await owners.learn(STRANGE_UID), true);
    assert.equal(owners.knows(STRANGE_UID), true);
    assert.equal(owners.nameOf(STRANGE_UID), undefined);
  });

  it("is believed for ten minutes, however the clock is set meanwhile", async (t) => {
    const owners = new Owners([]);
    await owners.learn(1);
    const later = performance.now() + 11 * 60_000;
    t.mock.timers.enable({ apis: ["Date"], now: Date.now() + YEAR_MS });
    assert.equal(owners.knows(1), true, "set ahead");
    t.mock.timers.setTime(0);
    t.mock.method(performance, "now", () => later);
    assert.equal(owners.knows(1), false, "set back");
  });

  it("is asked once at a time, however many want to know", async () => {
    const owners = new Owners([]);
    assert.equal(owners.learn(STRANGE_UID), owners.learn(STRANGE_UID));
    await owners.learn(STRANGE_UID);
  });
});

describe("the name service", () => {
  let names: TestNameService;
  beforeEach(() => {
    names = new TestNameService({ jdoe: 1000, "EXAMPLE\\anna": 20_000, "EXAMPLE+jdoe": 20_001 });
  });
  afterEach(() => names.remove());

  it("that gives no answer is no answer, and is asked again later", async () => {
    const owners = new Owners(["vmail"]);
    names.answers(false);
    await owners.resolve(log);
    assert.equal(await owners.learn(1000), false);
    assert.equal(owners.knows(1000), false);
    assert.equal(await owners.reconsider(1000, ["jdoe"]), "unanswered");
    names.answers(true);
    assert.equal(await owners.learn(1000), true);
    assert.ok(owners.speaksFor(1000, "jdoe"));
  });

  it("may get a mail user later: its first segment is believed", async () => {
    const owners = new Owners(["vmail"]);
    await owners.resolve(log);
    assert.deepEqual(owners.unknownMailUsers, ["vmail"]);
    names.set({ vmail: 5000 });
    await owners.learn(5000);
    assert.ok(owners.speaksForAll(5000));
    assert.deepEqual(owners.unknownMailUsers, []);
  });

  it("may get it after the uid was seen, and under a name that is not the uid's first", async () => {
    const owners = new Owners(["vmail"]);
    await owners.resolve(log);
    assert.equal(await owners.reconsider(5000, ["jdoe"]), "answered");
    assert.equal(owners.speaksForAll(5000), false);
    names.set({ mail: 5000, vmail: 5000 });
    const other = new Owners(["vmail"]);
    await other.resolve(log);
    assert.ok(other.speaksForAll(5000));
    await other.learn(5000);
    assert.ok(other.speaksForAll(5000));
  });

  it("is not asked for each record: once in 5 s for a uid, and once in 5 s for all mail users", async (t) => {
    const asked = (name: string): number => names.asked.filter((other) => other === name).length;
    const owners = new Owners(["vmail"]);
    // No time passes but what the test lets pass.
    const now = performance.now();
    t.mock.method(performance, "now", () => now);
    await owners.resolve(log);
    await owners.reconsider(1001, ["victim"]);
    const [uid, vmail] = [asked("1001"), asked("vmail")];
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const afterFiveSeconds = async (questions: readonly Promise<unknown>[]): Promise<void> => {
      const state = { answered: false };
      void Promise.all(questions).then(() => (state.answered = true));
      for (let turn = 0; turn < 1000; turn++) await new Promise(setImmediate);
      assert.equal(state.answered, false, "not before");
      while (!state.answered) {
        // Not while the system is asked: that would be too long for an answer.
        if (!process.getActiveResourcesInfo().includes("ProcessWrap")) t.mock.timers.tick(5_000);
        await new Promise(setImmediate);
      }
    };
    // The others wait for the mail users alone, so these are asked for once for all of them.
    await afterFiveSeconds([1002, 1003, 1004].map((other) => owners.reconsider(other, ["victim"])));
    assert.deepEqual([asked("1001"), asked("1002"), asked("vmail")], [uid, 1, vmail + 1]);
    await afterFiveSeconds(Array.from({ length: 1000 }, (_, record) => owners.reconsider(1001, [`victim${record}`])));
    assert.deepEqual([asked("1001"), asked("vmail")], [uid + 1, vmail + 2]);
    assert.equal(names.asked.filter((name) => /^victim\d/.test(name)).length, 16);
  });

  it("bounds how many uids are asked for at once", async () => {
    const owners = new Owners([]);
    const verdicts = Array.from({ length: 100 }, (_, uid) => owners.reconsider(30_000 + uid, ["x"]));
    const skipped = (await Promise.all(verdicts)).filter((verdict) => verdict === "skipped");
    assert.equal(skipped.length, 36);
  });

  it("says which names a uid has, whatever their form", async () => {
    assert.ok(await speaks({}, 1000, "jdoe"));
    assert.ok(await speaks({}, 1000, "JDoe"));
    assert.ok(await speaks({}, 20_000, "EXAMPLE\\anna"));
    assert.ok(await speaks({}, 20_000, "example\\Anna"));
    assert.ok(await speaks({}, 20_001, "EXAMPLE+jdoe"));
    // As winbind and sssd have it: the same user by several names.
    names.set({ "EXAMPLE\\anna": 20_000, "anna@example.com": 20_000, anna: 1001 });
    assert.ok(await speaks({}, 20_000, "anna@example.com"));
    assert.equal(await speaks({}, 20_000, "anna"), false, "another user of the system");
    assert.equal(await speaks({}, 1001, "EXAMPLE\\anna"), false);
    assert.equal(await speaks({}, 1001, "anna@example.com"), false);
  });

  it("does not take a user of Dovecot whose name is a number for a uid", async () => {
    for (const user of ["1000", "+1000", " 1000"]) {
      assert.equal(await speaks({}, 1000, user), false);
    }
    assert.ok(!names.asked.includes("+1000"));
  });

  it("is asked again for what it has confirmed when its answer is old", async () => {
    names.set({ anna: 1001, "anna@example.com": 1001 });
    const owners = new Owners([]);
    await owners.reconsider(1001, ["anna@example.com"]);
    assert.ok(owners.speaksFor(1001, "anna@example.com"));
    names.set({ anna: 1001, "anna@example.com": 1002 });
    await owners.learn(1001);
    assert.equal(owners.speaksFor(1001, "anna@example.com"), false);
    assert.ok(owners.speaksFor(1001, "anna"));
  });

  it("that does not find a user for a while takes nothing from that user, until the uid is another's", async () => {
    names.set({ anna: 1001, "anna@example.com": 1001 });
    const owners = new Owners([]);
    await owners.learn(1001);
    await owners.reconsider(1001, ["anna@example.com"]);
    names.set({});
    await owners.learn(1001);
    for (const user of ["anna", "anna@example.com"]) assert.ok(owners.speaksFor(1001, user), user);
    names.set({ berta: 1001, "anna@example.com": 1002 });
    await owners.learn(1001);
    for (const user of ["anna", "anna@example.com"]) assert.ok(!owners.speaksFor(1001, user), user);
    assert.ok(owners.speaksFor(1001, "berta"));
  });

  it("gives a user without a domain the names that the configuration says, and nobody else", async () => {
    const userNames: UserNames = { "*": ["*@example.com", "EXAMPLE\\*"], hans: "hans.meier@example.org" };
    names.set({ jdoe: 1000, "EXAMPLE+jdoe": 20_001, "jdoe@other": 20_002, hans: 1003, "EXAMPLE\\jdoe2": 20_004 });
    assert.ok(await speaks(userNames, 1000, "jdoe"));
    assert.ok(await speaks(userNames, 1000, "jdoe@example.com"));
    assert.ok(await speaks(userNames, 1000, "JDOE@Example.com"));
    assert.ok(await speaks(userNames, 1000, "EXAMPLE\\jdoe"));
    for (const user of ["jdoe@example.org", "jdoe@example.com.evil", "x@jdoe@example.com", "OTHER\\jdoe", "jdoe@"]) {
      assert.equal(await speaks(userNames, 1000, user), false, user);
    }
    // Of the same local part, but other users of the system.
    for (const uid of [20_001, 20_002, 20_004]) {
      assert.equal(await speaks(userNames, uid, "jdoe@example.com"), false, String(uid));
      assert.equal(await speaks(userNames, uid, "jdoe"), false, String(uid));
    }
    assert.ok(await speaks(userNames, 1003, "hans.meier@example.org"));
    assert.ok(await speaks(userNames, 1003, "hans@example.com"));
    assert.equal(await speaks(userNames, 1000, "hans.meier@example.org"), false);
  });

  it("gives a user of a realm the names that the configuration says for that realm", async () => {
    const userNames: UserNames = { "EXAMPLE+*": ["*@example.com", "*"] };
    names.set({ jdoe: 1000, "EXAMPLE+jdoe": 20_001, "OTHER+jdoe": 20_002 });
    assert.ok(await speaks(userNames, 20_001, "jdoe@example.com"));
    assert.ok(await speaks(userNames, 20_001, "jdoe"));
    for (const uid of [1000, 20_002]) assert.equal(await speaks(userNames, uid, "jdoe@example.com"), false);
  });

  it("advises what helps: never to name a mail user who is named", async () => {
    const owners = new Owners(["vmail", "dovemail"]);
    names.set({ dovemail: 5000, jdoe: 1000 });
    await owners.resolve(log);
    await owners.learn(1000);
    assert.equal(
      owners.advice(1000, "jdoe@example.com"),
      "If Dovecot delivers as uid 1000, journal.mail_users names vmail, which this system does not know: make that user with uid 1000, or name jdoe there and restart the daemon. If jdoe@example.com is the system's user jdoe, say so in journal.user_names",
    );
    const others = new Owners(["dovemail"]);
    await others.resolve(log);
    await others.learn(5001);
    assert.equal(
      others.advice(5001, "jdoe"),
      "If Dovecot delivers as uid 5001, add 5001 to journal.mail_users and restart the daemon",
    );
  });
});
