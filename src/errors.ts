/** An error that an operator or a caller can act on: `code` is stable, `message` says what, where and what to do. */
export class OcnotifyError extends Error {
  /** Stable, for programs: `ERR_…`. */
  readonly code: string;
  /** Whether the same call may succeed later without anybody changing anything. */
  readonly canRetry: boolean;

  constructor(code: string, message: string, options: { cause?: unknown; canRetry?: boolean } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "OcnotifyError";
    this.code = code;
    this.canRetry = options.canRetry ?? false;
  }
}
