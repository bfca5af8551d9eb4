import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { KIND_TYPES } from "../../../src/destinations/kinds.ts";

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), "utf8");
const page = read("../../../docs/destinations.md");
const blocks = Array.from(page.matchAll(/```ts\n(.*?)```/gs), ([, code = ""]) => code);

describe("the example of docs/destinations.md", () => {
  it("is the one that is tested", () => {
    const tested = read("./kind.ts").replaceAll('"../../../src/delivery/', '"../../delivery/');
    assert.equal(blocks[0], tested);
  });

  it("takes at most 60 lines in its folder, and one elsewhere", () => {
    assert.ok(blocks[0] !== undefined && blocks[0].trimEnd().split("\n").length <= 60);
    const lines = blocks[1]?.trimEnd().split("\n") ?? [];
    assert.equal(lines.length, 1);
    // As the line of each kind that there is.
    const asOthers = lines[0]
      ?.replace("counter:", `${KIND_TYPES[0]}:`)
      .replace("counter/kind", `${KIND_TYPES[0]}/kind`);
    const [known = ""] = /^ {2}openchange: .*$/m.exec(read("../../../src/destinations/kinds.ts")) ?? [];
    assert.equal(asOthers?.replace(/\.kind,$/, ".openchange,"), known);
  });
});
