import { FakeGetent } from "../fake-getent.ts";
import type { Scenario } from "../scenario.ts";
import { must, usersNamed } from "../world.ts";

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
    const getent = new FakeGetent(world.folder);
    world.configure({ environment: getent.environment });
    await world.start();
    await world.load(["named", ...users], world.size(1_000, 10_000), 1_000);
    await world.until("the name to fail more than once", async () => (await world.status()).hostFailures > 2);
    const { waiting } = await world.status();
    must(waiting > 0, "nothing waits for the name");
    getent.setHosts({ "groupware.test": "127.0.0.1" });
    await world.arrival();
    await world.checkStatus();
    world.note(`${waiting} waited for the name`);
  },
};
