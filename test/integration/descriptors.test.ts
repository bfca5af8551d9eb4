import assert from "node:assert/strict";
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { Resolver } from "../../src/destinations/openchange/resolver.ts";
import { bindPull } from "../../src/protocols/sp/pull-socket.ts";
import { destinationStatus } from "../helpers/status.ts";
import { startMemcached } from "../helpers/memcached.ts";
import { makeWorkspace, startDaemon } from "../helpers/ocnotify.ts";
import { freePort } from "../helpers/ports.ts";
import { waitFor } from "../helpers/wait.ts";
import { bucketAt, segmentName } from "../helpers/segments.ts";

/** As few as a daemon can live with. */
const LIMIT = 96;
/** More than the limit allows connections to. */
const HOSTS = 80;
/** More than the daemon keeps open, so that records that were put away must be read from files that are opened again. */
const SEGMENTS = 120;

describe("a daemon short of descriptors", () => {
  test("loses no record, answers on its status socket, and says what to raise", async (t) => {
    const memcached = await startMemcached();
    const resolver = new Resolver(memcached.config);
    const workspace = makeWorkspace();
    const port = await freePort();
    t.after(async () => {
      resolver.close();
      await memcached.stop();
      workspace.remove();
    });
    const hosts = Array.from({ length: HOSTS }, (_, n) => `tcp://127.0.1.${n + 1}:${port}`);
    for (const host of hosts) await resolver.register("jdoe", host);

    const bucket = bucketAt();
    for (let n = 0; n < SEGMENTS; n++) {
      const record = { v: 1, ts: Date.now() * 1_000, event: "MessageNew", user: "jdoe", mailbox: "INBOX", sep: "/" };
      appendFileSync(
        join(workspace.journal, segmentName(bucket - n)),
        `${JSON.stringify({ ...record, uids: String(n + 1) })}\n`,
      );
    }
    const config = workspace.configFile({
      journal: { directory: workspace.journal },
      state_directory: workspace.stateDir,
      destinations: {
        openchange: { resolver: memcached.config, retry_first: "100ms", retry_most: "200ms", idle_timeout: "1s" },
      },
    });
    const wrapper = ["prlimit", `--nofile=${LIMIT}:${LIMIT}`];
    const daemon = await startDaemon({ journal: workspace.journal, stateDir: workspace.stateDir, config, wrapper });
    t.after(async () => daemon.stop("SIGKILL"));
    const status = () => destinationStatus(workspace.stateDir);
    await waitFor("all to wait for the hosts", async () => (await status())?.waiting === HOSTS * SEGMENTS);
    // Every address of 127.0.0.0/8 is this host: one socket stands for all servers.
    const pull = await bindPull(`tcp://*:${port}`);
    t.after(() => pull.close());
    let received = 0;
    void (async () => {
      for await (const _message of pull) received++;
    })();
    await waitFor("everybody to be told", async () => (await status())?.waiting === 0, 60_000);
    assert.deepEqual((await status())?.dropped, {});
    assert.equal((await status())?.sent, HOSTS * SEGMENTS);
    assert.ok(received >= HOSTS * SEGMENTS, `${received} received`);
    const said = daemon.log().filter(({ msg }) => /LimitNOFILE/.test(msg));
    assert.equal(said.length, 1, JSON.stringify(said));
  });
});
