import { once } from "node:events";
import { connect } from "node:net";
import { join } from "node:path";
import * as v from "valibot";
import { parseEventId, type EventPlace } from "./delivery/event-id.ts";
import type { RecentOutcome } from "./delivery/recent-outcomes.ts";
import type { DestinationState } from "./delivery/state.ts";
import { OcnotifyError } from "./errors.ts";
import { Problem } from "./http/problem.ts";
import type { Route } from "./http/router.ts";
import { serveOnSocket } from "./http/server.ts";
import type { Logger } from "./log.ts";
import { json, shortened } from "./printable.ts";
import { STATUS_PATH, STATUS_SOCKET, type Status } from "./status.ts";

/** The socket in the state directory at which only the daemon's user, and root, may change what the daemon does. */
export const ADMIN_SOCKET = "admin.sock";

/** What can be asked of a daemon, and done to it. */
export interface Control {
  status(): Status;
  /** What became of an event at each destination. */
  outcomesOf(event: EventPlace): Readonly<Record<string, RecentOutcome | undefined>>;
  /** @param by who wants it, if that is known */
  pause(destination: string, by: string | undefined): Promise<DestinationState>;
  resume(destination: string): Promise<DestinationState>;
}

const PauseBody = v.optional(
  v.strictObject({ by: v.optional(v.pipe(v.string(), v.nonEmpty(), v.maxLength(256))) }),
  {},
);

/**
 * Makes both sockets. Only the holder of the state directory's lock may.
 * @throws OcnotifyError ERR_ALREADY_RUNNING when a daemon answers there all the same, ERR_SOCKET
 */
export async function serveControl(stateDirectory: string, control: Control, log: Logger): Promise<{ close(): void }> {
  const statusSocket = join(stateDirectory, STATUS_SOCKET);
  if (await isHeld(statusSocket)) {
    throw new OcnotifyError(
      "ERR_ALREADY_RUNNING",
      `a daemon runs already with the state directory ${stateDirectory}: it listens at ${statusSocket}. Stop it, or give this one a directory of its own`,
    );
  }
  const admin = routesTo(control);
  const sockets = [await serveOnSocket({ path: statusSocket, mode: 0o660 }, admin.map(readOnly), log)];
  const close = (): void => {
    for (const socket of sockets) socket.close();
  };
  try {
    sockets.push(await serveOnSocket({ path: join(stateDirectory, ADMIN_SOCKET), mode: 0o600 }, admin, log));
  } catch (error) {
    close();
    throw error;
  }
  return { close };
}

function routesTo(control: Control): Route[] {
  return [
    { method: "GET", path: STATUS_PATH, handle: () => control.status() },
    { method: "GET", path: "/v1/events/:id", handle: ({ parameters: { id = "" } }) => outcomesOf(id, control) },
    act("pause", async (name, body) => await control.pause(name, checked(body).by)),
    act("resume", async (name) => await control.resume(name)),
  ];
}

/** @throws Problem for what is no id, or another host's */
function outcomesOf(id: string, control: Control): object {
  const place = parseEventId(id);
  if (place === undefined) throw new Problem(400, "ERR_EVENT_ID", `${json(shortened(id, 64))} is no id of an event`);
  const { host } = control.status();
  if (place.host !== host) {
    throw new Problem(404, "ERR_OTHER_HOST", `the event is of host ${place.host}, and this one is ${host}`);
  }
  const destinations = Object.entries(control.outcomesOf(place)).map(([name, found]) => [name, described(found)]);
  return { id, destinations: Object.fromEntries(destinations) as object };
}

function described(found: RecentOutcome | undefined): object {
  if (found === undefined) return { outcome: "unknown" };
  const { outcome, atMs } = found;
  return atMs === undefined
    ? { outcome }
    : { outcome, at: new Date(Date.now() - (performance.now() - atMs)).toISOString() };
}

function act(verb: string, handle: (destination: string, body: unknown) => Promise<DestinationState>): Route {
  return {
    method: "POST",
    path: `/v1/destinations/:name/${verb}`,
    async handle({ parameters: { name = "" }, body }) {
      return { destination: name, state: await handle(name, body).catch(refuse) };
    },
  };
}

function readOnly(route: Route): Route {
  return route.method === "GET" ? route : { ...route, handle: refuseChange };
}

function refuseChange(): never {
  throw new Problem(403, "ERR_READ_ONLY", `this socket is for GET and HEAD only: use ${ADMIN_SOCKET} beside it`);
}

function checked(body: unknown): v.InferOutput<typeof PauseBody> {
  const result = v.safeParse(PauseBody, body);
  // To valibot a list is an object, of its indexes.
  if (result.success && !Array.isArray(body)) return result.output;
  throw new Problem(
    400,
    "ERR_HTTP_BODY",
    'the body must be empty or {"by": "<who pauses it, 256 characters at most>"}',
  );
}

/** @throws Problem */
function refuse(error: unknown): never {
  if (!(error instanceof OcnotifyError)) throw error;
  const status = error.code === "ERR_UNKNOWN_DESTINATION" ? 404 : error.canRetry ? 503 : 500;
  throw new Problem(status, error.code, error.message);
}

/**
 * Whether somebody listens there: a daemon of a version that takes no lock. One that is stopped, or too busy to answer,
 * still does; one that has ended leaves a file, or none.
 */
async function isHeld(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, "connect");
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code !== "ECONNREFUSED" && code !== "ENOENT";
  } finally {
    socket.destroy();
  }
}
