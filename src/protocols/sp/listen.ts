import { once } from "node:events";
import { lstat, unlink } from "node:fs/promises";
import { connect, type Server } from "node:net";
import { anyHost, formatAddress, type SpAddress } from "./address.ts";
import { fromSystemError, SpError } from "./errors.ts";

/**
 * Makes `server` listen at `address` and returns the address with the port that the kernel chose for port 0.
 * `ERR_SP_IN_USE` when somebody listens there already; the socket file of a process that is gone is replaced.
 */
export async function listen(server: Server, address: SpAddress): Promise<SpAddress> {
  try {
    await tryListen(server, address);
  } catch (error) {
    if (address.transport !== "ipc" || !hasCode(error, "EADDRINUSE")) throw listenError(error, address);
    await removeStaleSocket(address.path);
    await tryListen(server, address).catch((again: unknown) => {
      throw listenError(again, address);
    });
  }
  const bound = server.address();
  if (address.transport === "ipc" || bound === null || typeof bound === "string") return address;
  return { ...address, port: bound.port };
}

async function tryListen(server: Server, address: SpAddress): Promise<void> {
  if (address.transport === "ipc") server.listen({ path: address.path });
  else if (address.host === anyHost) server.listen({ port: address.port });
  else server.listen({ host: address.host, port: address.port });
  await once(server, "listening");
}

/** Removes the socket file at `path` if nobody accepts connections there, `ERR_SP_IN_USE` otherwise. */
async function removeStaleSocket(path: string): Promise<void> {
  const name = formatAddress({ transport: "ipc", path });
  const before = await lstat(path);
  if (!before.isSocket()) {
    throw new SpError("ERR_SP_IN_USE", `${name}: the path exists and is not a socket, so it is left alone`);
  }
  if (await answers(path)) throw new SpError("ERR_SP_IN_USE", `${name}: another process listens there`);
  // Another process may have replaced the file in the meantime, and that one is alive.
  const now = await lstat(path);
  if (now.ino !== before.ino || now.ctimeMs !== before.ctimeMs) {
    throw new SpError("ERR_SP_IN_USE", `${name}: another process is binding it`);
  }
  await unlink(path);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect({ path });
    probe.on("connect", () => {
      probe.destroy();
      resolve(true);
    });
    // Only a refusal says that nobody is there: a full backlog or a missing permission does not.
    probe.on("error", (error) => resolve(!hasCode(error, "ECONNREFUSED")));
  });
}

function listenError(error: unknown, address: SpAddress): SpError {
  // libuv says EACCES for a missing directory too.
  if (hasCode(error, "EACCES") && address.transport === "ipc") {
    const message = `${formatAddress(address)}: its directory does not exist or may not be written to`;
    return new SpError("ERR_SP_IO", message, { cause: error });
  }
  return fromSystemError(error, formatAddress(address));
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
