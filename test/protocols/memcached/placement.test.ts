import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { parseConfigString } from "../../../src/protocols/memcached/config-string.ts";
import { createPlacement } from "../../../src/protocols/memcached/placement.ts";
import { type ServerConfig, serverIdentity } from "../../../src/protocols/memcached/pool-config.ts";

// oxlint-disable-next-line typescript/no-unsafe-type-assertion
const vectors = JSON.parse(
  readFileSync(new URL("../../fixtures/libmemcached-placement.json", import.meta.url), "utf8"),
) as { cases: { config: string; servers: string[]; expected: Record<string, string> }[] };

function nameOf(server: ServerConfig | undefined): string {
  assert.ok(server);
  const { name, port } = serverIdentity(server);
  return server.kind === "tcp" ? `${name}:${port}` : name;
}

describe("placement", () => {
  for (const { config, servers, expected } of vectors.cases) {
    it(`finds every key where libmemcached put it: ${config}`, () => {
      const pool = parseConfigString(config);
      assert.deepEqual(pool.servers.map(nameOf), servers);
      const place = createPlacement(pool);
      for (const [key, server] of Object.entries(expected)) {
        const name = nameOf(pool.servers[place(key)]);
        assert.equal(name, name.startsWith("/") ? server.replace(/:0$/, "") : server, JSON.stringify(key));
      }
    });
  }

  it("is always one of the servers, whatever the key", () => {
    const places = vectors.cases.map(({ config }) => {
      const pool = parseConfigString(config);
      return { place: createPlacement(pool), count: pool.servers.length };
    });
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 400 }), (key) => {
        for (const { place, count } of places) {
          const index = place(key);
          assert.ok(Number.isInteger(index) && index >= 0 && index < count);
        }
      }),
    );
  });
});
