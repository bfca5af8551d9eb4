import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { confinement, MAY, processLabel, remedyOf } from "../../src/journal/remedy.ts";
import { OWN_UID } from "../helpers/journal.ts";

const USUAL = "chmod it";

describe("the remedy for a journal that the daemon cannot use", () => {
  const folder = mkdtempSync(join(tmpdir(), "ocnotify-remedy-"));
  const remedy = (code: string, path = folder): string => remedyOf(code, path, MAY.read + MAY.search, USUAL);
  after(() => {
    rmSync(folder, { recursive: true });
  });

  it("is the usual one when the modes are what is wrong", { skip: OWN_UID === 0 && "root may do anything" }, () => {
    chmodSync(folder, 0o300);
    assert.equal(remedy("EACCES"), USUAL);
  });

  it("is not about modes when these are right already", () => {
    chmodSync(folder, 0o3733);
    for (const code of ["EACCES", "EPERM"]) assert.match(remedy(code), /^The modes allow it/);
    assert.equal(remedy("EACCES", join(folder, "none")), USUAL);
    assert.equal(remedy("EIO"), USUAL);
  });

  it("names the limit when no descriptor is free", () => {
    assert.match(remedy("EMFILE"), /LimitNOFILE=/);
    assert.match(remedy("ENFILE"), /fs\.file-max/);
  });

  it("names systemd's sandbox for what is read-only or hidden", () => {
    assert.ok(remedy("EROFS").includes(`ReadWritePaths=${folder}`));
    assert.match(remedy("ENOENT"), /^chmod it\. If it is there, .*ProtectHome=/);
  });

  it("names the profile or the context of the process", () => {
    assert.match(
      confinement("/j", "ocnotify (enforce)"),
      /AppArmor profile ocnotify \(enforce\): add "\/j\{,\/\*\*\} rw,"/,
    );
    assert.match(confinement("/j", "system_u:system_r:ocnotify_t:s0"), /SELinux, .* system_u:system_r:ocnotify_t:s0/);
    assert.match(confinement("/j", undefined), /AppArmor or SELinux .*getfacl \/j.*systemctl cat/);
  });

  it("knows no name of a process that is gone", () => {
    assert.equal(processLabel(2 ** 30), undefined);
  });
});
