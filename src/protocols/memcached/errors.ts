/** What can go wrong between a caller and memcached; stable, for programs. */
export type MemcachedErrorCode =
  /** The server could not be reached, or refused. */
  | "ERR_MEMCACHED_CONNECT"
  /** The connection broke before the answer was complete. */
  | "ERR_MEMCACHED_CONNECTION"
  /** No connection within the connect timeout, or no answer within the poll timeout. */
  | "ERR_MEMCACHED_TIMEOUT"
  /** It failed a moment ago; not tried again before the retry timeout is over. */
  | "ERR_MEMCACHED_DOWN"
  /** The bytes are not an answer of memcached to what was asked. */
  | "ERR_MEMCACHED_PROTOCOL"
  /** SERVER_ERROR: memcached could not do it. */
  | "ERR_MEMCACHED_SERVER"
  /** CLIENT_ERROR: memcached says that the request is wrong. */
  | "ERR_MEMCACHED_CLIENT"
  /** A key that memcached cannot hold. */
  | "ERR_MEMCACHED_KEY"
  /** A value longer than the limit of this client; of an answer, the fault of that key alone. */
  | "ERR_MEMCACHED_VALUE"
  /** The client was closed. */
  | "ERR_MEMCACHED_CLOSED"
  /** The configuration string is wrong. */
  | "ERR_MEMCACHED_CONFIG"
  /** The configuration string names a file that may not or cannot be read. */
  | "ERR_MEMCACHED_CONFIG_FILE";

/** A failure, as against a miss, which is an answer. `message` says what, where and, where one can, what to do. */
export class MemcachedError extends Error {
  readonly code: MemcachedErrorCode;
  /** Whether the same call may succeed later without anybody changing anything. */
  readonly canRetry: boolean;

  constructor(code: MemcachedErrorCode, message: string, options: { canRetry: boolean; cause?: unknown }) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "MemcachedError";
    this.code = code;
    this.canRetry = options.canRetry;
  }
}

/** A wrong configuration string; the message shows the place. */
export class ConfigStringError extends MemcachedError {
  /** Index of the character in the string (or in the line of a file) at which it went wrong, from 0. */
  readonly offset: number;

  constructor(code: MemcachedErrorCode, message: string, offset: number, cause?: unknown) {
    super(code, message, { canRetry: false, cause });
    this.name = "ConfigStringError";
    this.offset = offset;
  }
}
