import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { LookupAddress } from "node:dns";
import { connect, createServer, type AddressInfo } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import { NameLookups } from "../src/name-lookups.ts";
import { waitFor } from "./helpers/wait.ts";

type Lookup = ReturnType<NameLookups["for"]>;

/** All addresses of a name. */
function addresses(lookup: Lookup, name: string, family = 0): Promise<LookupAddress[]> {
  return new Promise((resolve, reject) => {
    lookup(name, { all: true, family }, (error, found) => {
      if (error === null) resolve(found as LookupAddress[]);
      else reject(error);
    });
  });
}

describe("looking up names", () => {
  let folder: string;
  let getent: string;
  const asked = (): string[] => {
    const file = join(folder, "asked");
    return existsSync(file) ? readFileSync(file, "utf8").trimEnd().split("\n") : [];
  };
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "ocnotify-names-"));
    getent = join(folder, "getent");
    // `dead…` has a name server that does not answer until `release` is there; `no…` is unknown.
    writeFileSync(
      getent,
      `#!/bin/sh
echo "$3" >>${folder}/asked
case $3 in
  dead*) while [ ! -e ${folder}/release ]; do sleep 0.05; done; exit 2 ;;
  no*) exit 2 ;;
  *) printf '192.0.2.1       STREAM %s\\n192.0.2.1       DGRAM\\n2001:db8::1     STREAM\\n' "$3" ;;
esac
`,
    );
    chmodSync(getent, 0o755);
  });
  beforeEach(() => {
    rmSync(join(folder, "asked"), { force: true });
    rmSync(join(folder, "release"), { force: true });
  });
  after(() => {
    writeFileSync(join(folder, "release"), "");
    rmSync(folder, { recursive: true });
  });

  it("connects by a name that the system knows", async () => {
    const server = createServer((socket) => socket.end()).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const socket = connect({ host: "localhost", port, lookup: new NameLookups().for("") });
    await once(socket, "connect");
    socket.destroy();
    server.close();
  });

  it("gives each address once, of the family that is wanted", async () => {
    const lookup = new NameLookups(getent).for("");
    const v4 = { address: "192.0.2.1", family: 4 };
    const v6 = { address: "2001:db8::1", family: 6 };
    assert.deepEqual(await addresses(lookup, "a.test"), [v4, v6]);
    assert.deepEqual(await addresses(lookup, "a.test", 6), [v6]);
    assert.deepEqual(await new Promise((done) => lookup("a.test", {}, (...answer) => done(answer))), [
      null,
      "192.0.2.1",
      4,
    ]);
  });

  it("asks for a name once for all who want it, and not again for what is known or has failed", async () => {
    const lookup = new NameLookups(getent).for("");
    const wanted = ["a.test", "a.test", "no.test", "no.test"];
    const results = await Promise.allSettled(wanted.map((name) => addresses(lookup, name)));
    assert.deepEqual(
      results.map(({ status }) => status),
      ["fulfilled", "fulfilled", "rejected", "rejected"],
    );
    await addresses(lookup, "a.test");
    await assert.rejects(addresses(lookup, "no.test"), { code: "ENOTFOUND", message: "getaddrinfo ENOTFOUND no.test" });
    assert.deepEqual(asked().toSorted(), ["a.test", "no.test"]);
  });

  it("lets dead names hold up nobody but their asker", async () => {
    const names = new NameLookups(getent);
    const dead = Array.from({ length: 50 }, (_, index) => addresses(names.for("guilty"), `dead${index}.test`));
    await waitFor("some of them to be asked for", () => asked().length >= 4);
    for (const asker of ["", "other"]) assert.equal((await addresses(names.for(asker), `${asker}a.test`)).length, 2);
    assert.equal(asked().filter((name) => name.startsWith("dead")).length, 4);
    writeFileSync(join(folder, "release"), "");
    const results = await Promise.allSettled(dead);
    assert.ok(results.every(({ status }) => status === "rejected"));
  });

  it("takes Node's own look-up where there is no getent", async () => {
    const found = await addresses(new NameLookups(join(folder, "none")).for(""), "localhost");
    assert.ok(found.some(({ address }) => address === "127.0.0.1" || address === "::1"));
  });
});
