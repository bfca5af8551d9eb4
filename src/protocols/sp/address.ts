import { isIP, isIPv6 } from "node:net";
import { SpError } from "./errors.ts";

/** Where an SP socket connects to or listens. */
export type SpAddress =
  | { readonly transport: "tcp"; readonly host: string; readonly port: number }
  | { readonly transport: "ipc"; readonly path: string };

/** The `*` of `tcp://*:port`: every interface. */
export const anyHost = "*";

/** Linux's `sun_path` has 108 bytes, one of them for the NUL (unix(7)). */
const maxPathBytes = 107;
const maxPort = 65_535;
/** Characters; the longest host name has 253. */
const maxAddress = 1024;
/** Characters of an address that an error shows. */
const maxShown = 300;
const hostName = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?$/i;

/**
 * An address in nanomsg's notation (nn_tcp(7), nn_ipc(7)): `tcp://host:port`, `tcp://[::1]:port`, `ipc:///path`.
 * For binding, also `tcp://*:port` and port 0, which lets the kernel choose. The host of an IPv6 address comes
 * without its brackets. `ERR_SP_ADDRESS` for anything else.
 */
export function parseAddress(text: string, use: "connect" | "bind" = "connect"): SpAddress {
  if (text.length > maxAddress) throw invalid(text, `an address has at most ${maxAddress} characters`);
  if (text.startsWith("tcp://")) return parseTcp(text, text.slice("tcp://".length), use);
  if (text.startsWith("ipc://")) return parseIpc(text, text.slice("ipc://".length));
  throw invalid(text, "only tcp:// and ipc:// reach another process");
}

/** The address as text that `parseAddress` reads. */
export function formatAddress(address: SpAddress): string {
  if (address.transport === "ipc") return `ipc://${address.path}`;
  return `tcp://${isIPv6(address.host) ? `[${address.host}]` : address.host}:${address.port}`;
}

function parseTcp(text: string, rest: string, use: "connect" | "bind"): SpAddress {
  if (rest.includes(";")) {
    throw invalid(
      text,
      "the form tcp://interface;host:port is not supported, leave the interface to the routing table",
    );
  }
  const match = /^(\[[^\]]*\]|[^:]*):(\d{1,5})$/.exec(rest);
  if (match === null) {
    throw invalid(text, "expected tcp://host:port, with an IPv6 address in brackets");
  }
  const [, written = "", digits = ""] = match;
  return { transport: "tcp", host: checkHost(text, written, use), port: checkPort(text, Number(digits), use) };
}

function checkHost(text: string, written: string, use: "connect" | "bind"): string {
  if (written.startsWith("[")) {
    const host = written.slice(1, -1);
    if (!isIPv6(host)) throw invalid(text, "what stands in the brackets is not an IPv6 address");
    return host;
  }
  if (written === anyHost) {
    if (use === "connect") throw invalid(text, "* means every interface and is only for listening, name a host");
    return anyHost;
  }
  // A name of digits and dots only is a mistyped IPv4 address, which a resolver might read in surprising ways.
  if (!hostName.test(written) || (/^[\d.]+$/.test(written) && isIP(written) === 0)) {
    throw invalid(text, "the host must be a name, an IPv4 address, or an IPv6 address in brackets");
  }
  return written;
}

function checkPort(text: string, port: number, use: "connect" | "bind"): number {
  if (port > maxPort || (port === 0 && use === "connect")) {
    throw invalid(text, `the port must be ${use === "bind" ? "0 (any)" : "1"} to ${maxPort}`);
  }
  return port;
}

function parseIpc(text: string, path: string): SpAddress {
  if (!path.startsWith("/") || path.endsWith("/") || path.includes("\0")) {
    throw invalid(text, "expected ipc:// and the absolute path of a socket, such as ipc:///run/openchange.sock");
  }
  if (Buffer.byteLength(path) > maxPathBytes) {
    throw invalid(text, `the path of a unix socket has at most ${maxPathBytes} bytes`);
  }
  return { transport: "ipc", path };
}

function invalid(text: string, reason: string): SpError {
  const shown = text.length > maxShown ? `${text.slice(0, maxShown)}…` : text;
  return new SpError("ERR_SP_ADDRESS", `${JSON.stringify(shown)} is not a usable address: ${reason}`);
}
