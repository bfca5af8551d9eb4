import { rmSync } from "node:fs";
import { createServer, STATUS_CODES, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { OcnotifyError } from "../errors.ts";
import type { Logger } from "../log.ts";
import { Problem, PROBLEM_TYPE } from "./problem.ts";
import { findRoute, type Route } from "./router.ts";

/** Clients of one socket at once; further ones are turned away. */
const MAX_CLIENTS = 64;
/** What a client may take to send its request, and then to read the answer. */
const CLIENT_MS = 5_000;
const MAX_HEADER_BYTES = 8 * 1024;
const MAX_BODY_BYTES = 16 * 1024;

export interface UnixSocket {
  readonly path: string;
  /** Who may use it: its permissions. */
  readonly mode: number;
}

/**
 * Answers requests on a unix socket, one for each connection. A client is given its time and no more, and what it sends
 * is bounded: one that is slow, or means harm, costs the others of its socket a place at most.
 * @returns how to stop that
 * @throws OcnotifyError ERR_SOCKET when the socket cannot be made
 */
export async function serveOnSocket(
  socket: UnixSocket,
  routes: readonly Route[],
  log: Logger,
  clientMs = CLIENT_MS,
): Promise<{ close(): void }> {
  const server = createServer(
    {
      headersTimeout: clientMs,
      requestTimeout: clientMs,
      connectionsCheckingInterval: clientMs / 10,
      maxHeaderSize: MAX_HEADER_BYTES,
    },
    (request, response) => {
      // A client that goes away takes it from the request.
      const { socket } = request;
      response.once("prefinish", () => giveTime(socket, clientMs));
      void respond(routes, request, response, log);
    },
  );
  server.maxConnections = MAX_CLIENTS;
  server.on("clientError", refuse);
  await listen(server, socket);
  server.unref();
  return {
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function respond(
  routes: readonly Route[],
  request: IncomingMessage,
  response: ServerResponse,
  log: Logger,
): Promise<void> {
  // A client that goes away is no error of ours.
  response.on("error", () => undefined);
  try {
    const { method = "", url = "" } = request;
    const { route, parameters } = findRoute(routes, method, url);
    const body = route.method === "POST" ? await readJson(request) : undefined;
    send(response, 200, "application/json", await route.handle({ parameters, body }));
  } catch (error) {
    const problem = error instanceof Problem ? error : internal(error, log);
    for (const [name, value] of Object.entries(problem.headers)) response.setHeader(name, value ?? "");
    send(response, problem.status, PROBLEM_TYPE, problem);
  }
}

/** Time to read the answer. */
function giveTime(socket: Socket, clientMs: number): void {
  const timer = setTimeout(() => socket.destroy(), clientMs);
  timer.unref();
  socket.once("close", () => clearTimeout(timer));
}

function internal(error: unknown, log: Logger): Problem {
  const { message } = error as Error;
  log.error({ err: error }, `a request failed: ${message}`);
  return new Problem(500, "ERR_INTERNAL", `${message}. The daemon's log says more`);
}

function send(response: ServerResponse, status: number, type: string, value: unknown): void {
  const body = `${JSON.stringify(value)}\n`;
  response.writeHead(status, {
    "content-type": type,
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
    connection: "close",
  });
  response.end(body);
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > MAX_BODY_BYTES) break;
      chunks.push(chunk);
    }
  } catch (error) {
    throw new Problem(400, "ERR_HTTP_BODY", `the body could not be read: ${(error as Error).message}`);
  }
  if (length > MAX_BODY_BYTES) {
    throw new Problem(413, "ERR_HTTP_BODY", `the body is longer than ${MAX_BODY_BYTES} bytes`);
  }
  if (length === 0) return undefined;
  try {
    return JSON.parse(Buffer.concat(chunks).toString("utf8")) as unknown;
  } catch (error) {
    throw new Problem(400, "ERR_HTTP_BODY", `the body is not JSON: ${(error as Error).message}`);
  }
}

/** Answers what is no request, or did not come in time. */
function refuse(error: NodeJS.ErrnoException, socket: Socket | { destroy(): void }): void {
  const problem = problemOf(error);
  if (!("writable" in socket) || !socket.writable || error.code === "ECONNRESET") {
    socket.destroy();
    return;
  }
  const body = `${JSON.stringify(problem)}\n`;
  const head = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
    `content-type: ${PROBLEM_TYPE}`,
    `content-length: ${Buffer.byteLength(body)}`,
    "connection: close",
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`, () => socket.destroy());
}

function problemOf({ code, message }: NodeJS.ErrnoException): Problem {
  switch (code) {
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return new Problem(408, "ERR_HTTP_TIMEOUT", "no whole request came in time");
    case "HPE_HEADER_OVERFLOW":
      return new Problem(431, "ERR_HTTP_HEADER", `the header is longer than ${MAX_HEADER_BYTES} bytes`);
    default:
      return new Problem(400, "ERR_HTTP_REQUEST", `this is no request of HTTP: ${message}`);
  }
}

/** Removes a file that is in the way: whoever calls this holds the directory. */
async function listen(server: Server, { path, mode }: UnixSocket): Promise<void> {
  rmSync(path, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => {
      reject(new OcnotifyError("ERR_SOCKET", `cannot make ${path}: ${error.message}`, { cause: error }));
    });
    // The file is made during the call; to change its mode after that would leave it open for a moment.
    const umask = process.umask(0o777 & ~mode);
    server.listen(path, resolve);
    process.umask(umask);
  });
}
