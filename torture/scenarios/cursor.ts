import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync, watch, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadCursor } from "../../src/journal/cursor.ts";
import type { Scenario } from "../scenario.ts";
import { isRoot, must, usersNamed } from "../world.ts";
import { bucketAt, segmentName } from "../../test/helpers/segments.ts";

export const cursorKill: Scenario = {
  name: "cursor",
  claim: "the daemon is killed at the moment at which it writes its cursor; the file is always usable",
  async run(world) {
    const { tally } = world;
    await world.memcached();
    const receiver = await world.receiver();
    const users = usersNamed("user", 10);
    for (const user of users) tally.listens(user, [receiver.address]);
    await world.register();
    world.configure();
    // Many segments make a cursor that takes a while to be written.
    const bucket = bucketAt();
    for (let index = 1; index <= world.size(1_000, 5_000); index++) {
      writeFileSync(join(world.journal, segmentName(bucket - index)), "");
    }
    mkdirSync(world.stateDir, { recursive: true });
    const file = join(world.stateDir, "openchange.cursor");
    let kills = 0;
    let halves = 0;
    for (let round = 0; round < world.size(4, 40); round++) {
      const daemon = await world.start();
      const written = new Promise<void>((resolve) => {
        const watcher = watch(world.stateDir, (_event, name) => {
          // In every fourth round it may write one to its end first.
          if (name !== "openchange.cursor.new" || (round % 4 === 3 && !existsSync(file))) return;
          daemon.signal("SIGKILL");
          watcher.close();
          resolve();
        });
      });
      const load = world.load(users, 200, 1_000);
      await written;
      await daemon.ended();
      kills++;
      if (existsSync(`${file}.new`)) halves++;
      await loadCursor(file);
      await load;
    }
    await world.start();
    await world.arrival();
    await world.settled();
    world.note(`${kills} kills, ${halves} left half a file beside the cursor`);
  },
};

export const cursorDiskFull: Scenario = {
  name: "disk-full",
  claim: "the disk of the cursor is full: the daemon goes on, says so once, and saves when there is room",
  async run(world) {
    if (!isRoot) return { skipped: "only root can mount a small file system" };
    const { tally } = world;
    const mount = join(world.folder, "small");
    mkdirSync(mount);
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", mount], { stdio: "pipe" });
    } catch (error) {
      return { skipped: `a file system cannot be mounted here: ${(error as Error).message.trim()}` };
    }
    world.finally(() => execFileSync("umount", ["-l", mount]));
    await world.memcached();
    const receiver = await world.receiver();
    const users = usersNamed("user", 10);
    for (const user of users) tally.listens(user, [receiver.address]);
    await world.register();
    const full = join(mount, "full");
    const fill = (): void => {
      try {
        writeFileSync(full, Buffer.alloc(1024 * 1024));
      } catch (error) {
        must((error as NodeJS.ErrnoException).code === "ENOSPC", (error as Error).message);
      }
    };
    world.configure({ stateDir: join(mount, "state") });
    const daemon = await world.start();
    fill();
    const said = (): number => daemon.log.filter(({ msg }) => msg.includes("cannot save the cursor")).length;
    await world.load(users, world.size(1_500, 10_000), 500);
    await world.until("the error", () => said() > 0);
    await world.arrival();
    must(said() === 1, `the error is in the log ${said()} times`);
    rmSync(full);
    world.writer.write(users);
    const file = join(world.stateDir, "openchange.cursor");
    await world.until("the cursor to be saved", () => existsSync(file));
    await world.arrival();
    await world.checkStatus();
    return undefined;
  },
};
