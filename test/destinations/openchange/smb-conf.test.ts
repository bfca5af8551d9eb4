import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import * as fc from "fast-check";
import { notificationCache } from "../../../src/destinations/openchange/smb-conf.ts";

describe("mapistore:notification_cache of smb.conf", () => {
  const folder = mkdtempSync(join(tmpdir(), "ocnotify-smb-"));
  const file = join(folder, "smb.conf");
  const environment = process.env["SMB_CONF_PATH"];
  before(() => {
    process.env["SMB_CONF_PATH"] = file;
    writeFileSync(join(folder, "included.conf"), "[global]\nmapistore:notification_cache = included\n");
    writeFileSync(join(folder, "broken.conf"), "[global\n");
  });
  after(() => {
    if (environment === undefined) delete process.env["SMB_CONF_PATH"];
    else process.env["SMB_CONF_PATH"] = environment;
    rmSync(folder, { recursive: true });
  });
  const read = (text: string): string | undefined => {
    writeFileSync(file, text.replaceAll("$folder", folder));
    return notificationCache()?.resolver;
  };

  // The right-hand sides are what Samba 4.17 (lpcfg_parm_string) says of the text on the left.
  const set = "mapistore:notification_cache = a\n";
  const cases: readonly (readonly [string, string, string | undefined])[] = [
    ["in [global]", `[global]\n${set}`, "a"],
    ["before any section", set, "a"],
    ["in another section", `[global]\n[share]\n${set}`, undefined],
    ["in [global] after another section", `[share]\nx = y\n[GLOBALS]\n${set}`, "a"],
    ["names in any case and with any blanks", "[ Glo bal ] # x\n MapiStore : Notification_ Cache=a\n", "a"],
    ["twice", `[global]\n${set}[x]\n[global]\nmapistore:notification_cache=b\n`, "b"],
    ["commented out", `[global]\n;${set} # ${set}`, undefined],
    ["what looks like a comment in the value", "[global]\nmapistore:notification_cache = a # b ; c\n", "a # b ; c"],
    [
      "going on in the next line",
      "mapistore:notification_cache = --SERVER=a \\\n   --SERVER=b\n",
      "--SERVER=a --SERVER=b",
    ],
    ["going on behind blanks, in a name", "mapistore:notif\\ \t\nication_cache = a\n", "a"],
    ["after a comment that ends in a backslash", `# c \\\n${set}`, "a"],
    ["more blanks than one", "mapistore:notification_cache =  a   b\t \n", "a b"],
    ["with quotes, which stay", 'mapistore:notification_cache = "a"\n', '"a"'],
    ["with CR LF", "[global]\r\nmapistore:notification_cache=a\\\r\nb\r\n", "ab"],
    ["without an end of line", "mapistore:notification_cache=a", "a"],
    ["with a BOM", `\ufeff[global]\n${set}`, "a"],
    ["with more equals signs", "mapistore:notification_cache = --SERVER=a\n", "--SERVER=a"],
    ["on the line of the section", `[global] ${set}`, undefined],
    ["after a line that says nothing", `nonsense\n${set}`, "a"],
    ["after a section without an end", `[global\n${set}`, undefined],
    ["after a parameter without a name", `[global]\n${set}= x\nmapistore:notification_cache = b\n`, "a"],
    ["another parameter", "mapistore:notification_cache:x = a\nnotification_cache = b\n", undefined],
    ["in a file that is included", `${set}include = $folder/included.conf\n`, "included"],
    ["after it", `Include=$folder/included.conf\n${set}`, "a"],
    ["in the section that the file ends with", `[share]\ninclude = $folder/included.conf\n${set}`, "a"],
    ["after a file that is not there", `[global]\n${set}include = $folder/no\nmapistore:notification_cache = b\n`, "a"],
    ["after a broken file", `include = $folder/broken.conf\n${set}`, undefined],
    ["after a file with a macro", `include = $folder/%I\n${set}`, "a"],
  ];
  for (const [what, text, expected] of cases) {
    it(what, () => assert.equal(read(text), expected));
  }

  it("is none without a file, or without a value", () => {
    assert.equal(read("mapistore:notification_cache =\n"), undefined);
    rmSync(file);
    assert.equal(notificationCache(), undefined);
  });

  it("names the file", () => {
    read(set);
    assert.deepEqual(notificationCache(), { file, resolver: "a" });
  });

  it("is bounded: a file that includes itself, and a file without an end", () => {
    assert.equal(read(`${set}include = $folder/smb.conf\n`), "a");
    assert.equal(read(`${set}include = /dev/zero\nmapistore:notification_cache = b\n`), "b");
    assert.equal(read(`${"#\n".repeat(600_000)}${set}`), undefined);
  });

  it("survives any text, and finds a value after it in a section of its own", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom("[", "]", "=", "\\", "\n", " ", "#", ";", "a", "\r", "\0") }),
        (text) => {
          read(text);
          assert.equal(read(`${set}${text}`), "a");
        },
      ),
    );
  });
});
