import { closeSync, constants, openSync, writeSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import { encodeResolverRecord } from "../src/destinations/openchange/codec/resolver-record.ts";
import { resolverKey } from "../src/destinations/openchange/resolver.ts";
import { BUCKET_SECONDS } from "../src/journal/segment.ts";
import { parseConfigString } from "../src/protocols/memcached/config-string.ts";
import { MemcachedPool } from "../src/protocols/memcached/pool.ts";
import { segmentName } from "../test/helpers/segments.ts";

const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;

/** What an attacker finds. */
export interface Site {
  readonly journal: string;
  /** His uid, and his name in the system and in Dovecot. */
  readonly uid: number;
  readonly user: string;
  /** The folder of which he tells. */
  readonly mailbox: string;
  /** The configuration string of the site's memcached, into which everybody can write. */
  readonly resolver: string;
  /** The hosts of the others. */
  readonly hosts: readonly string[];
  /** The uid of which all mail is delivered. */
  readonly mailUid: number;
  /** As `World.long`. */
  readonly long: boolean;
}

/** What he does. It is under way when the promise resolves, and goes on until his process ends. */
export type Attack = (attacker: Attacker) => Promise<void>;

/** A user of the system who may write of himself, and whom nobody trusts with more. */
export class Attacker {
  readonly site: Site;

  constructor(site: Site) {
    this.site = site;
  }

  /** As `World.size`. */
  size(short: number, long: number): number {
    return this.site.long ? long : short;
  }

  path(bucket: number, uid = this.site.uid): string {
    return join(this.site.journal, segmentName(bucket, uid));
  }

  /** The bucket of the time. */
  get bucket(): number {
    return Math.floor(Date.now() / 1_000 / BUCKET_SECONDS);
  }

  /** `count` records of mails to himself. */
  write(count: number, fields: (index: number) => Record<string, unknown> = () => ({})): void {
    const lines = Array.from({ length: count }, (_, index) => {
      const record = {
        v: 1,
        ts: Date.now() * 1_000,
        event: "MessageNew",
        user: this.site.user,
        mailbox: this.site.mailbox,
        sep: "/",
      };
      return `${JSON.stringify({ ...record, uids: String(index + 1), ...fields(index) })}\n`;
    });
    this.writeText(lines.join(""));
  }

  writeText(text: string): void {
    const segment = openSync(this.path(this.bucket), FLAGS, 0o640);
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length;) at += writeSync(segment, bytes, at);
    closeSync(segment);
  }

  /** Says in the site's memcached that these are his hosts. */
  async register(hosts: readonly string[]): Promise<void> {
    const pool = new MemcachedPool(parseConfigString(this.site.resolver));
    const key = resolverKey(this.site.user);
    try {
      const result = await pool.serverFor(key).set(pool.wireKey(key), encodeResolverRecord(hosts));
      if (result !== "stored") throw new Error(`memcached answered ${result}`);
    } finally {
      pool.close();
    }
  }

  /** Listens at a port of every loopback address. */
  async listen(accept: (socket: Socket) => void): Promise<number> {
    const server = createServer((socket) => {
      socket.on("error", () => socket.destroy());
      accept(socket);
    });
    server.listen({ port: 0, host: "0.0.0.0", backlog: 1_024 });
    await once(server, "listening");
    return (server.address() as { port: number }).port;
  }

  /**
   * A memcached that answers as he likes to; its configuration string.
   * @param answer to a request for these keys
   */
  async memcached(answer: (socket: Socket, keys: readonly string[]) => void): Promise<string> {
    const port = await this.listen((socket) => {
      let rest = "";
      socket.setEncoding("latin1").on("data", (data: string) => {
        const lines = (rest + data).split("\r\n");
        rest = lines.pop() ?? "";
        for (const line of lines) {
          const [command, ...keys] = line.split(" ");
          if (command === "version") socket.write("VERSION 1\r\n");
          else if (command === "stats") socket.write("STAT uptime 1\r\nEND\r\n");
          else answer(socket, keys);
        }
      });
    });
    return `--SERVER=127.0.0.1:${port}`;
  }
}

/** `count` addresses of the loopback network at this port. */
export function manyHosts(count: number, port: number): string[] {
  return Array.from({ length: count }, (_, index) => {
    const address = `127.${7 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;
    return `tcp://${address}:${port}`;
  });
}
