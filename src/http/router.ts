import { Problem } from "./problem.ts";

/** What a handler may know of a request. */
export interface Request {
  /** What stands in the place of each `:name` of the route's path. */
  readonly parameters: Readonly<Record<string, string>>;
  /** What the body says as JSON; undefined when there is none. */
  readonly body: unknown;
}

export interface Route {
  readonly method: "GET" | "POST";
  /** A part that begins with `:` stands for any one part: `/v1/destinations/:name/pause`. */
  readonly path: string;
  /** What is answered, as JSON. @throws Problem */
  readonly handle: (request: Request) => unknown;
}

/**
 * The route of a request, and what it says of the path. HEAD has the route of GET.
 * @param target path and query, as the client sent them
 * @throws Problem for a path that no route has, or none with this method
 */
export function findRoute(
  routes: readonly Route[],
  method: string,
  target: string,
): { readonly route: Route; readonly parameters: Request["parameters"] } {
  const [path = ""] = target.split("?", 1);
  const parts = path.split("/").map(decode);
  const matches = routes.flatMap((route) => {
    const parameters = match(route.path.split("/"), parts);
    return parameters === undefined ? [] : [{ route, parameters }];
  });
  if (matches.length === 0) {
    throw new Problem(404, "ERR_HTTP_PATH", "there is nothing at this path. GET /v1/status is the daemon's status");
  }
  const found = matches.find(({ route }) => route.method === (method === "HEAD" ? "GET" : method));
  if (found !== undefined) return found;
  const allow = matches.map(({ route }) => (route.method === "GET" ? "GET, HEAD" : route.method)).join(", ");
  throw new Problem(405, "ERR_HTTP_METHOD", `this path takes ${allow} only`, { allow });
}

function match(pattern: readonly string[], parts: readonly (string | undefined)[]): Record<string, string> | undefined {
  if (pattern.length !== parts.length) return undefined;
  const parameters: Record<string, string> = {};
  for (const [index, expected] of pattern.entries()) {
    const part = parts[index];
    if (part === undefined) return undefined;
    if (expected.startsWith(":")) parameters[expected.slice(1)] = part;
    else if (part !== expected) return undefined;
  }
  return parameters;
}

/** Undefined for what is no percent-encoding of UTF-8. */
function decode(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch {
    return undefined;
  }
}
