import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";

/** What becomes of an answer of the server behind. */
export type ProxyMode =
  | "pass"
  /** Half of it comes, and then the connection closes. */
  | "half"
  /** Half of it comes, and then nothing. */
  | "stuck"
  /** Something else comes. */
  | "garbage"
  /** It comes after every timeout. */
  | "late";

const LATE_MS = 2_500;

/** Stands before a memcached, so that the way there can break while the server is empty, filled again, or just slow. */
export class Proxy {
  readonly port: number;
  readonly #behind: number;
  readonly #sockets = new Set<Socket>();
  /** Connections of which an answer is stuck, and how many of another are yet to come: no later one may come before them. */
  readonly #stuck = new WeakSet<Socket>();
  readonly #late = new WeakMap<Socket, number>();
  #server: Server | undefined;
  mode: ProxyMode = "pass";

  constructor(port: number, behind: number) {
    this.port = port;
    this.#behind = behind;
  }

  async open(): Promise<void> {
    const server = createServer((socket) => this.#accept(socket));
    server.listen(this.port, "127.0.0.1");
    await once(server, "listening");
    this.#server = server;
  }

  /** Breaks every connection; new ones are refused until `open`. */
  async close(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    const closed = once(server, "close");
    server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #accept(socket: Socket): void {
    const server = connect(this.#behind, "127.0.0.1");
    for (const [each, other] of [
      [socket, server],
      [server, socket],
    ] as const) {
      this.#sockets.add(each);
      each.on("error", () => each.destroy());
      each.on("close", () => {
        this.#sockets.delete(each);
        other.destroy();
      });
    }
    socket.on("data", (request) => server.write(request));
    server.on("data", (answer) => this.#answer(socket, answer));
  }

  #answer(socket: Socket, answer: Buffer): void {
    if (this.#stuck.has(socket)) return;
    const half = answer.subarray(0, Math.ceil(answer.length / 2));
    const late = this.#late.get(socket) ?? 0;
    switch (late > 0 ? "late" : this.mode) {
      case "pass":
        socket.write(answer);
        break;
      case "half":
        socket.end(half);
        break;
      case "stuck":
        this.#stuck.add(socket);
        socket.write(half);
        break;
      case "garbage":
        socket.write("VALUE is not what it was\r\n\0\r\nEND\r\n");
        break;
      case "late":
        this.#late.set(socket, late + 1);
        setTimeout(() => {
          this.#late.set(socket, (this.#late.get(socket) ?? 0) - 1);
          socket.write(answer);
        }, LATE_MS).unref();
        break;
    }
  }
}
