import { STATUS_CODES, type OutgoingHttpHeaders } from "node:http";

export const PROBLEM_TYPE = "application/problem+json";

/** An answer that says what is wrong (RFC 9457): thrown by a handler, and what the client gets. */
export class Problem extends Error {
  readonly status: number;
  /** Stable, for programs: `ERR_…`. */
  readonly code: string;
  readonly headers: OutgoingHttpHeaders;

  /** @param detail what is wrong here, and what to do about it */
  constructor(status: number, code: string, detail: string, headers: OutgoingHttpHeaders = {}) {
    super(detail);
    this.name = "Problem";
    this.status = status;
    this.code = code;
    this.headers = headers;
  }

  /** Its type is none of its own, and its title therefore that of the status. */
  toJSON(): object {
    const { status, code, message: detail } = this;
    return { type: "about:blank", title: STATUS_CODES[status], status, detail, code };
  }
}
