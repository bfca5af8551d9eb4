import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync, copyFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { createPush, encodeNewMail, Resolver } from "../src/index.ts";
import { startMemcached } from "./helpers/memcached.ts";
import { startProgram } from "./helpers/ocnotify.ts";
import { waitFor } from "./helpers/wait.ts";

const CHECKOUT = resolve(import.meta.dirname, "..");
const run = promisify(execFile);

/** Uses everything that the package offers, as a program of somebody else would. */
const PROGRAM = `
import {
  bindPull, charset, cnOf, createListener, createPush, decodeNewMail, decodeNotification, decodeResolverRecord,
  decodeSession, decodeSubscriptions, emlName, encodeNewMail, encodeNotification, encodeResolverRecord, encodeSession,
  encodeSubscriptions, EVENT_NAMES, MemcachedError, NdrError, notificationFlags, OcnotifyError, parseRecord, Resolver,
  resolverKey, SpError, uidsOf,
  type AskingSubscription, type Charset, type CnKind, type EventName, type FlagsClear, type FlagsSet, type FolderIdOf,
  type FollowedSession, type Listener, type ListenerOptions, type NewSubscription, type NotifiedFolder, type OpenSession,
  type SessionIds, type SubscribedNotification, type SubscriptionListener,
  type MailboxCreate, type MailboxDelete, type MailboxEvent, type MailboxRename, type MailboxSubscribe,
  type MailboxUnSubscribe, type MemcachedErrorCode, type MessageAppend, type MessageCopy, type MessageExpunge,
  type MessageMove, type MessageNew, type MessageRead, type MessageTrash, type NewMail, type Notification,
  type ObjectCopied, type ObjectDeleted, type ObjectModified, type ObjectMoved, type PullOptions, type PullSocket,
  type PushOptions, type PushSocket, type Session, type SpErrorCode, type Subscription,
} from "ocnotify";

function never(value: never): never {
  throw new Error(String(value));
}

function ofEvent(event: MailboxEvent): string {
  switch (event.event) {
    case "MessageNew": case "MessageAppend": return event.subject ?? event.uids ?? "";
    case "MessageCopy": case "MessageMove": return event.oldMailbox + (event.oldUids ?? "");
    case "MessageExpunge": case "MessageRead": case "MessageTrash": return event.uids ?? "";
    case "FlagsSet": case "FlagsClear": return event.flags.join(" ");
    case "MailboxRename": return event.oldMailbox;
    case "MailboxCreate": case "MailboxDelete": case "MailboxSubscribe": case "MailboxUnSubscribe": return event.mailbox;
    default: return never(event);
  }
}

function ofNotification(notification: Notification): string {
  switch (notification.type) {
    case "NewMail": case "ObjectDeleted": return notification.eml;
    case "ObjectModified": return [...notification.flagsSet, ...notification.flagsCleared].join(" ");
    case "ObjectMoved": case "ObjectCopied": return notification.oldEml;
    default: return never(notification);
  }
}

const options: ListenerOptions = { users: ["jdoe"] };
const listen: (options: ListenerOptions) => Promise<Listener> = createListener;
const folderId: FolderIdOf = ({ folder }: NotifiedFolder) => (folder === "INBOX" ? "0000000000000001" : undefined);
export async function serve(ids: SessionIds, wanted: NewSubscription): Promise<AskingSubscription[]> {
  const listener: SubscriptionListener = await createListener({ ...options, subscriptions: true, folderId });
  const session: OpenSession = await listener.openSession(ids);
  const followed: FollowedSession = await listener.followSession(session.guid);
  await session.subscribe(wanted);
  for await (const notification of listener) {
    const asked: SubscribedNotification = notification;
    if (ofNotification(notification) === followed.uuid) return [...asked.subscriptions];
  }
  return [];
}
const strings: Charset = charset("cp850");
const mail: NewMail = { backend: "sogo", eml: emlName(7), folder: "INBOX", separator: "/" };
const errors: (SpErrorCode | MemcachedErrorCode | string)[] = [];
for (const wrong of [() => decodeNewMail(Buffer.alloc(0)), () => parseRecord("{}"), () => createPush("x")]) {
  try {
    wrong();
  } catch (error) {
    if (error instanceof NdrError || error instanceof OcnotifyError || error instanceof SpError || error instanceof MemcachedError) {
      errors.push(error.code);
    }
  }
}
const event = parseRecord('{"v":1,"ts":1,"event":"FlagsSet","user":"jdoe","mailbox":"INBOX","sep":"/","uids":"1:3","flags":["a"]}');
const round: Notification = decodeNotification(encodeNotification({ type: "NewMail", ...mail }, strings), strings);
const pull: PullSocket = await bindPull("tcp://127.0.0.1:0", {} satisfies PullOptions);
const push: PushSocket = createPush(pull.address, {} satisfies PushOptions);
await push.send(encodeNewMail(mail));
const [[first]] = [[(await pull[Symbol.asyncIterator]().next()).value]];
await push.close();
await pull.close();
const kind: CnKind = "username";
console.log(JSON.stringify({
  event: ofEvent(event), uids: [...uidsOf("1:3")], notification: ofNotification(round), received: decodeNewMail(first!),
  errors, key: resolverKey(cnOf("JDoe@x", kind)), hosts: decodeResolverRecord(encodeResolverRecord(["tcp://h:1"])),
  session: decodeSession(encodeSession({ uuid: "a3d7ec26-8b52-4c57-9d0f-4f2b6d1a0c11", cn: "jdoe" })),
  subscriptions: decodeSubscriptions(encodeSubscriptions([])), flags: notificationFlags.NewMail,
  names: EVENT_NAMES.length, classes: [typeof Resolver, typeof listen, options.users.length],
}));
export type All = [EventName, FlagsSet, FlagsClear, MailboxCreate, MailboxDelete, MailboxRename, MailboxSubscribe,
  MailboxUnSubscribe, MessageAppend, MessageCopy, MessageExpunge, MessageMove, MessageNew, MessageRead, MessageTrash,
  ObjectCopied, ObjectDeleted, ObjectModified, ObjectMoved, Session, Subscription];
`;

describe("the package, installed into an empty project", () => {
  let folder: string;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "ocnotify-package-"));
    // From a copy, because packing builds, and others may be running what is built here.
    const source = join(folder, "source");
    mkdirSync(source);
    for (const name of [
      "package.json",
      "tsconfig.json",
      "tsconfig.build.json",
      "README.md",
      "CHANGELOG.md",
      "LICENSE",
    ]) {
      copyFileSync(join(CHECKOUT, name), join(source, name));
    }
    symlinkSync(join(CHECKOUT, "src"), join(source, "src"));
    symlinkSync(join(CHECKOUT, "node_modules"), join(source, "node_modules"));
    const project = join(folder, "project");
    mkdirSync(project);
    writeFileSync(join(project, "package.json"), '{"private":true,"type":"module"}');
    const { stdout } = await run("npm", ["pack", "--json", "--pack-destination", folder], { cwd: source });
    const tarball = (JSON.parse(stdout.slice(stdout.indexOf("[\n"))) as { filename: string }[])[0]?.filename ?? "";
    const install = ["install", "--no-audit", "--no-fund", "--prefer-offline", join(folder, tarball)];
    await run("npm", install, { cwd: project });
  });
  after(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  test("type-checks with everything strict and runs", async () => {
    const project = join(folder, "project");
    writeFileSync(join(project, "program.ts"), PROGRAM);
    // What Node offers is the project's own to choose; here it is this checkout's.
    const types = join(CHECKOUT, "node_modules/@types");
    const strict = [
      "--strict",
      "--exactOptionalPropertyTypes",
      "--noUncheckedIndexedAccess",
      "--skipLibCheck",
      "false",
    ];
    const target = ["--module", "nodenext", "--target", "es2023", "--typeRoots", types, "--types", "node"];
    const tsc = join(CHECKOUT, "node_modules/typescript/bin/tsc");
    await run(process.execPath, [tsc, ...strict, ...target, "program.ts"], { cwd: project }).catch((error: unknown) => {
      throw new Error((error as { stdout: string }).stdout, { cause: error });
    });
    const { stdout } = await run(process.execPath, ["program.js"], { cwd: project });
    assert.deepEqual(JSON.parse(stdout), {
      event: "a",
      uids: [1, 2, 3],
      notification: "7.eml",
      received: { backend: "sogo", eml: "7.eml", folder: "INBOX", separator: "/" },
      errors: ["ERR_NDR_TRUNCATED", "ERR_RECORD_VERSION", "ERR_SP_ADDRESS"],
      key: "resolver:jdoe",
      hosts: ["tcp://h:1"],
      session: { uuid: "a3d7ec26-8b52-4c57-9d0f-4f2b6d1a0c11", cn: "jdoe" },
      subscriptions: [],
      flags: 2,
      names: 14,
      classes: ["function", "function", 1],
    });
  });

  test("brings the command", async () => {
    const { stdout } = await run("npx", ["--no-install", "ocnotify", "decode", "resolver", "010000000000000000"], {
      cwd: join(folder, "project"),
    });
    assert.equal(stdout, '{"hosts":[]}\n');
  });
});

describe("examples/receiver.mjs", () => {
  test("prints what it receives and unregisters when it is interrupted", async () => {
    const memcached = await startMemcached();
    const resolver = new Resolver(memcached.config);
    const receiver = startProgram([join(CHECKOUT, "examples/receiver.mjs"), "jdoe", memcached.config]);
    try {
      const [host] = await waitFor(
        "the registration",
        async () => {
          const hosts = await resolver.hosts("jdoe");
          return hosts.length > 0 ? hosts : undefined;
        },
        20_000,
      ).then((hosts) => hosts ?? []);
      const push = createPush(host ?? "");
      await push.send(encodeNewMail({ backend: "sogo", eml: "42.eml", folder: "Work", separator: "/" }));
      await push.close();
      await waitFor("the line", () => receiver.stdout().includes("42.eml"), 20_000);
      assert.match(receiver.stdout(), /^new mail 42\.eml in Work$/m);
      assert.equal(await receiver.stop("SIGINT"), 0);
      assert.deepEqual(await resolver.hosts("jdoe"), []);
    } finally {
      await receiver.stop("SIGKILL");
      resolver.close();
      await memcached.stop();
    }
  });
});
