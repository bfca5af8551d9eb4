import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Problem } from "../../src/http/problem.ts";
import { findRoute, type Route } from "../../src/http/router.ts";

const status: Route = { method: "GET", path: "/v1/status", handle: () => "status" };
const pause: Route = { method: "POST", path: "/v1/destinations/:name/pause", handle: () => "pause" };
const routes = [status, pause];

describe("the router", () => {
  it("finds a route by method and path, whatever the query, and HEAD as GET", () => {
    assert.equal(findRoute(routes, "GET", "/v1/status").route, status);
    assert.equal(findRoute(routes, "GET", "/v1/status?a=/b").route, status);
    assert.equal(findRoute(routes, "HEAD", "/v1/status").route, status);
  });

  it("gives a part of the path, decoded", () => {
    const names = fc.string({ unit: "grapheme", minLength: 1 });
    fc.assert(
      fc.property(names, (name) => {
        const found = findRoute(routes, "POST", `/v1/destinations/${encodeURIComponent(name)}/pause`);
        assert.equal(found.route, pause);
        assert.deepEqual(found.parameters, { name });
      }),
    );
  });

  it("refuses every other path as 404, and every other method as 405 with those that are allowed", () => {
    const paths = ["/", "", "/v1", "/v1/status/", "//v1/status", "/v1/destinations/a/b/pause", "/v1/%zz", "/V1/status"];
    for (const path of paths) {
      assert.throws(() => findRoute(routes, "GET", path), { status: 404, code: "ERR_HTTP_PATH" }, path);
    }
    const refused = { status: 405, code: "ERR_HTTP_METHOD", headers: { allow: "GET, HEAD" } };
    assert.throws(() => findRoute(routes, "DELETE", "/v1/status"), refused);
    const post = { status: 405, headers: { allow: "POST" } };
    assert.throws(() => findRoute(routes, "HEAD", "/v1/destinations/a/pause"), post);
  });

  it("throws nothing but problems, whatever is asked for", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (method, target) => {
        try {
          findRoute(routes, method, target);
        } catch (error) {
          assert.ok(error instanceof Problem);
        }
      }),
    );
  });
});
