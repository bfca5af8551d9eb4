import { createHash, randomInt } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { replaceFile } from "./atomic-file.ts";
import { HOST_ID } from "./delivery/event-id.ts";
import { OcnotifyError } from "./errors.ts";

const FILE = "host-id.json";
const LENGTH = 8;
const ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789";

const HostIdFile = v.object({ id: v.pipe(v.string(), v.regex(HOST_ID)), machine: v.string() });

/**
 * What tells the events of this host from those of others, in their ids: made once, and kept beside a hash of the machine's
 * id, so that two hosts which are made from one image do not have one.
 * @param machineIdFile machine-id(5); a system without it cannot be told from its clone
 * @throws OcnotifyError ERR_HOST_ID for a file that was copied from another machine, or cannot be used
 */
export async function hostIdOf(stateDirectory: string, machineIdFile = "/etc/machine-id"): Promise<string> {
  const path = join(stateDirectory, FILE);
  const machine = hashOf(machineIdFile);
  const text = read(path);
  if (text === undefined) {
    const id = Array.from({ length: LENGTH }, () => ALPHABET[randomInt(ALPHABET.length)]).join("");
    await write(path, JSON.stringify({ id, machine }));
    return id;
  }
  const known = parse(text);
  if (known === undefined) {
    throw new OcnotifyError(
      "ERR_HOST_ID",
      `${path} does not say what this host is called in the ids of events. Delete it to have a new one made`,
    );
  }
  if (known.machine !== "" && machine !== "" && known.machine !== machine) {
    throw new OcnotifyError(
      "ERR_HOST_ID",
      `${path} is another machine's: the state directory was copied, and both would give events the same ids. Delete that file on this machine, and the cursors if the journal was not copied too; or set host_id`,
    );
  }
  return known.id;
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    throw new OcnotifyError("ERR_HOST_ID", `cannot read ${path}: ${message}`, { cause: error });
  }
}

async function write(path: string, text: string): Promise<void> {
  try {
    await replaceFile(path, `${text}\n`);
  } catch (error) {
    throw new OcnotifyError("ERR_HOST_ID", `cannot make ${path}: ${(error as Error).message}`, { cause: error });
  }
}

function parse(text: string): v.InferOutput<typeof HostIdFile> | undefined {
  try {
    const result = v.safeParse(HostIdFile, JSON.parse(text));
    return result.success ? result.output : undefined;
  } catch {
    return undefined;
  }
}

/** Not the id itself, which machine-id(5) wants to be kept from others. */
function hashOf(machineIdFile: string): string {
  let id: string;
  try {
    id = readFileSync(machineIdFile, "latin1").trim();
  } catch {
    return "";
  }
  return id === "" ? "" : createHash("sha256").update(`ocnotify ${id}`).digest("hex");
}
