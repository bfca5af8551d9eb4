import { closeSync, ftruncateSync, openSync, writeSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import type { Attack, Attacker } from "../attacker.ts";

const FAR_BUCKET = 900_000_000_000;
const AT_ONCE = 1_000;

/** As many lines that are no records as there can be. */
export const garbageLines: Attack = async (attacker) => {
  attacker.writeText("x\n".repeat(attacker.size(100_000, 2_000_000)));
  return Promise.resolve();
};

/** A segment that is cut off again and again, and has something else in it each time. */
export const truncateLoop: Attack = async (attacker) => {
  const segment = openSync(attacker.path(attacker.bucket), "w", 0o640);
  let turns = 0;
  setInterval(() => {
    turns++;
    if (turns % 2 === 0) ftruncateSync(segment, 0);
    else writeSync(segment, `${turns} is no record\n`.repeat(10), 0);
  }, 1);
  return Promise.resolve();
};

export const garbageFiles: Attack = (attacker) => makeFiles(attacker, attacker.size(500, 50_000), 0, "x\n");

export const emptyFiles: Attack = (attacker) => makeFiles(attacker, attacker.size(1_000, 300_000), 1_000_000, "");

/** The next segments of those who deliver mail: in the long version for a year. */
export const segmentsInAdvance: Attack = async (attacker) => {
  const { mailUid } = attacker.site;
  const count = attacker.size(1_000, 52_560);
  for (let ahead = 1; ahead <= count; ahead++) {
    try {
      make(attacker.path(attacker.bucket + ahead, mailUid), "");
    } catch (error) {
      // Those who deliver have made it before, and the kernel lets nobody else open it.
      if ((error as NodeJS.ErrnoException).code !== "EACCES") throw error;
    }
    if (ahead % AT_ONCE === 0) await delay(1);
  }
};

async function makeFiles(attacker: Attacker, count: number, from: number, text: string): Promise<void> {
  for (let made = 0; made < count; made++) {
    make(attacker.path(FAR_BUCKET - from - made), text);
    if (made % AT_ONCE === 0) await delay(1);
  }
}

function make(path: string, text: string): void {
  const file = openSync(path, "w", 0o640);
  if (text !== "") writeSync(file, text);
  closeSync(file);
}
