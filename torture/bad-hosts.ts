import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { pauseProcess } from "../test/helpers/pause.ts";

/** The handshake of SP with this protocol number. */
export function handshake(protocol: number): Buffer {
  return Buffer.from([0, 0x53, 0x50, 0, 0, protocol, 0, 0]);
}
export const PULL = 0x51;
const PUB = 0x20;

/** What a bad host does with a connection. */
const BAD_WAYS = {
  "never reads": (socket: Socket) => {
    socket.pause();
    socket.write(handshake(PULL));
  },
  "wrong protocol": (socket: Socket) => void socket.write(handshake(PUB)),
  "garbage handshake": (socket: Socket) => void socket.write("HTTP/1.1 400 Bad Request\r\n\r\n"),
  "never shakes hands": (socket: Socket) => void socket.pause(),
  "closes after the handshake": (socket: Socket) => void socket.end(handshake(PULL)),
  "resets in the middle": (socket: Socket) => {
    socket.write(handshake(PULL));
    // The first data are the handshake, or that and more.
    let chunks = 0;
    socket.on("data", () => {
      chunks++;
      if (chunks > 1) socket.resetAndDestroy();
    });
  },
  "talks back": (socket: Socket) => void socket.write(Buffer.concat([handshake(PULL), Buffer.from("hello")])),
} satisfies Record<string, (socket: Socket) => void>;

export type BadWay = keyof typeof BAD_WAYS;
export const badWays = Object.keys(BAD_WAYS) as readonly BadWay[];

/** Something that can be stopped. */
export interface Stoppable {
  stop(): Promise<void>;
}

/** Listens where a host should, and behaves badly. */
export async function startBadHost(port: number, way: BadWay): Promise<Stoppable> {
  const sockets = new Set<Socket>();
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
    BAD_WAYS[way](socket);
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return {
    async stop() {
      if (!server.listening) return;
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/**
 * A port of all loopback addresses at which every attempt to connect runs into its timeout: a stopped process listens
 * there, and its backlog is full, so the kernel drops what comes.
 */
export async function startBlackhole(port: number): Promise<Stoppable> {
  const script = `require("node:net").createServer().listen({ port: ${port}, host: "0.0.0.0", backlog: 1 }, () => console.log("up"))`;
  const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "close");
  await once(child.stdout, "data");
  pauseProcess(child.pid ?? 0);
  const fillers: Socket[] = [];
  // Until one is not taken any more.
  for (let taken = true; taken;) {
    const socket = connect(port, "127.0.0.1").on("error", () => {});
    fillers.push(socket);
    taken = await Promise.race([
      once(socket, "connect").then(() => true),
      new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 300)),
    ]);
  }
  return {
    async stop() {
      for (const socket of fillers) socket.destroy();
      child.kill("SIGKILL");
      await ended;
    },
  };
}
