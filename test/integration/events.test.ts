import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { ImapFlow } from "imapflow";
import { bindPull, createListener, decodeNotification, Resolver, type Notification } from "../../src/index.ts";
import { askStatus } from "../../src/status.ts";
import { deliverLda, mail, startDovecot, type RunningDovecot } from "../helpers/dovecot.ts";
import { startMemcached, type TestMemcached } from "../helpers/memcached.ts";
import {
  makeWorkspace,
  startDaemon,
  startListener,
  stateDirOf,
  writeConfig,
  type Received,
  type RunningDaemon,
  type RunningListener,
} from "../helpers/ocnotify.ts";
import { waitFor } from "../helpers/wait.ts";
import { openImap } from "../helpers/imap.ts";
import { destinationStatus } from "../helpers/status.ts";

const PATIENCE_MS = 30_000;

/** What a listener printed, without when. */
const facts = ({ at: _at, ...notification }: Received): Record<string, unknown> => notification;

const newMail = (uid: number, folder = "INBOX"): Record<string, unknown> => ({
  type: "NewMail",
  backend: "sogo",
  eml: `${uid}.eml`,
  folder,
  separator: "/",
});

const object = (type: string, uid: number, folder: string, more: object = {}): Record<string, unknown> => ({
  ...newMail(uid, folder),
  type,
  ...more,
});
const fromInbox = (uid: number): Record<string, unknown> => ({
  oldEml: `${uid}.eml`,
  oldFolder: "INBOX",
  oldSeparator: "/",
});

const marksOf = ({ received }: RunningListener): number => received.filter(({ folder }) => folder === "Mark").length;

describe("a change that a client makes through IMAP", () => {
  let memcached: TestMemcached;
  let dovecot: RunningDovecot;
  let imap: ImapFlow;
  let listener: RunningListener;
  let daemon: RunningDaemon;

  /** Stops the daemon that runs, and starts one with this destination. */
  const restart = async (destination: Record<string, unknown>): Promise<void> => {
    await quiet();
    await daemon.stop();
    await start({ openchange: destination });
  };
  const start = async (destinations: Record<string, unknown>): Promise<void> => {
    const config = writeConfig(dovecot.folder, { journal: { mail_users: ["nobody"] }, destinations });
    daemon = await startDaemon({ journal: dovecot.journalDir, stateDir: stateDirOf(dovecot.folder), config });
  };
  /** Waits until everything is answered. */
  const quiet = async (): Promise<void> => {
    const stateDir = stateDirOf(dovecot.folder);
    // What is done here marks the end of what was done before it.
    const { done } = await destinationStatus(stateDir);
    await imap.mailboxCreate(`Mark${Date.now()}`);
    await waitFor(
      "every event to be answered",
      async () => {
        const status = await destinationStatus(stateDir);
        return status.done > done && status.lagRecords === 0;
      },
      PATIENCE_MS,
    );
  };
  /** Waits until the listener has what was done so far: what comes after it in the journal comes after it here. */
  const heard = async (): Promise<void> => {
    const before = marksOf(listener);
    await lda("Mark");
    await waitFor("the mark", () => marksOf(listener) > before, PATIENCE_MS);
  };
  const lda = async (folder: string): Promise<void> => {
    const { code, stderr } = await deliverLda(dovecot, { user: "jdoe", mail: mail("a mail", "<m@x>"), folder });
    assert.equal(code, 0, stderr);
  };
  /** What the listener prints of an action, and of nothing else. */
  const told = async (action: () => Promise<unknown>): Promise<Record<string, unknown>[]> => {
    const before = listener.received.length;
    await action();
    await heard();
    return listener.received
      .slice(before)
      .filter(({ folder }) => folder !== "Mark")
      .map(facts);
  };
  /** Puts mails into a folder and opens it; resolves with their UIDs. */
  const append = async (folder: string, count: number): Promise<number[]> => {
    const uids: number[] = [];
    for (let i = 0; i < count; i++) {
      const result = await imap.append(folder, mail(`mail ${i}`, `<${i}@x>`));
      uids.push(result === false ? 0 : (result.uid ?? 0));
    }
    await imap.mailboxOpen(folder);
    await heard();
    return uids;
  };

  before(async () => {
    memcached = await startMemcached();
    dovecot = await startDovecot({
      protocols: ["imap"],
      users: ["jdoe"],
      settings: { openchange_resolver: memcached.config },
    });
    imap = await openImap(dovecot, "jdoe");
    for (const folder of ["Mark", "Work", "Many", "Copies"]) await imap.mailboxCreate(folder);
    listener = await startListener("jdoe", memcached.config);
    await start({ openchange: {} });
  });
  after(async () => {
    await imap.logout();
    await daemon.stop();
    await listener.stop();
    await dovecot.remove();
    await memcached.stop();
  });

  describe("to servers as they are", () => {
    test("is nothing: new mail is what is delivered, and Outlook announces it", async () => {
      const [uid = 0] = await append("INBOX", 1);
      const changes = async (): Promise<void> => {
        await imap.append("INBOX", mail("a", "<a@x>"));
        await imap.messageCopy(`${uid}`, "Work", { uid: true });
        await imap.messageFlagsAdd(`${uid}`, ["\\Seen", "$Work"], { uid: true });
        await imap.messageFlagsRemove(`${uid}`, ["\\Seen"], { uid: true });
        await imap.messageMove(`${uid}`, "Work", { uid: true });
        await imap.messageDelete(`${uid + 1}`, { uid: true });
        await imap.mailboxCreate("New");
        await imap.mailboxRename("New", "Newer");
        await imap.mailboxDelete("Newer");
      };
      assert.deepEqual(await told(changes), []);
      assert.deepEqual(await told(async () => lda("INBOX")), [newMail(uid + 2)]);
    });
  });

  describe("to servers that are to tell it as new mail", () => {
    before(async () => restart({ new_mail_events: ["MessageNew", "MessageAppend", "MessageCopy", "MessageMove"] }));
    let work = 2;

    test("an append and a delivery are a NewMail each", async () => {
      const [uid = 0] = await append("INBOX", 1);
      assert.deepEqual(await told(async () => imap.append("INBOX", mail("a", "<a@x>"))), [newMail(uid + 1)]);
      assert.deepEqual(await told(async () => lda("INBOX")), [newMail(uid + 2)]);
    });

    test("a copy is one NewMail for each message, in the folder in which it now is, in UID order", async () => {
      const uids = await append("INBOX", 3);
      const copied = [1, 2, 3].map((n) => newMail(work + n, "Work"));
      assert.deepEqual(await told(async () => imap.messageCopy(uids.join(","), "Work", { uid: true })), copied);
      work += 3;
    });

    test("a move is the same", async () => {
      const uids = await append("INBOX", 2);
      const moved = [1, 2].map((n) => newMail(work + n, "Work"));
      assert.deepEqual(await told(async () => imap.messageMove(uids.join(","), "Work", { uid: true })), moved);
      work += 2;
    });

    test("flags, an expunge and changes of folders are nothing", async () => {
      const [uid = 0] = await append("INBOX", 1);
      const changes = async (): Promise<void> => {
        await imap.messageFlagsAdd(`${uid}`, ["\\Seen", "$Work"], { uid: true });
        await imap.messageFlagsRemove(`${uid}`, ["\\Seen"], { uid: true });
        await imap.messageDelete(`${uid}`, { uid: true });
        await imap.mailboxCreate("New");
        await imap.mailboxRename("New", "Newer");
        await imap.mailboxDelete("Newer");
      };
      assert.deepEqual(await told(changes), []);
    });

    test("a copy of 5,000 messages is 5,000 notifications in UID order, in bounded memory", async () => {
      const source = mail("m", "<m@x>");
      await imap.append("Many", source);
      // Doubles what is there.
      for (let count = 1; count < 5_000; count *= 2) {
        const { code } = await dovecot.doveadm(["copy", "-u", "jdoe", "Many", "mailbox", "Many", "ALL"]);
        assert.equal(code, 0);
      }
      await heard();
      await imap.mailboxOpen("Many");
      const before = (await askStatus(stateDirOf(dovecot.folder))).memory.rssBytes;
      const notifications = await told(async () => imap.messageCopy("1:5000", "Copies"));
      const rss = (await askStatus(stateDirOf(dovecot.folder))).memory.rssBytes;
      assert.deepEqual(
        notifications.map(({ eml, folder }) => `${String(folder)} ${String(eml)}`),
        Array.from({ length: 5_000 }, (_, index) => `Copies ${index + 1}.eml`),
      );
      assert.ok(rss - before < 48 * 1024 * 1024, `grew by ${rss - before} bytes`);
    });
  });

  describe("to servers that know the extension", () => {
    before(async () => restart({ extended: true }));
    let work = 7;

    test("flags and keywords are an ObjectModified that names them", async () => {
      const [a = 0, b = 0] = await append("INBOX", 2);
      const flags = { flagsSet: ["\\Flagged", "\\Seen", "$Work"], flagsCleared: [] };
      const set = async (): Promise<unknown> =>
        imap.messageFlagsAdd(`${a},${b}`, ["\\Seen", "\\Flagged", "$Work"], { uid: true });
      assert.deepEqual(await told(set), [
        object("ObjectModified", a, "INBOX", flags),
        object("ObjectModified", b, "INBOX", flags),
      ]);
      assert.deepEqual(await told(async () => imap.messageFlagsRemove(`${a}`, ["\\Seen"], { uid: true })), [
        object("ObjectModified", a, "INBOX", { flagsSet: [], flagsCleared: ["\\Seen"] }),
      ]);
    });

    test("an expunge is an ObjectDeleted", async () => {
      const [uid = 0] = await append("INBOX", 1);
      const all = await told(async () => imap.messageDelete(`${uid}`, { uid: true }));
      assert.deepEqual(all.at(-1), object("ObjectDeleted", uid, "INBOX"));
    });

    test("a copy is an ObjectCopied that says of what, and no new mail", async () => {
      const [uid = 0] = await append("INBOX", 1);
      work++;
      assert.deepEqual(await told(async () => imap.messageCopy(`${uid}`, "Work", { uid: true })), [
        object("ObjectCopied", work, "Work", fromInbox(uid)),
      ]);
    });

    test("a move is an ObjectMoved that says from where, and no new mail", async () => {
      const [a = 0, b = 0] = await append("INBOX", 2);
      work += 2;
      assert.deepEqual(await told(async () => imap.messageMove(`${a},${b}`, "Work", { uid: true })), [
        object("ObjectMoved", work - 1, "Work", fromInbox(a)),
        object("ObjectMoved", work, "Work", fromInbox(b)),
      ]);
    });

    test("the library types them", async (t) => {
      const library = await createListener({ users: ["jdoe"], resolver: memcached.config });
      t.after(() => library.close());
      const [uid = 0] = await append("INBOX", 1);
      work++;
      await imap.messageMove(`${uid}`, "Work", { uid: true });
      for await (const notification of library) {
        if (notification.type !== "ObjectMoved") continue;
        assert.deepEqual([notification.oldEml, notification.oldFolder], [`${uid}.eml`, "INBOX"]);
        break;
      }
    });
  });
});

test("an event goes to those destinations whose filters it passes", async (t) => {
  // Each destination tells other servers: those of its own resolver.
  const memcacheds = [await startMemcached(), await startMemcached(), await startMemcached()];
  t.after(async () => Promise.all(memcacheds.map((memcached) => memcached.stop())));
  const listeners = await Promise.all(memcacheds.map(({ config }) => startListener("anna", config)));
  t.after(async () => Promise.all(listeners.map((listener) => listener.stop())));
  const workspace = makeWorkspace();
  t.after(() => workspace.remove());
  const filters = {
    folders: { users: ["anna"], mailboxes: ["Work/*", "INBOX"] },
    moves: { users: ["ann*"], events: ["MessageMove", "MessageAppend"] },
    delivered: { events: ["!MessageCopy"], mailboxes: ["!EXPUNGED/*"], services: ["!doveadm", "!imap"] },
  };
  const tellAll = { new_mail_events: ["MessageNew", "MessageAppend", "MessageCopy", "MessageMove"] };
  const destinations = Object.entries(filters).map(([name, filter], index) => [
    name,
    { resolver: memcacheds[index]?.config, ...tellAll, ...filter },
  ]);
  const config = workspace.configFile({ destinations: Object.fromEntries(destinations) as object });
  const daemon = await startDaemon({ journal: workspace.journal, stateDir: workspace.stateDir, config });
  t.after(() => daemon.stop());
  const old = { oldMailbox: "EXPUNGED/Old", oldUids: "1" };
  workspace.write(
    { user: "anna", uids: "1", mailbox: "Work/2026", service: "lmtp" },
    { user: "anna", uids: "2", mailbox: "Work", service: "doveadm" },
    { user: "annabel", uids: "3", mailbox: "INBOX", service: "lmtp" },
    { user: "anna", uids: "4", mailbox: "Trash", event: "MessageMove", service: "sieve", ...old },
    { user: "anna", uids: "5", mailbox: "Trash", event: "MessageCopy", service: "lmtp", ...old },
    { user: "anna", uids: "6", mailbox: "INBOX", event: "MessageAppend", service: "imap" },
    { user: "anna", uids: "7", mailbox: "EXPUNGED/Work", service: "lda" },
    { user: "anna", uids: "8", mailbox: "Work" },
  );
  const told: Record<string, Record<string, unknown>[]> = {
    folders: [newMail(1, "Work/2026"), newMail(6)],
    moves: [newMail(4, "Trash"), newMail(6)],
    delivered: [newMail(1, "Work/2026"), newMail(4, "Trash"), newMail(8, "Work")],
  };
  for (const [index, name] of Object.keys(filters).entries()) {
    const expected = told[name] ?? [];
    const received = (): readonly Received[] => listeners[index]?.received ?? [];
    await waitFor(name, () => received().length >= expected.length, PATIENCE_MS);
    assert.deepEqual(received().map(facts), expected);
  }
  const filtered = async (name: string): Promise<number> =>
    (await destinationStatus(workspace.stateDir, name)).filtered;
  assert.deepEqual([await filtered("folders"), await filtered("moves"), await filtered("delivered")], [6, 6, 4]);
});

test("a record about 150,000 messages goes out in order to a host that is slow, in bounded memory", async (t) => {
  const COUNT = 150_000;
  const memcached = await startMemcached();
  const workspace = makeWorkspace();
  const pull = await bindPull("tcp://127.0.0.1:0");
  const resolver = new Resolver(memcached.config);
  t.after(async () => {
    resolver.close();
    await pull.close();
    await memcached.stop();
    workspace.remove();
  });
  await resolver.register("jdoe", pull.address);
  const openchange = { resolver: memcached.config, new_mail_events: ["MessageCopy"] };
  const config = workspace.configFile({ destinations: { openchange } });
  const daemon = await startDaemon({ journal: workspace.journal, stateDir: workspace.stateDir, config });
  t.after(() => daemon.stop());
  const before = (await askStatus(workspace.stateDir)).memory.rssBytes;
  workspace.write({ uids: `1:${COUNT}`, event: "MessageCopy", oldMailbox: "Old", oldUids: `1:${COUNT}` });
  let uid = 0;
  let most = 0;
  for await (const message of pull) {
    uid++;
    const { eml }: Notification = decodeNotification(message);
    if (eml !== `${uid}.eml`) assert.fail(`${eml} where ${uid}.eml was to come`);
    if (uid % 50_000 === 0) most = Math.max(most, (await askStatus(workspace.stateDir)).memory.rssBytes);
    if (uid === COUNT) break;
  }
  assert.ok(most - before < 64 * 1024 * 1024, `grew by ${most - before} bytes`);
});
