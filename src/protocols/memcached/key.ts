import { MemcachedError } from "./errors.ts";

/** The longest key in bytes, a namespace included (memcached's KEY_MAX_LENGTH, in its text protocol). */
export const MAX_KEY_BYTES = 250;

// A code unit is at most three bytes of UTF-8, so that a key this short needs no counting.
const SURELY_SHORT = Math.floor(MAX_KEY_BYTES / 3);
const LONE_SURROGATE = /\p{Surrogate}/u;

function refuse(key: string, why: string): MemcachedError {
  const shown = JSON.stringify(key.length > 100 ? `${key.slice(0, 100)}…` : key);
  return new MemcachedError("ERR_MEMCACHED_KEY", `memcached: key ${shown} ${why}`, { canRetry: false });
}

/**
 * Refuses a key that the text protocol cannot carry: the empty one, one with a space or a control character (it would
 * end the key, or the command), one over 250 bytes of UTF-8 with `namespace` before it, one that is not well-formed
 * Unicode (it would be asked for as another key).
 *
 * @throws MemcachedError ERR_MEMCACHED_KEY
 */
export function checkKey(key: string, namespace = ""): void {
  if (key.length === 0) {
    throw refuse(key, "is empty");
  }
  let ascii = true;
  for (let index = 0; index < key.length; index++) {
    const unit = key.charCodeAt(index);
    if (unit <= 0x20 || unit === 0x7f) {
      throw refuse(key, `has ${unit === 0x20 ? "a space" : "a control character"} at character ${index}`);
    }
    ascii &&= unit < 0x80;
  }
  if (!ascii && LONE_SURROGATE.test(key)) {
    throw refuse(key, "is not well-formed Unicode");
  }
  if (key.length + namespace.length > SURELY_SHORT) {
    const bytes = Buffer.byteLength(namespace) + Buffer.byteLength(key);
    if (bytes > MAX_KEY_BYTES) {
      throw refuse(key, `is ${bytes} bytes long${namespace && " with its namespace"}, over ${MAX_KEY_BYTES}`);
    }
  }
}
