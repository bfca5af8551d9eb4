// The process of an attacker: it is told of the site and of his attacks, becomes his uid, says when they are under way, and goes on
// until it is killed or the scenario ends.
import { once } from "node:events";
import { constants, setPriority } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { Attacker, type Site } from "./attacker.ts";
import { attacks, type AttackName } from "./attacks.ts";

const LOOKED_UP_MS = 100;

process.on("disconnect", () => process.exit());
process.send?.("ready");
const [{ site, names }] = (await once(process, "message")) as [{ site: Site; names: readonly AttackName[] }];
// He may use what the processor has left: that the machine is busy is not the daemon's fault.
setPriority(constants.priority.PRIORITY_LOW);
process.setgroups?.([]);
process.setgid?.(site.uid);
process.setuid?.(site.uid);
const attacker = new Attacker(site);
for (const name of names) {
  await attacks[name](attacker);
  // What it registered is looked up before the next one registers something else.
  await delay(LOOKED_UP_MS);
}
process.send?.("under way");
