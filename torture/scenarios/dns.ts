import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Scenario } from "../scenario.ts";
import { must, usersNamed } from "../world.ts";

/** Names under .test are in this file, one `address name` a line, or nowhere; every other question is for the system. */
function fakeGetent(hosts: string): string {
  return `#!/bin/sh
case "$1 $3" in
  "ahosts "*.test)
    while read -r address name; do
      if [ "$name" = "$3" ]; then printf '%s STREAM %s\\n' "$address" "$name"; exit 0; fi
    done <"${hosts}"
    exit 2 ;;
  *) PATH=\${PATH#*:} exec getent "$@" ;;
esac
`;
}

/** The system's names cannot be told to fail without touching the system, so the daemon finds another getent. */
export const dns: Scenario = {
  name: "dns",
  claim: "a registered host name does not resolve, and later does",
  async run(world) {
    const { tally } = world;
    await world.memcached();
    const steady = await world.receiver();
    const listening = await world.address();
    const address = listening.replace("127.0.0.1", "groupware.test");
    await world.receiver(listening, address);
    tally.listens("named", [address, steady.address]);
    const users = usersNamed("user", 10);
    for (const user of users) tally.listens(user, [steady.address]);
    await world.register();
    const hosts = join(world.folder, "hosts");
    writeFileSync(hosts, "");
    const programs = join(world.folder, "programs");
    mkdirSync(programs);
    writeFileSync(join(programs, "getent"), fakeGetent(hosts));
    chmodSync(join(programs, "getent"), 0o755);
    world.configure({ environment: { PATH: `${programs}:${process.env["PATH"]}` } });
    await world.start();
    await world.load(["named", ...users], world.size(1_000, 10_000), 1_000);
    await world.until("the name to fail more than once", async () => (await world.status()).hostFailures > 2);
    const { waiting } = await world.status();
    must(waiting > 0, "nothing waits for the name");
    writeFileSync(hosts, "127.0.0.1 groupware.test\n");
    await world.arrival();
    await world.checkStatus();
    world.note(`${waiting} waited for the name`);
  },
};
