import type { Scenario } from "./scenario.ts";
import { attacker } from "./scenarios/attacker.ts";
import { backlog, slow } from "./scenarios/backlog.ts";
import { cursorDiskFull, cursorKill } from "./scenarios/cursor.ts";
import { dns } from "./scenarios/dns.ts";
import { expired } from "./scenarios/expired.ts";
import { badHosts, dead, deadHosts } from "./scenarios/hosts.ts";
import { kill } from "./scenarios/kill.ts";
import { memcachedAnswers, memcachedRestart } from "./scenarios/memcached.ts";
import { mix } from "./scenarios/mix.ts";
import { model } from "./scenarios/model.ts";
import { receiverBusy, receiverRestart } from "./scenarios/receiver.ts";
import { stalled } from "./scenarios/stalled.ts";
import { flat } from "./scenarios/steady.ts";
import { stop } from "./scenarios/stop.ts";

export const scenarios: readonly Scenario[] = [
  kill,
  memcachedRestart,
  memcachedAnswers,
  receiverRestart,
  receiverBusy,
  stalled,
  slow,
  badHosts,
  deadHosts,
  dead,
  backlog,
  expired,
  stop,
  cursorKill,
  cursorDiskFull,
  dns,
  model,
  attacker,
  flat,
  mix,
];
