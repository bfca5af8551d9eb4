import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { ASKED_BY } from "../../../src/destinations/openchange/asks-for.ts";
import { notificationsOf } from "../../../src/destinations/openchange/notifications.ts";
import {
  createPush,
  encodeNewMail,
  EVENT_NAMES,
  notificationFlags,
  parseRecord,
  Resolver,
  type EventName,
  type Notification,
} from "../../../src/index.ts";
import { checkConfig } from "../../../src/config.ts";
import { settingsOf } from "../../../src/delivery/options.ts";
import { options } from "../../../src/destinations/openchange/options.ts";
import { startMemcached } from "../../helpers/memcached.ts";
import { startProgram } from "../../helpers/ocnotify.ts";
import { waitFor } from "../../helpers/wait.ts";

const read = (path: string): string => readFileSync(new URL(`../../../${path}`, import.meta.url), "utf8");
const DOCUMENT = read("docs/openchange-server.md");
const IDL = read("docs/ocnotify-extended.idl");

const { backend, new_mail_events: NEW_MAIL_EVENTS } = settingsOf(options, {
  ...(await checkConfig({}, "defaults")).destinations["openchange"],
});

interface Row {
  flags: number;
  type: Notification["type"];
  events: readonly string[];
  mapi: string[];
  askedBy: string[];
}

/** The table under "Which notification it is". */
const rows = DOCUMENT.split("\n")
  .filter((line) => line.startsWith("| `0x"))
  .map((line): Row => {
    const [, flags = "", type = "", events = "", mapi = "", askedBy = ""] = line.split("|").map((cell) => cell.trim());
    return {
      flags: Number(flags.replaceAll("`", "")),
      type: type as Notification["type"],
      events: events === "those of `new_mail_events`" ? NEW_MAIL_EVENTS : events.split(", "),
      mapi: mapi.split(/, (?:and )?/),
      askedBy: askedBy.replaceAll("`", "").split(", "),
    };
  });

/** What the daemon makes of an event, with the extension and all else as it is by default. */
function typesOf(event: EventName): string[] {
  const common = { v: 1, ts: 1, event, user: "jdoe", mailbox: "INBOX", sep: "/", uids: "7" };
  const record = JSON.stringify({ ...common, flags: ["\\Seen"], oldMailbox: "Old", oldUids: "8" });
  const settings = { backend, newMailEvents: new Set<EventName>(NEW_MAIL_EVENTS), extended: true };
  const made = notificationsOf(parseRecord(record), settings);
  const types: string[] = [];
  for (let next = made.next(); next.done !== true; next = made.next()) types.push(next.value.type);
  return types;
}

describe("docs/openchange-server.md", () => {
  test("has each payload, with its flags, and the flags of a subscription that ask for it", () => {
    assert.deepEqual(Object.fromEntries(rows.map(({ type, askedBy }) => [type, askedBy])), ASKED_BY);
    for (const { flags, type } of rows) assert.equal(flags, notificationFlags[type], type);
    assert.deepEqual(
      rows.map(({ flags }) => flags),
      [...IDL.matchAll(/^\t\tOCNOTIFY_\w+\s*= (0x[0-9A-F]{4}),?$/gm)].map(([, flag]) => Number(flag)),
    );
  });

  test("names the MAPI notification of the same value", () => {
    for (const { type, mapi } of rows) assert.equal(mapi[0], `fnev${type}`);
  });

  test("names the events of the journal that each is made of", () => {
    for (const event of EVENT_NAMES) {
      const documented = rows.filter(({ events }) => events.includes(event)).map(({ type }) => type);
      assert.deepEqual(documented, typesOf(event), event);
    }
  });

  test("names no error code that the program does not have", () => {
    const sources = ["listener", "destinations/openchange/sessions", "destinations/openchange/session-records"]
      .concat(["session", "subscription"].map((name) => `destinations/openchange/codec/${name}`))
      .map((name) => read(`src/${name}.ts`))
      .join("");
    const codes = new Set(DOCUMENT.match(/ERR_\w+/g));
    assert.ok(codes.size > 5);
    for (const code of codes) assert.ok(sources.includes(`"${code}",`) || sources.includes(`"${code}", `), code);
  });

  test("has a program that runs", async () => {
    const [, program = ""] = /```js\n([^]*?)```/.exec(DOCUMENT) ?? [];
    const memcached = await startMemcached();
    const folder = mkdtempSync(join(tmpdir(), "ocnotify-document-"));
    const file = join(folder, "program.mjs");
    const library = new URL("../../../src/index.ts", import.meta.url).href;
    writeFileSync(
      file,
      program.replace('"ocnotify"', JSON.stringify(library)).replace("--SERVER=127.0.0.1:11211", memcached.config),
    );
    const running = startProgram(["--import", "tsx", file]);
    const resolver = new Resolver(memcached.config);
    try {
      const host = await waitFor("the registration", async () => (await resolver.hosts("jdoe"))[0]);
      const push = createPush(host ?? "");
      // The subscription comes after the registration.
      await waitFor("its line", async () => {
        for (const folder of ["Work", "INBOX"]) {
          await push.send(encodeNewMail({ backend: "sogo", eml: "42.eml", folder, separator: "/" }));
        }
        return running.stdout() !== "";
      });
      await push.close();
      assert.match(running.stdout(), /^(NewMail 42\.eml INBOX for handle 66 of [0-9a-f-]{36}\n)+$/);
      assert.equal(running.stderr(), "");
    } finally {
      await running.stop("SIGKILL");
      resolver.close();
      await memcached.stop();
      rmSync(folder, { recursive: true });
    }
  });
});
