import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import fc from "fast-check";
import { stringify } from "yaml";
import { checkConfig, type Config, readConfig } from "../src/config.ts";
import { milliseconds } from "../src/delivery/options.ts";
import { OcnotifyError } from "../src/errors.ts";

const folder = mkdtempSync(join(tmpdir(), "ocnotify-config-"));
const file = join(folder, "ocnotify.yaml");
after(() => rmSync(folder, { recursive: true, force: true }));

function read(text: string): Promise<Config> {
  writeFileSync(file, text);
  return readConfig(file);
}

async function fault(text: string): Promise<string> {
  try {
    await read(text);
  } catch (error) {
    assert.ok(error instanceof OcnotifyError, String(error));
    assert.equal(error.code, "ERR_CONFIG");
    assert.ok(error.message.includes(file));
    return error.message.slice(error.message.indexOf(file) + file.length);
  }
  return assert.fail(`accepted: ${text}`);
}

async function isConfigOrRefused(text: string): Promise<void> {
  try {
    await read(text);
  } catch (error) {
    if (!(error instanceof OcnotifyError) || error.code !== "ERR_CONFIG") throw error;
  }
}

const input = (keys: readonly string[], value: unknown): unknown =>
  keys.reduceRight<unknown>((inner, key) => ({ [key]: inner }), value);

interface Key {
  path: string;
  input: (value: unknown) => unknown;
}

/** Every key of the configuration, and a configuration in which it has a value. Asks the program which there are. */
async function everyKey(within: readonly string[] = []): Promise<Key[]> {
  let known: string[] = [];
  try {
    await checkConfig(input([...within, "no such key"], 1), "");
  } catch (error) {
    known = /no such key: unknown key\. Known here: (.*)$/.exec((error as Error).message)?.[1]?.split(", ") ?? [];
  }
  if (within.length === 1 && within[0] === "destinations") known = ["a"];
  const found = await Promise.all(
    known.map(async (key) => {
      const keys = [...within, key];
      return [{ path: keys.join("."), input: (value: unknown) => input(keys, value) }, ...(await everyKey(keys))];
    }),
  );
  return found.flat();
}

describe("the configuration", () => {
  it("is complete without a file", async () => {
    const { journal, state_directory, destinations, log, drain_timeout } = await checkConfig({}, "defaults");
    assert.deepEqual(journal, {
      directory: "/var/spool/ocnotify/journal",
      mail_users: ["vmail"],
      user_names: {},
      retention: "auto",
      max_size: "1GiB",
    });
    assert.equal(state_directory, "/var/lib/ocnotify");
    assert.equal(drain_timeout, "5s");
    assert.deepEqual(log, { level: "info", format: "text" });
    assert.deepEqual(Object.keys(destinations), ["openchange"]);
    const { resolver, cn, backend, charset, new_mail_events, time_to_live, remove_refused_after } = destinations[
      "openchange"
    ] as Record<string, unknown>;
    assert.deepEqual(
      { resolver, cn, backend, charset, new_mail_events, time_to_live, remove_refused_after },
      {
        resolver: "--SERVER=127.0.0.1:11211",
        cn: "username",
        backend: "sogo",
        charset: "cp850",
        new_mail_events: ["MessageNew"],
        time_to_live: "10m",
        remove_refused_after: "10m",
      },
    );
  });

  it("is the defaults when the file is empty, or all comments", async () => {
    for (const text of ["", "\n", "# nothing\n", "---\n", "null\n", "{}"]) {
      assert.deepEqual(await read(text), await checkConfig({}, "defaults"), text);
    }
  });

  it("takes what the file says and fills in the rest", async () => {
    const config = await read(`
journal:
  mail_users: [vmail, 5000]
  retention: 2d
destinations:
  first: { events: [MessageNew], users: ["*@example.com"], remove_refused_after: never }
  second-one: { mailboxes: [INBOX, "Lists/*"], time_to_live: 90s }
`);
    assert.deepEqual(config.journal.mail_users, ["vmail", 5000]);
    assert.equal(config.journal.retention, "2d");
    assert.equal(config.journal.directory, "/var/spool/ocnotify/journal");
    assert.equal(config.destinations["first"]?.remove_refused_after, "never");
    assert.equal(config.destinations["second-one"]?.time_to_live, "90s");
    assert.deepEqual(config.destinations["second-one"]?.mailboxes, ["INBOX", "Lists/*"]);
  });

  it("names an unknown key, where it is, and the known ones", async () => {
    assert.match(await fault("jornal: {}"), /: jornal: unknown key\. Known here: log, journal, state_directory/);
    assert.match(
      await fault("journal: { dir: /x }"),
      /: journal\.dir: unknown key\. Known here: directory, mail_users, user_names, retention, max_size$/,
    );
    assert.match(
      await fault("destinations: { a: { resolvr: x } }"),
      /: destinations\.a\.resolvr: unknown key\. Known here: type, events, .*resolver/,
    );
  });

  it("names every fault at once, with the path, what is allowed and what it got", async () => {
    const message = await fault(`
log: { level: loud }
journal: { directory: relative, retention: 1 year, mail_users: [{}] }
destinations: { a: { events: [MessageGone], cn: both, users: jdoe } }
`);
    assert.match(message, /log\.level: expected one of error, warn, info, debug, got "loud"/);
    assert.match(message, /journal\.directory: expected an absolute path, got "relative"/);
    assert.match(
      message,
      /journal\.retention: expected a duration such as 500ms, 30s, 10m, 1h or 7d, or auto, got "1 year"/,
    );
    assert.match(message, /journal\.mail_users\.0: expected a user name or uid/);
    assert.match(message, /destinations\.a\.events\.0: expected one of MessageNew, .*, got "MessageGone"/);
    assert.match(message, /destinations\.a\.cn: expected username or email, got "both"/);
    assert.match(message, /destinations\.a\.users: expected a list/);
  });

  it("says what it wants in the operator's words, wherever a value of the wrong kind stands", async () => {
    for (const text of [
      "just words",
      "5",
      "log: 5",
      "journal: x",
      "destinations: { a: 5 }",
      "destinations: x",
      "destinations: [x]",
    ]) {
      const message = await fault(text);
      assert.doesNotMatch(message, /Invalid/, text);
      assert.match(message, /expected .*, got /, text);
    }
  });

  it("says the same of every key and every wrong value: which key, what is allowed and what it got, escaped", async () => {
    const wrong: [value: unknown, shown: string][] = [
      [null, "nothing"],
      [true, "true"],
      [0, "0"],
      [-1, "-1"],
      [1.5, "1.5"],
      [1e9, "1000000000"],
      [NaN, "NaN"],
      [Infinity, "Infinity"],
      ["", '""'],
      [" ", '" "'],
      ["nonsense\n\u001b[31m\u202e", String.raw`"nonsense\n\u001b[31m\u202e"`],
      ["x".repeat(200_000), `"${"x".repeat(100)}…"`],
      [[], "a list"],
      [[[]], "a list"],
      [[null], "nothing"],
      [[""], '""'],
      [{ "\u001b": {} }, "keys with their values"],
    ];
    let refused = 0;
    for (const { path, input } of await everyKey()) {
      for (const [value, shown] of wrong) {
        let message: string;
        try {
          await checkConfig(input(value), "the file");
          continue;
        } catch (error) {
          assert.ok(error instanceof OcnotifyError, String(error));
          ({ message } = error);
        }
        refused++;
        const where = `${path} ${String(value).slice(0, 20)}: ${message}`;
        assert.ok(message.startsWith(`the file: ${path}`), where);
        const said = message.slice(`the file: ${path}`.length);
        assert.match(said, /^(?:\.0|\.\\u001b)?: (?:expected [^\n]+, got |unknown key\. Known here: )/, where);
        assert.equal(said.split(": expected ").length - 1, said.includes("unknown key") ? 0 : 1, where);
        // A list is wrong itself, or what is in it is.
        const got = Array.isArray(value) && !said.startsWith(".0") ? "a list" : shown;
        if (!said.startsWith(".\\")) assert.equal(said.slice(said.lastIndexOf(", got ") + 6), got, where);
        assert.doesNotMatch(said, /Invalid|Expected|Received|undefined|Array|Object/, where);
        assert.doesNotMatch(message, /[\p{Cc}\u202e]/u, where);
      }
    }
    assert.ok(refused > 300, String(refused));
  });

  it("offers never where it is allowed, and says which numbers are", async () => {
    const expected = /a\.remove_refused_after: expected a duration such as .*, or never, got "sometimes"$/;
    assert.match(await fault("destinations: { a: { remove_refused_after: sometimes } }"), expected);
    for (const count of [0, 65_536, 1.5, ".inf"]) {
      const message = await fault(`destinations: { a: { max_connections: ${count} } }`);
      assert.match(message, /a\.max_connections: expected a whole number from 1 to 65535, got \S+$/);
    }
  });

  it("is no list, nowhere where keys are wanted", async () => {
    for (const text of ["[]", "log: []", "journal: []", "destinations: []", "destinations: { a: [] }"]) {
      assert.match(await fault(text), /: expected keys with their values, got a list$/, text);
    }
  });

  it("takes lists of what a destination is given, in which ! excludes", async () => {
    const lists = {
      events: ["MessageNew", "!FlagsSet"],
      users: ["*@example.com", "!JDoe@*", "?lead", "!!lead"],
      mailboxes: ["INBOX", "!EXPUNGED/*", "! x"],
      services: ["lmtp", "indexer-worker", "!*sieve"],
    };
    const { destinations } = await read(stringify({ destinations: { a: lists } }));
    const { events, users, mailboxes, services } = destinations["a"] as Record<string, unknown>;
    assert.deepEqual({ events, users, mailboxes, services }, lists);
  });

  it("says what may stand in such a list", async () => {
    const wrong: readonly (readonly [key: string, entry: unknown, expected: RegExp])[] = [
      ["events", "!MessageGone", /expected one of MessageNew, .*; ! before it excludes it, got "!MessageGone"/],
      ["events", "!", /expected one of MessageNew, .*, got "!"/],
      ["events", "Message*", /expected one of MessageNew, .*, got "Message\*"/],
      ["users", "!", /expected a name in which \* stands for anything; ! before it excludes it, got "!"/],
      ["users", "", /expected a name .*, got ""/],
      ["mailboxes", "!", /expected a name .*, got "!"/],
      ["mailboxes", 5, /expected a name .*, got 5/],
      ["services", "!", /expected a service of Dovecot such as lda, lmtp or imap; ! before it excludes it, got "!"/],
      ["services", "LMTP", /expected a service .*, got "LMTP"/],
      ["services", "lda lmtp", /expected a service .*, got "lda lmtp"/],
      ["services", "!!imap", /expected a service .*, got "!!imap"/],
    ];
    for (const [key, entry, expected] of wrong) {
      const message = await fault(stringify({ destinations: { a: { [key]: ["*", entry] } } }));
      assert.match(message, expected, `${key}: ${String(entry)}`);
      assert.match(message, new RegExp(`destinations\\.a\\.${key}\\.1: `));
    }
    assert.match(await fault("destinations: { a: { services: imap } }"), /a\.services: expected a list/);
  });

  it("refuses a ! that YAML would take away together with the name, and says to put it in quotes", async () => {
    for (const [entry, meant] of [
      ["!doveadm", "!doveadm"],
      ["! doveadm", "!doveadm"],
      ["!EXPUNGED/*", "!EXPUNGED/*"],
      ["!x y", "!x"],
    ] as const) {
      for (const list of [`[${entry}]`, `\n      - ${entry}`]) {
        const message = await fault(`destinations:\n  a:\n    users: ${list}\n`);
        assert.match(message, new RegExp(`line ${list.startsWith("[") ? 3 : 4}: what begins with ! must be in quotes`));
        assert.ok(message.includes(JSON.stringify(meant)), message);
      }
    }
    const { destinations } = await read(`destinations: { a: { users: ["!doveadm", '!x'] } }`);
    assert.deepEqual(destinations["a"]?.users, ["!doveadm", "!x"]);
  });

  it("names destinations plainly, since they name files", async () => {
    for (const name of ["../x", "A", "a b", "", "-a", "a/b", "x".repeat(65)]) {
      assert.match(await fault(stringify({ destinations: { [name]: {} } })), /a name of a-z, 0-9, - and _/, name);
    }
  });

  it("refuses a number that is no uid", async () => {
    for (const uid of ["-1", "1.5", "4294967296"]) {
      assert.match(
        await fault(`journal: { mail_users: [${uid}] }`),
        /journal\.mail_users\.0: expected a user name or uid/,
      );
    }
  });

  it("takes names of Dovecot for names of the system, with one * in both, in the first, or in none", async () => {
    const text = "{'*': '*@example.com', 'EXAMPLE\\*': ['*', '*@example.org'], hans: hans.meier, 'TEST+*': all}";
    assert.deepEqual((await read(`journal: { user_names: ${text} }`)).journal.user_names, {
      "*": "*@example.com",
      "EXAMPLE\\*": ["*", "*@example.org"],
      hans: "hans.meier",
      "TEST+*": "all",
    });
    for (const wrong of ["[x]", "x", "{jdoe: '*@example.com'}", "{'**': '*'}", "{'*': '**'}", "{'': x}", "{'*': 5}"]) {
      assert.match(await fault(`journal: { user_names: ${wrong} }`), /journal\.user_names.*: expected .*, got /, wrong);
    }
  });

  it("refuses a wait that no timer can keep", async () => {
    for (const key of ["connect_timeout", "stall_timeout", "idle_timeout", "retry_first", "retry_most"]) {
      assert.match(await fault(`destinations: { a: { ${key}: 30d } }`), new RegExp(`a\\.${key}: expected .*24d`));
    }
    assert.match(await fault("drain_timeout: 30d"), /drain_timeout: expected .*24d/);
    assert.match(await fault("destinations: { a: { retry_first: 0s } }"), /a\.retry_first: expected/);
    assert.equal((await read("drain_timeout: 0s")).drain_timeout, "0s");
  });

  it("names the line of a syntax error, on one line of its own, escaped", async () => {
    for (const text of [
      "log:\n  level: info\n bad",
      'log: "open \u001b[31m',
      "a: *now\u001bhere",
      "log: {}\nlog: {}",
    ]) {
      assert.doesNotMatch(await fault(text), /\p{Cc}/u);
    }
    assert.match(await fault("log:\n  level: info\n bad"), /line 3/);
    assert.match(await fault('log: "open'), /line 1/);
    assert.match(await fault("log: {}\nlog: {}"), /unique.*line 2/);
    await fault("a: 1\n---\nb: 2");
  });

  it("is refused and nothing worse when YAML's own devices are turned against it", async () => {
    await fault("a: *nowhere");
    const bomb = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"];
    for (let n = 1; n < 9; n++) bomb.push(`a${n}: &a${n} [${`*a${n - 1},`.repeat(10)}]`);
    await fault(bomb.join("\n"));
    await fault("__proto__: { polluted: true }");
    assert.equal((Object.prototype as { polluted?: boolean }).polluted, undefined);
    await fault("? [a, b]\n: c");
    await fault("!!binary x");
    await fault("[".repeat(20_000));
  });

  it("may be missing at the default place only", async () => {
    await assert.rejects(readConfig(join(folder, "none")), {
      code: "ERR_CONFIG",
      message: /cannot read .*none: ENOENT/,
    });
    await assert.rejects(readConfig(folder), { code: "ERR_CONFIG", message: /EISDIR/ });
  });

  it("is a configuration or ERR_CONFIG, whatever the file holds", async () => {
    const key = fc.constantFrom("log", "journal", "destinations", "state_directory", "__proto__", "level", "directory");
    const tree = fc.letrec((tie) => ({
      node: fc.oneof({ maxDepth: 3 }, fc.jsonValue(), fc.dictionary(key, tie("node"), { maxKeys: 3 })),
    })).node;
    await fc.assert(
      fc.asyncProperty(tree, (value) => isConfigOrRefused(stringify(value))),
      { numRuns: 200 },
    );
    await fc.assert(fc.asyncProperty(fc.string(), isConfigOrRefused), { numRuns: 200 });
    const yaml = fc.array(
      fc.constantFrom(..."&*!|>-?:,[]{}#'\"%@` \n\tab1~<".split(""), "&a ", "*a", "- ", ": ", "<<: "),
    );
    await fc.assert(
      fc.asyncProperty(yaml, (parts) => isConfigOrRefused(parts.join(""))),
      { numRuns: 500 },
    );
  });
});

describe("a duration", () => {
  it("is a number and a unit", () => {
    const all = ["500ms", "0s", "30s", "10m", "1h", "7d"].map(milliseconds);
    assert.deepEqual(all, [500, 0, 30_000, 600_000, 3_600_000, 604_800_000]);
  });

  it("is nothing else", async () => {
    for (const text of ["", "1", "s", "1.5h", "-1s", " 1s", "1s ", "1 s", "1S", "1w", "1e3s", "1234567890s", "1s\n"]) {
      assert.match(await fault(stringify({ journal: { retention: text } })), /expected a duration such as/);
    }
  });
});
