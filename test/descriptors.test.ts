import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { connectionsWithin, descriptorLimit, openSegmentsWithin } from "../src/descriptors.ts";

const LIMITS = `Limit                     Soft Limit           Hard Limit           Units
Max processes             63434                63434                processes
Max open files            1024                 524288               files
Max locked memory         8388608              8388608              bytes
`;

describe("the limit of open files", () => {
  it("is the soft one of this process", () => {
    assert.equal(descriptorLimit(LIMITS), 1024);
    assert.equal(descriptorLimit(LIMITS.replace("1024  ", "unlimited")), Infinity);
    assert.equal(descriptorLimit(""), Infinity);
    assert.ok(descriptorLimit() > 100);
  });

  it("leaves descriptors to the journal and to who asks for the status, however low it is", () => {
    assert.equal(connectionsWithin(65_536), 65_280);
    assert.equal(connectionsWithin(1024), 768);
    assert.equal(connectionsWithin(128), 64);
    assert.equal(connectionsWithin(Infinity), Infinity);
    assert.equal(openSegmentsWithin(Infinity), 64);
    assert.equal(openSegmentsWithin(128), 16);
  });
});
