/**
 * | code | what happened | canRetry |
 * |---|---|---|
 * | `ERR_SP_ADDRESS` | not an address that this side can use | no |
 * | `ERR_SP_REFUSED` | nobody listens there (also: no such ipc path) | yes |
 * | `ERR_SP_UNREACHABLE` | no route to the host | yes |
 * | `ERR_SP_DNS` | the name was not found, or no name server answered | yes |
 * | `ERR_SP_TIMEOUT` | connection or handshake took too long | yes |
 * | `ERR_SP_RESET` | the peer or the network broke the connection | yes |
 * | `ERR_SP_CLOSED` | the peer closed the connection, or this side was already closed | yes |
 * | `ERR_SP_IO` | another error of the system, in `cause` | yes |
 * | `ERR_SP_HANDSHAKE` | the peer does not speak SP | no |
 * | `ERR_SP_PEER_PROTOCOL` | the peer speaks SP, but is not the other half of this socket | no |
 * | `ERR_SP_FRAME` | bytes that are no message | no |
 * | `ERR_SP_MESSAGE_SIZE` | a message over the limit | no |
 * | `ERR_SP_IN_USE` | another process listens at that address | no |
 */
export type SpErrorCode =
  | "ERR_SP_ADDRESS"
  | "ERR_SP_REFUSED"
  | "ERR_SP_UNREACHABLE"
  | "ERR_SP_DNS"
  | "ERR_SP_TIMEOUT"
  | "ERR_SP_RESET"
  | "ERR_SP_CLOSED"
  | "ERR_SP_IO"
  | "ERR_SP_HANDSHAKE"
  | "ERR_SP_PEER_PROTOCOL"
  | "ERR_SP_FRAME"
  | "ERR_SP_MESSAGE_SIZE"
  | "ERR_SP_IN_USE";

const retryable: ReadonlySet<SpErrorCode> = new Set([
  "ERR_SP_REFUSED",
  "ERR_SP_UNREACHABLE",
  "ERR_SP_DNS",
  "ERR_SP_TIMEOUT",
  "ERR_SP_RESET",
  "ERR_SP_CLOSED",
  "ERR_SP_IO",
]);

/** What went wrong with an address, a connection or a message; the table above says what each code means. */
export class SpError extends Error {
  readonly code: SpErrorCode;
  /** Whether the same call may succeed later without anybody changing a configuration. */
  readonly canRetry: boolean;

  constructor(code: SpErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "SpError";
    this.code = code;
    this.canRetry = retryable.has(code);
  }
}

const systemErrors: Readonly<Record<string, readonly [SpErrorCode, string]>> = {
  ECONNREFUSED: ["ERR_SP_REFUSED", "nobody listens there"],
  ENOENT: ["ERR_SP_REFUSED", "there is no such socket"],
  ECONNRESET: ["ERR_SP_RESET", "the connection was reset"],
  EPIPE: ["ERR_SP_RESET", "the peer was gone"],
  ECONNABORTED: ["ERR_SP_RESET", "the connection was aborted"],
  ENETRESET: ["ERR_SP_RESET", "the network broke the connection"],
  ETIMEDOUT: ["ERR_SP_TIMEOUT", "the host did not answer"],
  EHOSTUNREACH: ["ERR_SP_UNREACHABLE", "no route to the host"],
  ENETUNREACH: ["ERR_SP_UNREACHABLE", "no route to the network"],
  EHOSTDOWN: ["ERR_SP_UNREACHABLE", "the host is down"],
  ENETDOWN: ["ERR_SP_UNREACHABLE", "the network is down"],
  EADDRNOTAVAIL: ["ERR_SP_UNREACHABLE", "the address is not available on this machine"],
  ENOTFOUND: ["ERR_SP_DNS", "the host name was not found"],
  EAI_AGAIN: ["ERR_SP_DNS", "no name server answered"],
  EADDRINUSE: ["ERR_SP_IN_USE", "another process listens there"],
  EACCES: ["ERR_SP_IO", "permission denied"],
};

/** The `SpError` for an error of Node's net or dns modules. An `SpError` is returned as it is. */
export function fromSystemError(error: unknown, address: string): SpError {
  if (error instanceof SpError) return error;
  const systemCode = error instanceof Error && "code" in error ? String(error.code) : "";
  const [code, reason] = systemErrors[systemCode] ?? ["ERR_SP_IO", error instanceof Error ? error.message : "failed"];
  return new SpError(code, `${address}: ${reason}${systemCode === "" ? "" : ` (${systemCode})`}`, { cause: error });
}
