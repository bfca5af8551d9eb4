import { MemcachedError } from "./errors.ts";
import type { ReplyLine, ReplyType, ValueItem } from "./parser.ts";

/** A request on its way: what is written, and what is done with the answer. */
export interface Request {
  readonly payload: string | Buffer;
  /** Whether it may be sent again when nobody knows if it arrived. */
  readonly idempotent: boolean;
  /** Set when it was sent again, which is done once. */
  retried: boolean;
  /** An item of the answer. @throws MemcachedError if nobody asked for it. */
  onValue(item: ValueItem): void;
  /** A line of the answer; true when it was the last. @throws MemcachedError if it is no answer to this. */
  onReply(reply: ReplyLine): boolean;
  fail(error: MemcachedError): void;
}

/** How an item was found. */
export interface StoredValue {
  /** Shares memory with what was received; copy it to keep it for long. */
  value: Buffer;
  flags: number;
}

export interface CasValue extends StoredValue {
  /** The cas unique for `cas`, 64 bits in decimal. */
  cas: string;
}

export type StoreResult = "stored" | "not-stored" | "exists" | "not-found";

/**
 * The longest `get` line in characters. Memcached nukes a connection with a longer line of any
 * other command, and takes a slower way for a longer `get`.
 */
const MAX_GET_LINE = 2000;

function unexpected(what: string, asked: string): MemcachedError {
  const message = `memcached answered ${what} to ${asked}`;
  return new MemcachedError("ERR_MEMCACHED_PROTOCOL", message, { canRetry: true });
}

function serverError(text: string): MemcachedError {
  // The one SERVER_ERROR that stays the same however often one asks.
  const canRetry = !text.startsWith("object too large");
  return new MemcachedError("ERR_MEMCACHED_SERVER", `memcached: SERVER_ERROR ${text}`, { canRetry });
}

/**
 * Looks up many keys in one round trip: as many `get` lines as needed, written at once. `found` gets each item as it comes,
 * so that nothing has to hold a whole answer; a miss is not among them.
 */
export function getEachRequest(
  keys: readonly string[],
  found: (item: ValueItem) => void,
  resolve: () => void,
  reject: (error: MemcachedError) => void,
): Request {
  // Each once: an answer that has a key twice is then no answer to this.
  const unanswered = new Set(keys);
  let payload = "";
  let line = "get";
  let ends = 1;
  for (const key of unanswered) {
    if (line.length + key.length > MAX_GET_LINE) {
      payload += `${line}\r\n`;
      line = "get";
      ends++;
    }
    line += ` ${key}`;
  }
  let failure: MemcachedError | undefined;
  return {
    payload: `${payload}${line}\r\n`,
    idempotent: true,
    retried: false,
    onValue(item) {
      if (!unanswered.delete(item.key)) {
        throw unexpected(`with the key ${JSON.stringify(item.key)}, not asked or for the second time,`, "a get");
      }
      found(item);
    },
    onReply(reply) {
      if (reply.type === "server-error") {
        failure ??= serverError(reply.text);
      } else if (reply.type !== "end") {
        throw unexpected(reply.type, "a get");
      }
      ends--;
      if (ends > 0) {
        return false;
      }
      if (failure === undefined) {
        resolve();
      } else {
        reject(failure);
      }
      return true;
    },
    fail: reject,
  };
}

/** Looks up one key with its cas unique; undefined is a miss. */
export function getsRequest(
  key: string,
  resolve: (found: ValueItem | undefined) => void,
  reject: (error: MemcachedError) => void,
): Request {
  let found: ValueItem | undefined;
  return {
    payload: `gets ${key}\r\n`,
    idempotent: true,
    retried: false,
    onValue(item) {
      if (item.key !== key || item.cas === undefined || found !== undefined) {
        throw unexpected(`with the key ${JSON.stringify(item.key)}`, `gets ${JSON.stringify(key)}`);
      }
      found = item;
    },
    onReply(reply) {
      if (reply.type === "server-error") {
        reject(serverError(reply.text));
      } else if (reply.type === "end") {
        resolve(found);
      } else {
        throw unexpected(reply.type, "a gets");
      }
      return true;
    },
    fail: reject,
  };
}

/** A request that one line answers; `interpret` gives its result, or undefined for a line that is no answer to it. */
export function lineRequest<T>(
  payload: string | Buffer,
  interpret: (reply: ReplyLine) => T | undefined,
  resolve: (result: T) => void,
  reject: (error: MemcachedError) => void,
): Request {
  return {
    payload,
    idempotent: false,
    retried: false,
    onValue() {
      throw unexpected("with a value", "a request for none");
    },
    onReply(reply) {
      if (reply.type === "server-error") {
        reject(serverError(reply.text));
        return true;
      }
      const result = interpret(reply);
      if (result === undefined) {
        throw unexpected(reply.type, "a request of another kind");
      }
      resolve(result);
      return true;
    },
    fail: reject,
  };
}

/** Asks for how many seconds the server has been up; undefined when it does not say. */
export function uptimeRequest(
  resolve: (seconds: number | undefined) => void,
  reject: (error: MemcachedError) => void,
): Request {
  let seconds: number | undefined;
  return {
    payload: "stats\r\n",
    idempotent: true,
    retried: false,
    onValue() {
      throw unexpected("with a value", "stats");
    },
    onReply(reply) {
      if (reply.type === "stat") {
        const uptime = /^uptime (\d{1,10})$/.exec(reply.text)?.[1];
        if (uptime !== undefined) seconds = Number(uptime);
        return false;
      }
      if (reply.type === "server-error") reject(serverError(reply.text));
      else if (reply.type === "end") resolve(seconds);
      else throw unexpected(reply.type, "stats");
      return true;
    },
    fail: reject,
  };
}

/** The bytes of `set`, `add` or `cas`; `exptime` in seconds (0: never), as in protocol.txt. */
export function storePayload(
  command: "set" | "add" | "cas",
  key: string,
  value: Uint8Array,
  options: { flags: number; exptime: number; cas?: string },
): Buffer {
  const unique = options.cas === undefined ? "" : ` ${options.cas}`;
  const head = `${command} ${key} ${options.flags} ${options.exptime} ${value.length}${unique}\r\n`;
  const headLength = Buffer.byteLength(head);
  const payload = Buffer.allocUnsafe(headLength + value.length + 2);
  payload.write(head, 0, "utf8");
  payload.set(value, headLength);
  payload.write("\r\n", headLength + value.length, "latin1");
  return payload;
}

const STORE_RESULTS: Partial<Record<ReplyType, StoreResult>> = {
  stored: "stored",
  "not-stored": "not-stored",
  exists: "exists",
  "not-found": "not-found",
};

/** The result of a store, or undefined for a line that is none. */
export function interpretStore(reply: ReplyLine): StoreResult | undefined {
  return STORE_RESULTS[reply.type];
}
