import { encodeResolverRecord } from "../../src/destinations/openchange/codec/resolver-record.ts";
import type { Attack, Attacker } from "../attacker.ts";

const MIB = 1024 ** 2;
const YEAR_US = 365 * 24 * 60 * 60 * 1e6;

/** Each record names another string, of which every third is wrong. */
export const manyStrings: Attack = async (attacker) => {
  const own = await attacker.memcached((socket) => socket.write("END\r\n"));
  attacker.write(200, (index) => ({
    resolver: index % 3 === 0 ? `--SERVER= ${index}` : `${own} --NAMESPACE=n${index}`,
  }));
};

const smallValue = (key: string): string => `VALUE ${key} 0 1 1\r\nx\r\n`;

/** Answers that never end: at once, one value every half second, byte by byte. */
export const endlessAnswers: Attack = async (attacker) => {
  const resolvers = [
    await attacker.memcached((socket, [key = ""]) => {
      const more = (): void => {
        while (!socket.destroyed && socket.write(smallValue(key).repeat(1_000)));
      };
      socket.on("drain", more);
      more();
    }),
    await attacker.memcached((socket, [key = ""]) => {
      setInterval(() => socket.destroyed || socket.write(smallValue(key)), 500);
    }),
    await attacker.memcached((socket, [key = ""]) => {
      let at = 0;
      setInterval(() => socket.destroyed || socket.write(smallValue(key)[at++ % smallValue(key).length] ?? ""), 50);
    }),
  ];
  for (const resolver of resolvers) attacker.write(attacker.size(3_000, 9_000), () => ({ resolver }));
};

/** More look-ups than may wait, of a resolver that never answers, and half of them will not be old for a year. */
export const silentResolver: Attack = async (attacker) => {
  const resolver = await attacker.memcached(() => {});
  attacker.write(100_500, (index) => ({
    resolver,
    ts: Date.now() * 1_000 + (index % 2) * YEAR_US,
  }));
};

/** It has just been started and knows nobody, whenever it is asked, so it is asked again. */
export const youngResolver: Attack = async (attacker) => {
  const resolver = await attacker.memcached((socket) => socket.write("END\r\n"));
  attacker.write(attacker.size(9_000, 100_500), () => ({ resolver }));
};

/** Values of 8 MiB, records of one host with a name of 1 MB, records of as many hosts as there may be. */
export const hugeValues: Attack = async (attacker) => {
  const values = [
    Buffer.alloc(8 * MIB, 1),
    encodeResolverRecord([`tcp://${"a".repeat(1_000_000)}:1`]),
    encodeResolverRecord(
      Array.from(
        { length: attacker.size(20_000, 100_000) },
        (_, index) => `tcp://host-with-a-long-name-${index}.hang.test:1`,
      ),
    ),
  ];
  const servers = await Promise.all(
    values.map((value) =>
      attacker.memcached((socket, keys) => {
        for (const key of keys) {
          socket.write(`VALUE ${key} 0 ${value.length} 1\r\n`);
          socket.write(value);
          socket.write("\r\n");
        }
        socket.write("END\r\n");
      }),
    ),
  );
  attacker.write(60, (index) => ({ resolver: `${servers[index % 3]} --NAMESPACE=n${index}` }));
};

function ring(servers: number, index: number): string {
  const names = Array.from({ length: servers }, (_, at) => ` --SERVER=aaa${at.toString(36)}`);
  return `--DISTRIBUTION=CONSISTENT${names.join("")} --NAMESPACE=nnn${index}`;
}

/** Strings whose servers make large rings: as many as a string from a record may have, and as many as fit into one. */
export const largeRings: Attack = async (attacker) => {
  attacker.write(63, (index) => ({ resolver: ring(64, index) }));
  attacker.write(63, (index) => ({ resolver: ring(4_021, index) }));
  return Promise.resolve();
};

/** Names that no name server answers for, as hosts and as memcacheds. */
export const deadNames: Attack = async (attacker) => {
  await attacker.register(deadHosts(attacker));
  attacker.write(20);
  attacker.write(60, (index) => ({ resolver: `--SERVER=memcached${index}.hang.test:11211` }));
};

function deadHosts(attacker: Attacker): string[] {
  return Array.from({ length: attacker.size(200, 1_000) }, (_, index) => `tcp://host${index}.hang.test:1`);
}
