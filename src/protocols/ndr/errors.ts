/** `ERR_NDR_TRUNCATED` the bytes end early · `ERR_NDR_TRAILING` more bytes than the record · `ERR_NDR_COUNT` an array
 * that is too long or whose two counts differ · `ERR_NDR_STRING` a string with a NUL, or too long ·
 * `ERR_NDR_RANGE` a number that its field cannot hold. */
export type NdrErrorCode =
  | "ERR_NDR_TRUNCATED"
  | "ERR_NDR_TRAILING"
  | "ERR_NDR_COUNT"
  | "ERR_NDR_STRING"
  | "ERR_NDR_RANGE";

/** Bytes that are not the record they should be, or a value that cannot be written. */
export class NdrError extends Error {
  readonly code: NdrErrorCode;
  /** Where in the record, in bytes from its start. */
  readonly offset: number;
  /** Always false: the same bytes fail again. */
  readonly canRetry = false;

  constructor(code: NdrErrorCode, offset: number, message: string, options: { cause?: unknown } = {}) {
    super(`${message} (at offset ${offset})`, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "NdrError";
    this.code = code;
    this.offset = offset;
  }
}
