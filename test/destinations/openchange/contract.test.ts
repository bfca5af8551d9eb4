import type { TestContext } from "node:test";
import { decodeNotification } from "../../../src/destinations/openchange/codec/extended.ts";
import { openchange } from "../../../src/destinations/openchange/kind.ts";
import { Resolver } from "../../../src/destinations/openchange/resolver.ts";
import { bindPull, type PullSocket } from "../../../src/protocols/sp/pull-socket.ts";
import { destinationContract, USERS, type Subject } from "../../helpers/destination-contract.ts";
import { startMemcached } from "../../helpers/memcached.ts";

/** One server that every user has a session at. */
async function subject(t: TestContext): Promise<Subject> {
  const received: string[] = [];
  const collect = async (socket: PullSocket): Promise<void> => {
    for await (const message of socket) {
      const notification = decodeNotification(message);
      if (notification.type === "NewMail") received.push(`${notification.folder} ${notification.eml.split(".")[0]}`);
    }
  };
  let socket = await bindPull("tcp://127.0.0.1:0");
  const { address } = socket;
  void collect(socket);
  const memcached = await startMemcached();
  const resolver = new Resolver(memcached.config);
  for (const user of USERS) await resolver.register(user, address);
  t.after(async () => {
    await socket.close();
    resolver.close();
    await memcached.stop();
  });
  return {
    kind: openchange,
    written: { resolver: memcached.config, restart_grace: "0s", retry_first: "20ms", retry_most: "200ms" },
    receivers: {
      received,
      async interrupt() {
        await socket.close();
        return async () => {
          socket = await bindPull(address);
          void collect(socket);
        };
      },
    },
  };
}

destinationContract("openchange", subject);
