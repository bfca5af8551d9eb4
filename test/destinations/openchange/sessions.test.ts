import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import fc from "fast-check";
import {
  createListener,
  createPush,
  decodeSession,
  decodeSubscriptions,
  encodeNotification,
  encodeSession,
  encodeSubscriptions,
  notificationFlags as flags,
  type ListenerOptions,
  type Notification,
  type SubscribedNotification,
  type Subscription,
  type SubscriptionListener,
} from "../../../src/index.ts";
import { parseConfigString } from "../../../src/protocols/memcached/config-string.ts";
import { MemcachedPool } from "../../../src/protocols/memcached/pool.ts";
import { startMemcached, type TestMemcached } from "../../helpers/memcached.ts";
import { askMemcached } from "../../helpers/ocnotify.ts";
import { waitFor } from "../../helpers/wait.ts";

const GUID = "a3d7ec26-8b52-4c57-9d0f-4f2b6d1a0c11";
const UUID = "00000000-0000-0000-0000-000000000001";
const INBOX_ID = "f503000000000001";
const NO_ID = "0000000000000000";

const mail = (eml: string, folder = "INBOX"): Notification => ({
  type: "NewMail",
  backend: "sogo",
  eml,
  folder,
  separator: "/",
});
const subscription = (handle: number, sum: number, fid = NO_ID): Subscription => ({
  handle,
  flags: sum,
  fid,
  mid: NO_ID,
  properties: [],
});

let memcached: TestMemcached;
before(async () => {
  memcached = await startMemcached();
});
afterEach(async () => {
  await askMemcached(memcached.port, "flush_all", "OK");
});
after(() => memcached.stop());

/** Another process that reads and writes the records, without any care. */
async function elsewhere<T>(work: (pool: MemcachedPool) => Promise<T>, config = memcached.config): Promise<T> {
  const pool = new MemcachedPool(parseConfigString(config));
  try {
    return await work(pool);
  } finally {
    pool.close();
  }
}
const set = (key: string, value: Buffer): Promise<unknown> => elsewhere((pool) => pool.serverFor(key).set(key, value));
const remove = (key: string): Promise<unknown> => elsewhere((pool) => pool.serverFor(key).delete(key));
const get = async (key: string): Promise<Buffer | undefined> =>
  elsewhere(async (pool) => (await pool.getMany([key])).values.get(key));
async function subscriptionsAt(uuid: string): Promise<number[] | undefined> {
  const value = await get(`subscription:${uuid}`);
  return value && decodeSubscriptions(value).map(({ handle }) => handle);
}

/** Sends notifications, and then one that everybody gets; what comes before that one was yielded. */
async function yielded(listener: SubscriptionListener, ...sent: Notification[]): Promise<SubscribedNotification[]> {
  const end = await listener.openSession();
  await end.subscribe({ handle: 0xffff, flags: flags.SearchCompleted | flags.NewMail });
  const push = createPush(listener.registered);
  for (const each of [...sent, mail("end")]) await push.send(encodeNotification(each));
  await push.close();
  const taken: SubscribedNotification[] = [];
  for await (const notification of listener) {
    if (notification.eml === "end") break;
    const subscriptions = notification.subscriptions.filter(({ session }) => session !== end.guid);
    if (subscriptions.length > 0) taken.push({ ...notification, subscriptions });
  }
  await end.close();
  return taken;
}
const emls = (all: readonly SubscribedNotification[]): string[] => all.map(({ eml }) => eml);
/** `handle/…` of the subscriptions that asked, for each notification. */
const handles = (all: readonly SubscribedNotification[]): string[] =>
  all.map(({ eml, subscriptions }) => `${eml}:${subscriptions.map(({ handle }) => handle).join("/")}`);

describe("a listener with subscriptions", () => {
  const open: SubscriptionListener[] = [];
  const errors: Error[] = [];
  const listen = async (options: Partial<ListenerOptions> = {}): Promise<SubscriptionListener> => {
    const listener = await createListener({
      users: ["jdoe"],
      resolver: memcached.config,
      onError: (error) => errors.push(error),
      checkIntervalMs: 600_000,
      ...options,
      subscriptions: true,
    });
    open.push(listener);
    return listener;
  };
  afterEach(async () => {
    for (const listener of open.splice(0)) await listener.close();
    errors.splice(0);
  });

  test("writes the records that OpenChange would, and deletes them when it closes", async () => {
    const listener = await listen({ users: ["JDoe"] });
    const session = await listener.openSession({ guid: GUID.toUpperCase(), uuid: UUID });
    assert.deepEqual([session.guid, session.uuid], [GUID, UUID]);
    assert.deepEqual(await get(`session:${GUID}`), encodeSession({ uuid: UUID, cn: "JDoe" }));
    assert.equal(await get(`subscription:${UUID}`), undefined);
    const fid = INBOX_ID.toUpperCase();
    await session.subscribe({
      handle: 66,
      flags: flags.NewMail,
      fid,
      mid: "deadbeef00000001",
      properties: [0x0037001f],
    });
    await session.subscribe({ handle: 67, flags: flags.TableModified | flags.WholeStore });
    const table = subscription(67, flags.TableModified | flags.WholeStore);
    const records = [
      { handle: 66, flags: flags.NewMail, fid: INBOX_ID, mid: "deadbeef00000001", properties: [0x0037001f] },
      table,
    ];
    assert.deepEqual(await get(`subscription:${UUID}`), encodeSubscriptions(records));
    assert.deepEqual(session.subscriptions, records);
    for (const key of [`session:${GUID}`, `subscription:${UUID}`]) {
      assert.match((await askMemcached(memcached.port, `me ${key}\r\nmn`, "MN"))[0] ?? "", /exp=-1 /, "no expiry");
    }
    assert.equal(await session.unsubscribe(66), true);
    assert.equal(await session.unsubscribe(66), false);
    assert.deepEqual(await get(`subscription:${UUID}`), encodeSubscriptions([table]));
    assert.equal(await session.unsubscribe(67), true);
    assert.equal(await get(`subscription:${UUID}`), undefined, "the last one leaving deletes the record");
    await session.subscribe({ handle: 1, flags: flags.NewMail });
    await listener.close();
    assert.deepEqual([await get(`session:${GUID}`), await get(`subscription:${UUID}`)], [undefined, undefined]);
  });

  test("yields what a subscription asks for, with its handle, and nothing else", async () => {
    const listener = await listen({ folderId: async ({ folder }) => (folder === "INBOX" ? INBOX_ID : undefined) });
    assert.deepEqual(await yielded(listener, mail("1.eml")), [], "without a session");
    const session = await listener.openSession();
    await session.subscribe({ handle: 1, flags: flags.WholeStore | flags.NewMail });
    await session.subscribe({ handle: 2, flags: flags.ObjectDeleted | flags.ObjectMoved, fid: INBOX_ID.toUpperCase() });
    const other = await listener.openSession();
    await other.subscribe({ handle: 1, flags: flags.TableModified, fid: INBOX_ID });
    const moved = { oldEml: "9.eml", oldFolder: "INBOX", oldSeparator: "/" };
    const all = await yielded(
      listener,
      mail("1.eml"),
      mail("2.eml", "Work"),
      { ...mail("3.eml"), type: "ObjectDeleted" },
      { ...mail("4.eml", "Work"), type: "ObjectDeleted" },
      { ...mail("5.eml", "Work"), type: "ObjectMoved", ...moved },
      { ...mail("6.eml", "Work"), type: "ObjectModified", flagsSet: ["\\Seen"], flagsCleared: [] },
      { ...mail("7.eml", "Work"), type: "ObjectCopied", ...moved },
    );
    assert.deepEqual(handles(all), ["1.eml:1/1", "2.eml:1", "3.eml:2/1", "5.eml:2/1"]);
    assert.deepEqual(all[0]?.subscriptions, [
      { session: session.guid, ...subscription(1, flags.WholeStore | flags.NewMail) },
      { session: other.guid, ...subscription(1, flags.TableModified, INBOX_ID) },
    ]);
    await session.close();
    await other.close();
    assert.deepEqual(await yielded(listener, mail("1.eml")), [], "after its end");
    assert.deepEqual(errors, []);
  });

  test("replaces a subscription that has the same handle", async () => {
    const listener = await listen();
    const session = await listener.openSession();
    await session.subscribe({ handle: 1, flags: flags.NewMail });
    await session.subscribe({ handle: 1, flags: flags.ObjectDeleted });
    assert.deepEqual(await subscriptionsAt(session.uuid), [1]);
    assert.deepEqual(emls(await yielded(listener, mail("1.eml"), { ...mail("2.eml"), type: "ObjectDeleted" })), [
      "2.eml",
    ]);
  });

  test("cannot tell folders apart without folderId, or when it fails, and then yields rather too much", async () => {
    for (const folderId of [undefined, () => Promise.reject(new Error("database is away")), (): string => "INBOX"]) {
      const listener = await listen({ ...(folderId && { folderId }) });
      const session = await listener.openSession();
      await session.subscribe({ handle: 1, flags: flags.NewMail, fid: INBOX_ID });
      assert.deepEqual(emls(await yielded(listener, mail("1.eml", "Work"))), ["1.eml"]);
      await listener.close();
    }
    const said = [...new Set(errors.map(({ message }) => message))];
    assert.deepEqual(said, ["database is away", 'folderId: "INBOX" is not 16 hex digits']);
  });

  test("obeys at once what another process writes into the record of a session", async () => {
    const listener = await listen();
    const session = await listener.openSession();
    await session.subscribe({ handle: 1, flags: flags.NewMail });
    const key = `subscription:${session.uuid}`;
    await set(key, encodeSubscriptions([subscription(1, flags.NewMail), subscription(2, flags.NewMail)]));
    assert.deepEqual(handles(await yielded(listener, mail("1.eml"))), ["1.eml:1/2"]);
    await set(key, encodeSubscriptions([subscription(2, flags.NewMail)]));
    assert.deepEqual(handles(await yielded(listener, mail("2.eml"))), ["2.eml:2"]);
    await remove(key);
    assert.deepEqual(handles(await yielded(listener, mail("3.eml"))), []);
    await session.subscribe({ handle: 3, flags: flags.NewMail });
    assert.deepEqual(await subscriptionsAt(session.uuid), [3], "what was deleted does not come back");
  });

  test("ends a session whose record another process deletes or replaces", async () => {
    for (const replace of [false, true]) {
      const listener = await listen();
      const session = await listener.openSession({ guid: GUID });
      await session.subscribe({ handle: 1, flags: flags.NewMail });
      if (replace) await set(`session:${GUID}`, encodeSession({ uuid: UUID, cn: "jdoe" }));
      else await remove(`session:${GUID}`);
      assert.deepEqual(await yielded(listener, mail("1.eml")), []);
      assert.match(errors.at(-1)?.message ?? "", /was (deleted|replaced) by another process/);
      await assert.rejects(session.subscribe({ handle: 2, flags: flags.NewMail }), { code: "ERR_SESSION_CLOSED" });
      await listener.close();
      assert.equal((await get(`session:${GUID}`)) !== undefined, replace, "what is another's stays");
      await askMemcached(memcached.port, "flush_all", "OK");
    }
  });

  test("loses nothing when memcached is emptied or started again, and writes its records again", async () => {
    const listener = await listen({ checkIntervalMs: 50 });
    const session = await listener.openSession();
    await session.subscribe({ handle: 1, flags: flags.NewMail });
    const back = (): Promise<unknown> =>
      waitFor("the records", async () => {
        const [record, all] = [await get(`session:${session.guid}`), await subscriptionsAt(session.uuid)];
        return record !== undefined && all?.[0] === 1;
      });
    await askMemcached(memcached.port, "flush_all", "OK");
    await back();
    await memcached.restart();
    await back();
    assert.deepEqual(emls(await yielded(listener, mail("1.eml"))), ["1.eml"]);
  });

  test("yields what comes while the records are lost, or memcached is down, by what was read last", async () => {
    const listener = await listen();
    const session = await listener.openSession();
    await session.subscribe({ handle: 1, flags: flags.NewMail });
    await askMemcached(memcached.port, "flush_all", "OK");
    const push = createPush(listener.registered);
    const iterator = listener[Symbol.asyncIterator]();
    const next = async (eml: string): Promise<unknown> => {
      await push.send(encodeNotification(mail(eml)));
      const { value } = await iterator.next();
      return value?.eml;
    };
    assert.equal(await next("1.eml"), "1.eml");
    assert.deepEqual(await subscriptionsAt(session.uuid), [1], "written again at once");
    await memcached.stop();
    for (const eml of ["2.eml", "3.eml", "4.eml"]) assert.equal(await next(eml), eml);
    await assert.rejects(session.subscribe({ handle: 2, flags: flags.NewMail }), /memcached/);
    await push.close();
    await memcached.restart();
    // A connection that breaks, one that is refused, and a server that counts as down since.
    assert.ok(errors.length > 0 && errors.length <= 3, String(errors));
  });

  test("writes the subscriptions again when only their memcached of a pool was started again", async () => {
    const second = await startMemcached();
    try {
      const config = `${memcached.config} ${second.config}`;
      const apart = await elsewhere(async (pool) => {
        for (let n = 1; ; n++) {
          const uuid = `00000000-0000-0000-0000-${String(n).padStart(12, "0")}`;
          const [a, b] = [`session:${GUID}`, `subscription:${uuid}`].map((key) => pool.serverFor(key).name);
          if (a !== b && b?.endsWith(`:${second.port}`)) return uuid;
        }
      }, config);
      const listener = await listen({ resolver: config });
      const session = await listener.openSession({ guid: GUID, uuid: apart });
      await session.subscribe({ handle: 1, flags: flags.NewMail });
      await second.restart();
      // The first look-up meets the broken connection.
      await waitFor("an answer", async () => handles(await yielded(listener, mail("1.eml"))).join() === "1.eml:1");
      const key = `subscription:${apart}`;
      await waitFor("the record", async () => {
        await yielded(listener);
        return (await elsewhere((pool) => pool.getMany([key]), config)).values.has(key);
      });
    } finally {
      for (const listener of open.splice(0)) await listener.close();
      await second.stop();
    }
  });

  test("follows a session of another process without writing anything", async () => {
    await set(`session:${GUID}`, encodeSession({ uuid: UUID, cn: "JDOE" }));
    await set(`subscription:${UUID}`, encodeSubscriptions([subscription(7, flags.NewMail)]));
    const listener = await listen();
    const session = await listener.followSession(GUID.toUpperCase());
    assert.deepEqual([session.guid, session.uuid, session.subscriptions.length], [GUID, UUID, 1]);
    assert.deepEqual(handles(await yielded(listener, mail("1.eml"))), ["1.eml:7"]);
    // The client has connected again: the same asynchronous GUID, another session.
    await set(`session:${GUID}`, encodeSession({ uuid: GUID, cn: "jdoe" }));
    await set(`subscription:${GUID}`, encodeSubscriptions([subscription(8, flags.NewMail)]));
    assert.deepEqual(handles(await yielded(listener, mail("2.eml"))), ["2.eml:8"]);
    assert.equal(session.uuid, GUID);
    await askMemcached(memcached.port, "flush_all", "OK");
    assert.deepEqual(await yielded(listener, mail("3.eml")), [], "closed");
    assert.equal(await get(`session:${GUID}`), undefined);
    await set(`session:${GUID}`, encodeSession({ uuid: GUID, cn: "jdoe" }));
    await set(`subscription:${GUID}`, encodeSubscriptions([subscription(9, flags.NewMail)]));
    assert.deepEqual(handles(await yielded(listener, mail("4.eml"))), ["4.eml:9"], "and there again");
    await session.close();
    assert.deepEqual(await yielded(listener, mail("5.eml")), []);
    assert.notEqual(await get(`subscription:${GUID}`), undefined);
    assert.deepEqual(errors, []);
  });

  test("keeps what it has read of a record when that becomes garbage or another user's, and says so once", async () => {
    await set(`session:${GUID}`, encodeSession({ uuid: UUID, cn: "jdoe" }));
    await set(`subscription:${UUID}`, encodeSubscriptions([subscription(7, flags.NewMail)]));
    const listener = await listen();
    await listener.followSession(GUID);
    await set(`subscription:${UUID}`, Buffer.from("garbage"));
    assert.deepEqual(emls(await yielded(listener, mail("1.eml"), mail("2.eml"))), ["1.eml", "2.eml"]);
    assert.equal(errors.length, 1);
    await set(`session:${GUID}`, encodeSession({ uuid: UUID, cn: "anna" }));
    await yielded(listener, mail("3.eml"), mail("4.eml"));
    assert.match(errors.at(-1)?.message ?? "", /is a session of "anna", and this listener is for "jdoe"/);
    assert.equal(errors.length, 2);
  });

  test("takes over its user's session of the same GUIDs, and no other", async () => {
    await set(`session:${GUID}`, encodeSession({ uuid: UUID, cn: "JDoe" }));
    await set(`subscription:${UUID}`, encodeSubscriptions([subscription(7, flags.NewMail)]));
    const listener = await listen();
    await assert.rejects(listener.openSession({ guid: GUID }), { code: "ERR_SESSION_CLOSED", message: /replaced/ });
    const session = await listener.openSession({ guid: GUID, uuid: UUID });
    assert.deepEqual(session.subscriptions, [subscription(7, flags.NewMail)]);
    await assert.rejects(listener.openSession({ guid: GUID }), { code: "ERR_SESSION_TAKEN", message: /already/ });
    await assert.rejects(listener.followSession(GUID), { code: "ERR_SESSION_TAKEN" });
    const others = await listen({ users: ["anna"] });
    await assert.rejects(others.followSession(GUID), { code: "ERR_SESSION_TAKEN", message: /"JDoe".*"anna"/ });
    await assert.rejects(others.openSession({ guid: GUID, uuid: UUID }), { code: "ERR_SESSION_TAKEN" });
    assert.deepEqual(await get(`session:${GUID}`), encodeSession({ uuid: UUID, cn: "JDoe" }));
  });

  test("refuses what cannot be", async () => {
    const listener = await listen();
    await assert.rejects(listener.followSession("x"), { code: "ERR_RECORD_GUID" });
    await assert.rejects(listener.openSession({ guid: "x" }), { code: "ERR_RECORD_GUID" });
    await assert.rejects(listener.openSession({ uuid: "x" }), { code: "ERR_RECORD_GUID" });
    await assert.rejects(listener.followSession(GUID), { code: "ERR_SESSION_UNKNOWN", canRetry: true });
    for (const users of [[], ["jdoe", "anna"]]) {
      await assert.rejects(listen({ users }), { code: "ERR_LISTENER", message: /a listener for each/ });
    }
    const session = await listener.openSession({ guid: GUID });
    for (const wrong of [0, flags.WholeStore, 0x200, -1, 2.5, NaN]) {
      await assert.rejects(session.subscribe({ handle: 1, flags: wrong }), {
        code: "ERR_SUBSCRIPTION",
        message: /must be a sum of notificationFlags \(WholeStore, NewMail/,
      });
    }
    await assert.rejects(session.subscribe({ handle: -1, flags: 2 }), { code: "ERR_NDR_RANGE" });
    await assert.rejects(session.subscribe({ handle: 1, flags: 2, fid: "1" }), { code: "ERR_RECORD_ID" });
    assert.equal(await get(`subscription:${GUID}`), undefined);
    await listener.close();
    await assert.rejects(listener.openSession(), { code: "ERR_SESSION_CLOSED" });
    await assert.rejects(session.subscribe({ handle: 1, flags: 2 }), /closed|not open/);
  });

  test("has at most 1,000 sessions", async () => {
    const listener = await listen();
    const sessions = [];
    for (let n = 0; n < 1_000; n++) sessions.push(await listener.openSession());
    await assert.rejects(listener.openSession(), { code: "ERR_SESSIONS", message: /1000 sessions: close some/ });
    await sessions[0]?.close();
    await listener.openSession();
  });

  test("yields what it has received after it was closed, as its subscriptions then were", async () => {
    const listener = await listen();
    const session = await listener.openSession();
    await session.subscribe({ handle: 1, flags: flags.NewMail });
    const push = createPush(listener.registered);
    for (const eml of ["1.eml", "2.eml", "3.eml"]) await push.send(encodeNotification(mail(eml)));
    const iterator = listener[Symbol.asyncIterator]();
    assert.equal((await iterator.next()).value?.eml, "1.eml");
    await listener.close();
    const rest: unknown[] = [];
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) rest.push(next.value.eml);
    await push.close();
    assert.deepEqual(rest, ["2.eml", "3.eml"]);
    assert.deepEqual(errors, []);
  });

  test("several processes that subscribe at once in one session lose nothing", async () => {
    const listeners = await Promise.all(Array.from({ length: 4 }, () => listen()));
    const sessions = await Promise.all(listeners.map((each) => each.openSession({ guid: GUID })));
    await Promise.all(
      sessions.flatMap((session, at) =>
        [1, 2, 3, 4, 5].map((n) => session.subscribe({ handle: at * 10 + n, flags: flags.NewMail })),
      ),
    );
    const expected = [0, 1, 2, 3].flatMap((at) => [1, 2, 3, 4, 5].map((n) => at * 10 + n));
    assert.deepEqual(
      (await subscriptionsAt(GUID))?.toSorted((a, b) => a - b),
      expected,
    );
  });

  test("has in memcached and in hand what a simple model has, whatever happens", async () => {
    const handle = fc.integer({ min: 1, max: 4 });
    const step = fc.oneof(
      fc.record({ what: fc.constant("subscribe" as const), handle }),
      fc.record({ what: fc.constant("unsubscribe" as const), handle }),
      fc.record({ what: fc.constant("add elsewhere" as const), handle }),
      fc.record({ what: fc.constant("remove elsewhere" as const), handle }),
      fc.record({ what: fc.constantFrom("flush" as const, "look" as const), handle: fc.constant(0) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        const listener = await listen();
        const session = await listener.openSession();
        const key = `subscription:${session.uuid}`;
        const change = async (after: (all: Subscription[]) => Subscription[]): Promise<void> => {
          const value = await get(key);
          const all = after(value === undefined ? [] : decodeSubscriptions(value));
          await (all.length === 0 ? remove(key) : set(key, encodeSubscriptions(all)));
        };
        const model = new Set<number>();
        for (const { what, handle: n } of steps) {
          if (what === "subscribe") await session.subscribe({ handle: n, flags: flags.NewMail });
          if (what === "unsubscribe") assert.equal(await session.unsubscribe(n), model.has(n));
          if (what === "add elsewhere") {
            await change((all) => [...all.filter((each) => each.handle !== n), subscription(n, flags.NewMail)]);
          }
          if (what === "remove elsewhere") await change((all) => all.filter((each) => each.handle !== n));
          // It has to have been seen before it is lost.
          if (what === "flush") {
            await yielded(listener);
            await askMemcached(memcached.port, "flush_all", "OK");
          }
          if (what === "subscribe" || what === "add elsewhere") model.add(n);
          if (what === "unsubscribe" || what === "remove elsewhere") model.delete(n);
          if (what === "flush" || what === "look") {
            const got = (await yielded(listener, mail("1.eml"))).flatMap(({ subscriptions }) => subscriptions);
            assert.deepEqual(new Set(got.map((each) => each.handle)), model);
            assert.deepEqual(new Set((await subscriptionsAt(session.uuid)) ?? []), model);
            const record = await get(`session:${session.guid}`);
            assert.ok(record !== undefined && decodeSession(record).uuid === session.uuid);
          }
        }
        await listener.close();
        assert.deepEqual(errors, []);
      }),
      { numRuns: 25 },
    );
  });
});
