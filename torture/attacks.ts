import type { Attack } from "./attacker.ts";
import { emptyFiles, garbageFiles, garbageLines, segmentsInAdvance, truncateLoop } from "./attacks/files.ts";
import {
  escapes,
  flappingHosts,
  hostsOfOthers,
  hostsThatNeverRead,
  hostsThatReadFast,
  hostsThatReadSlowly,
  refusingHosts,
} from "./attacks/hosts.ts";
import {
  deadNames,
  endlessAnswers,
  hugeValues,
  largeRings,
  manyStrings,
  silentResolver,
  youngResolver,
} from "./attacks/resolvers.ts";

/** By name, for `ATTACKS=`. The strings come first: before the first mail of those who rightly name one. */
export const attacks = {
  "many-strings": manyStrings,
  "endless-answers": endlessAnswers,
  "silent-resolver": silentResolver,
  "young-resolver": youngResolver,
  "huge-values": hugeValues,
  "large-rings": largeRings,
  "dead-names": deadNames,
  "refusing-hosts": refusingHosts,
  "unread-hosts": hostsThatNeverRead,
  "slow-hosts": hostsThatReadSlowly,
  "fast-hosts": hostsThatReadFast,
  "others-hosts": hostsOfOthers,
  "flapping-hosts": flappingHosts,
  escapes,
  "garbage-lines": garbageLines,
  "truncate-loop": truncateLoop,
  "garbage-files": garbageFiles,
  "empty-files": emptyFiles,
  "segments-in-advance": segmentsInAdvance,
} as const satisfies Record<string, Attack>;

export type AttackName = keyof typeof attacks;
