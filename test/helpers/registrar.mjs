// A server among many: registers and unregisters its hosts for a user, again and again, and at last keeps some of them.
// Arguments: resolver string, user, rounds, then hosts: those to keep after a "+", those not to keep after a "-".
import { Resolver } from "ocnotify";

const [configuration = "", user = "", rounds = "1", ...hosts] = process.argv.slice(2);
const resolver = new Resolver(configuration);
for (let round = 0; round < Number(rounds); round++) {
  for (const host of hosts) await resolver.register(user, host.slice(1));
  for (const host of hosts) await resolver.unregister(user, host.slice(1));
}
for (const host of hosts) if (host.startsWith("+")) await resolver.register(user, host.slice(1));
resolver.close();
