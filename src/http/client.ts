import { request as httpRequest, type IncomingMessage } from "node:http";
import { json } from "node:stream/consumers";

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** Why there is no answer. `nobody`: none listens; `silent`: none came in time; `other`: what came is no answer. */
export type Silence = "nobody" | "silent" | "other";

export class NoAnswer extends Error {
  readonly why: Silence;
  constructor(why: Silence, cause: Error) {
    super(cause.message, { cause });
    this.name = "NoAnswer";
    this.why = why;
  }
}

/**
 * Sends a request to a unix socket, with what `body` is as JSON.
 * @throws NoAnswer
 */
export async function ask(
  socketPath: string,
  method: "GET" | "POST",
  path: string,
  { body, timeoutMs }: { readonly body?: unknown; readonly timeoutMs: number },
): Promise<Answer> {
  const payload = body === undefined ? "" : JSON.stringify(body);
  let connected = false;
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(payload) };
      const request = httpRequest(
        { socketPath, method, path, agent: false, signal: timeout, ...(payload === "" ? {} : { headers }) },
        resolve,
      );
      request.on("socket", (socket) => socket.once("connect", () => (connected = true)));
      request.on("error", reject);
      request.end(payload);
    });
    return { status: response.statusCode ?? 0, body: await json(response) };
  } catch (error) {
    if (timeout.aborted) throw new NoAnswer("silent", new Error(`no answer within ${timeoutMs} ms`));
    throw new NoAnswer(connected ? "other" : "nobody", error as Error);
  }
}
