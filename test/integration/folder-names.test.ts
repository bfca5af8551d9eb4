import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { modifiedUtf7 } from "../../src/destinations/openchange/codec/modified-utf7.ts";
import { decodeNotification, Resolver, type Notification } from "../../src/index.ts";
import { deliverLda, mail, startDovecot, type RunningDovecot } from "../helpers/dovecot.ts";
import { startMemcached } from "../helpers/memcached.ts";
import { startNanocatPull, type Peer } from "../helpers/nanocat.ts";
import { startDaemon, stateDirOf, writeConfig } from "../helpers/ocnotify.ts";
import { waitFor } from "../helpers/wait.ts";

const PATIENCE_MS = 20_000;

interface World {
  readonly dovecot: RunningDovecot;
  readonly peer: Peer;
  /** Delivers one mail into a folder that must be there, and gives the payload of its notification. */
  readonly deliver: (folder: string) => Promise<Buffer>;
  /** What the receiver has after these. */
  readonly payloads: (count: number) => Promise<readonly Buffer[]>;
}

async function world(t: TestContext, separator: string, prefix: string): Promise<World> {
  const memcached = await startMemcached();
  t.after(() => memcached.stop());
  const settings = { openchange_resolver: memcached.config };
  const dovecot = await startDovecot({
    users: ["jdoe"],
    protocols: [],
    format: "maildir",
    settings,
    separator,
    prefix,
  });
  t.after(() => dovecot.remove());
  const resolver = new Resolver(memcached.config);
  t.after(() => resolver.close());
  const peer = await startNanocatPull();
  t.after(() => peer.stop());
  await resolver.register("jdoe", peer.address);
  const destinations = { openchange: { extended: true } };
  const config = writeConfig(dovecot.folder, { journal: { mail_users: ["nobody"] }, destinations });
  const daemon = await startDaemon({ journal: dovecot.journalDir, stateDir: stateDirOf(dovecot.folder), config });
  t.after(() => daemon.stop());
  const payloads = async (count: number): Promise<readonly Buffer[]> => {
    await waitFor(`${count} notifications`, () => peer.messages.length >= count, PATIENCE_MS);
    return peer.messages;
  };
  return {
    dovecot,
    peer,
    payloads,
    async deliver(folder) {
      const before = peer.messages.length;
      const { code, stderr } = await deliverLda(dovecot, { user: "jdoe", mail: mail("a mail", "<m@x>"), folder });
      assert.equal(code, 0, stderr);
      return (await payloads(before + 1))[before] as Buffer;
    },
  };
}

/** The names of folders as Dovecot stores them, with `separator` for its own. */
function storedNames({ home }: RunningDovecot, separator: string): string[] {
  return readdirSync(join(home("jdoe"), "mail"))
    .filter((name) => name.startsWith("."))
    .map((name) => name.slice(1).replaceAll(".", separator));
}

describe("the name of a folder on the wire", { concurrency: 2 }, () => {
  for (const [separator, prefix] of [
    ["/", ""],
    [".", "INBOX."],
  ] as const) {
    test(`with separator ${separator} is the one by which Dovecot stores it, after the prefix "${prefix}"`, async (t) => {
      const { dovecot, deliver, payloads } = await world(t, separator, prefix);
      const names = ["Entwürfe", "R&D", "Łódź", `R&D${separator}日本語 🎉`, "&-", "Work"];
      const told: string[] = [];
      for (const name of names) {
        const { code, stderr } = await dovecot.doveadm(["mailbox", "create", "-u", "jdoe", prefix + name]);
        assert.equal(code, 0, stderr);
        const payload = await deliver(prefix + name);
        const { folder } = decodeNotification(payload);
        assert.ok(folder.startsWith(prefix), folder);
        told.push(folder.slice(prefix.length));
        // As OpenChange's own plugin has sent it.
        const bytes = `\u0001\u0002\0sogo\u00001.eml\0${folder}\0${separator}`;
        assert.equal(payload.toString("latin1"), bytes);
      }
      assert.deepEqual(told.toSorted(), storedNames(dovecot, separator).toSorted());
      assert.deepEqual(told.slice(0, 3), ["Entw&APw-rfe", "R&-D", "&AUEA8w-d&AXo-"]);

      const move = ["move", "-u", "jdoe", `${prefix}Łódź`, "mailbox", `${prefix}R&D`, "ALL"];
      assert.equal((await dovecot.doveadm(move)).code, 0);
      const [moved] = (await payloads(names.length + 1)).slice(names.length);
      const expected: Notification = {
        type: "ObjectMoved",
        backend: "sogo",
        eml: "2.eml",
        folder: `${prefix}&AUEA8w-d&AXo-`,
        separator,
        oldEml: "1.eml",
        oldFolder: `${prefix}R&-D`,
        oldSeparator: separator,
      };
      assert.deepEqual(decodeNotification(moved ?? Buffer.of()), expected);
    });
  }

  test("is what Dovecot itself makes of it", async (t) => {
    const dovecot = await startDovecot({ users: ["jdoe"], protocols: [] });
    t.after(() => dovecot.remove());
    const names = ["a&b&-c", "é&é", "Входящие/Важное", "台北日本語", "a🎉b👾", "\u00a0\u{10ffff}", "~ -+,/&"];
    for (const name of names) {
      const { code, stdout } = await dovecot.doveadm(["mailbox", "mutf7", "-8", name]);
      assert.equal(code, 0);
      assert.equal(modifiedUtf7.encode(name, "folder").toString(), stdout.replace(/\n$/, ""));
    }
  });
});
