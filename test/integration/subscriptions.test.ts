import assert from "node:assert/strict";
import { resolve } from "node:path";
import { after, before, describe, test } from "node:test";
import type { ImapFlow } from "imapflow";
import { Resolver } from "../../src/destinations/openchange/resolver.ts";
import { lmtpDeliver, mail, startDovecot, type RunningDovecot } from "../helpers/dovecot.ts";
import { openImap } from "../helpers/imap.ts";
import { startMemcached, type TestMemcached } from "../helpers/memcached.ts";
import {
  askMemcached,
  startDaemon,
  startProgram,
  stateDirOf,
  writeConfig,
  type RunningDaemon,
  type RunningProgram,
} from "../helpers/ocnotify.ts";
import { waitFor } from "../helpers/wait.ts";

const EXAMPLE = resolve(import.meta.dirname, "../../examples/openchange-server.mjs");
const USER = "jdoe";

describe("examples/openchange-server.mjs, at the end of the whole way", () => {
  let memcached: TestMemcached;
  let dovecot: RunningDovecot;
  let daemon: RunningDaemon;
  let server: RunningProgram;
  let imap: ImapFlow;
  const stop: (() => Promise<unknown>)[] = [];

  before(async () => {
    memcached = await startMemcached();
    stop.push(() => memcached.stop());
    dovecot = await startDovecot({
      users: [USER],
      protocols: ["lmtp", "imap"],
      settings: { openchange_resolver: memcached.config },
    });
    stop.push(() => dovecot.remove());
    daemon = await startDaemon({
      journal: dovecot.journalDir,
      stateDir: stateDirOf(dovecot.folder),
      config: writeConfig(dovecot.folder, {
        journal: { mail_users: ["nobody"] },
        destinations: { openchange: { extended: true, new_mail_events: ["MessageNew"] } },
      }),
    });
    stop.push(() => daemon.stop());
    server = startProgram([EXAMPLE, USER, memcached.config]);
    stop.push(() => server.stop("SIGKILL"));
    await waitFor("the session", () => server.stdout().includes("Ctrl-C ends"), 30_000);
    imap = await openImap(dovecot, USER);
    stop.push(() => imap.logout());
    await imap.mailboxCreate("Archive");
    await imap.mailboxCreate("Work");
  });
  after(async () => {
    for (const each of stop.toReversed()) await each();
  });

  const lines = (): string[] => server.stdout().trim().split("\n").slice(1);
  const deliver = async (subject: string): Promise<void> => {
    const [reply = ""] = await lmtpDeliver(dovecot, [{ to: [USER], mail: mail(subject, `<${subject}@example.org>`) }]);
    assert.match(reply, /^250/);
  };

  test("prints what its session has subscribed to, and nothing of what it has not", async () => {
    for (const subject of ["one", "two"]) await deliver(subject);
    await waitFor("both mails", () => lines().length >= 2);
    await imap.mailboxOpen("INBOX");
    await imap.messageFlagsAdd("1", ["\\Seen"]);
    // A copy is none of what is asked for; the deletion in Work is in none of the folders asked for.
    await imap.messageCopy("1", "Work");
    await imap.messageMove("1", "Archive");
    await imap.messageDelete("1");
    await imap.mailboxOpen("Work");
    await imap.messageDelete("1");
    await deliver("three");
    await waitFor("the last mail", () => lines().at(-1)?.includes("3.eml") === true);
    assert.deepEqual(
      // Deleting over IMAP sets \Deleted first.
      lines().filter((line) => !line.includes("\\Deleted")),
      [
        "handle 1: NewMail 1.eml in INBOX",
        "handle 1: NewMail 2.eml in INBOX",
        "handle 2: ObjectModified 1.eml in INBOX +[\\Seen] -[]",
        "handle 2: ObjectMoved 1.eml in Archive from 1.eml in INBOX",
        "handle 2: ObjectDeleted 2.eml in INBOX",
        "handle 1: NewMail 3.eml in INBOX",
      ],
    );
  });

  test("takes its registration and its session out of memcached when it is interrupted", async () => {
    const guid = /session (\S+);/.exec(server.stdout())?.[1] ?? "";
    assert.equal((await askMemcached(memcached.port, `get session:${guid} subscription:${guid}`)).length > 0, true);
    assert.equal(await server.stop("SIGINT"), 0);
    assert.equal(server.stderr(), "");
    assert.deepEqual(await askMemcached(memcached.port, `get session:${guid} subscription:${guid}`), []);
    const resolver = new Resolver(memcached.config);
    assert.deepEqual(await resolver.hosts(USER), []);
    resolver.close();
  });
});
