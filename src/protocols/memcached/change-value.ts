import type { MemcachedPool } from "./pool.ts";

/** Others change the same value at the same time; each round somebody wins, so this many is beyond bad luck. */
export const MAX_CHANGE_ROUNDS = 1_000;

/** An exptime in the past: memcached drops the item at once (protocol.txt, "negative value … immediately expired"). */
const EXPIRED = -1;

export interface ValueChange {
  /** What is to be there instead. */
  readonly value: Buffer;
  /** Whether the value is as good as none, and the key is to be deleted. */
  readonly empty: boolean;
}

/**
 * Changes the value of a key, safe beside any number of others who do the same.
 * @param change gets the value that is there, and says what is to be there instead, or nothing to leave it. It is called
 * again for each round in which somebody else was faster
 * @returns whether the value was changed; undefined when others were faster MAX_CHANGE_ROUNDS times in a row
 * @throws MemcachedError, and what `change` throws
 */
export async function changeValue(
  pool: MemcachedPool,
  key: string,
  change: (before: Buffer | undefined) => ValueChange | undefined,
): Promise<boolean | undefined> {
  const server = pool.serverFor(key);
  const wireKey = pool.wireKey(key);
  for (let round = 0; round < MAX_CHANGE_ROUNDS; round++) {
    const found = await server.gets(wireKey);
    const after = change(found?.value);
    if (after === undefined) return false;
    if (found === undefined) {
      if (after.empty) return false;
      if ((await server.add(wireKey, after.value)) === "stored") return true;
      continue;
    }
    // memcached cannot delete on condition. An empty record that nobody has touched since is as good as none, and it
    // expires at once; whoever writes meanwhile makes our cas fail, and then it is theirs.
    const options = after.empty ? { cas: found.cas, exptime: EXPIRED } : { cas: found.cas };
    if ((await server.cas(wireKey, after.value, options)) === "stored") return true;
  }
  return undefined;
}
