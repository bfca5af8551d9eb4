import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { manyHosts, type Attack, type Attacker } from "../attacker.ts";
import { handshake, PULL } from "../bad-hosts.ts";

/** More than the daemon may have connections. */
const MANY = 520;
/** One record of as many messages as one may have. */
const MILLION = { uids: "1:1000000" } as const;

/** As many hosts as fit into a value of memcached, where nobody listens. */
export const refusingHosts: Attack = async (attacker) => {
  await attacker.register(manyHosts(40_000, 9));
  attacker.write(10);
};

export const hostsThatNeverRead: Attack = (attacker) => flood(attacker, (socket) => void socket.pause());

export const hostsThatReadSlowly: Attack = (attacker) =>
  flood(attacker, (socket) => {
    socket.on("data", () => {
      socket.pause();
      setTimeout(() => socket.resume(), 200);
    });
  });

export const hostsThatReadFast: Attack = (attacker) => flood(attacker, (socket) => void socket.resume());

async function flood(attacker: Attacker, read: (socket: Socket) => void): Promise<void> {
  const port = await attacker.listen((socket) => {
    socket.write(handshake(PULL));
    read(socket);
  });
  await attacker.register(manyHosts(MANY, port));
  attacker.write(10, () => MILLION);
}

/** The hosts of others are his, too: their connections are to be busy with him. */
export const hostsOfOthers: Attack = async (attacker) => {
  await attacker.register(attacker.site.hosts);
  attacker.write(10, () => MILLION);
};

/** They refuse and accept in turn, each second, while mails go on coming: each time is worth a line in a log. */
export const flappingHosts: Attack = async (attacker) => {
  const sockets = new Set<Socket>();
  let up = true;
  const port = await attacker.listen((socket) => {
    if (!up) {
      socket.resetAndDestroy();
      return;
    }
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.write(handshake(PULL));
    socket.resume();
  });
  await attacker.register(manyHosts(200, port));
  setInterval(() => {
    up = !up;
    for (const socket of sockets) socket.resetAndDestroy();
  }, 1_000);
  setInterval(() => attacker.write(1), 100);
};

/** Names that a terminal would obey. */
export const escapes: Attack = async (attacker) => {
  const names = ["\u001B]0;pwned\u0007", "\u001B[2J", "x\r\nfaked", "\u009B31m", "\u202Eexe"];
  const hosts = names.map((name) => `tcp://${name}:1`);
  // The site's records are in a charset that has not all of these, so each is a value of its own bytes.
  const value = Buffer.concat([record(hosts.length), ...hosts.map((host) => Buffer.from(`${host}\0`))]);
  const resolver = await attacker.memcached((socket, keys) => {
    for (const key of keys)
      socket.write(Buffer.concat([Buffer.from(`VALUE ${key} 0 ${value.length} 1\r\n`), value, Buffer.from("\r\n")]));
    socket.write("END\r\n");
  });
  attacker.write(10, () => ({ resolver }));
  const angry = await attacker.memcached((socket) =>
    socket.write("SERVER_ERROR \u001B]0;pwned\u0007\u009B31m\r\n", "latin1"),
  );
  attacker.write(10, () => ({ resolver: angry }));
  for (const name of names) attacker.write(1, () => ({ mailbox: name, resolver: `--SERVER=${name}` }));
  await delay(0);
};

/** The head of a resolver record of so many hosts. */
function record(count: number): Buffer {
  const head = Buffer.alloc(9);
  head[0] = 1;
  head.writeUInt32LE(count, 1);
  head.writeUInt32LE(count, 5);
  return head;
}
