import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { createLog } from "../src/log.ts";
import { systemd } from "../src/systemd.ts";
import { waitFor } from "./helpers/wait.ts";

/** Prints each datagram with the milliseconds of unix time; a datagram socket is what Node.js has not, and perl is on every Debian. */
const RECEIVER = `
  use Socket;
  use Time::HiRes "time";
  $| = 1;
  socket(my $socket, AF_UNIX, SOCK_DGRAM, 0) or die;
  bind($socket, pack_sockaddr_un($ARGV[0])) or die;
  print "bound\\n";
  while (defined recv($socket, my $datagram, 4096, 0)) { printf "%s %d\\n", $datagram, time() * 1000; }
`;

const uptimeUs = (): number => Number(readFileSync("/proc/uptime", "latin1").split(" ")[0]) * 1e6;

describe("systemd", () => {
  const log = createLog({ level: "error", format: "json" });
  const folder = mkdtempSync(join(tmpdir(), "ocnotify-systemd-"));
  const socket = join(folder, "notify");
  let receiver: ChildProcess;
  let said = "";
  const lines = (): string[] => said.split("\n").filter((line) => /^(READY|WATCHDOG|STOPPING)=/.test(line));
  const told = (): string[] => lines().map((line) => line.split(" ")[0] ?? "");
  const longestSilenceMs = (): number => {
    const at = lines().map((line) => Number(line.split(" ")[1]));
    return Math.max(...at.slice(1).map((ms, i) => ms - (at[i] ?? ms)));
  };

  before(async () => {
    receiver = spawn("perl", ["-e", RECEIVER, socket], { stdio: ["ignore", "pipe", "inherit"] });
    receiver.stdout?.setEncoding("utf8").on("data", (text: string) => (said += text));
    await waitFor("the receiver", () => said.includes("bound"));
  });
  after(() => {
    receiver.kill();
    rmSync(folder, { recursive: true });
  });
  beforeEach(() => {
    said = "";
  });

  test("is told of the beginning and of the end", async () => {
    const service = systemd(log, { ...process.env, NOTIFY_SOCKET: socket });
    service.ready();
    await waitFor("READY", () => told().length === 1);
    service.stopping();
    await waitFor("STOPPING", () => told().length === 2);
    assert.deepEqual(told(), ["READY=1", "STOPPING=1"]);
  });

  test("is told of a reload before it is told that it is over, with the moment by its own clock", async () => {
    const service = systemd(log, { ...process.env, NOTIFY_SOCKET: socket });
    const before = uptimeUs();
    await service.reloading();
    service.ready();
    await waitFor("READY", () => said.includes("READY=1"));
    const usec = /^RELOADING=1\nMONOTONIC_USEC=(\d+) \d+\n(?:BARRIER=1 \d+\n)?READY=1 /m.exec(said)?.[1];
    assert.ok(usec !== undefined, said);
    // /proc/uptime counts in hundredths of a second, and also what a machine slept.
    assert.ok(Number(usec) <= uptimeUs() + 20_000 && Number(usec) >= before - 60_000_000, `${usec} is not now`);
  });

  test("is told in time that the event loop turns, and not while it stands still", async () => {
    const watched = { ...process.env, NOTIFY_SOCKET: socket, WATCHDOG_USEC: "200000", WATCHDOG_PID: `${process.pid}` };
    const service = systemd(log, watched);
    service.ready();
    await waitFor("three signs of life", () => told().length >= 4);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000);
    const before = told().length;
    await waitFor("life goes on", () => told().length >= before + 3);
    service.stopping();
    await waitFor("STOPPING", () => told().includes("STOPPING=1"));
    assert.ok(longestSilenceMs() > 700, `it was silent for ${longestSilenceMs()} ms only`);
  });

  test("is not told of a life that it does not watch", async () => {
    const other = { ...process.env, NOTIFY_SOCKET: socket, WATCHDOG_USEC: "20000", WATCHDOG_PID: "1" };
    const service = systemd(log, other);
    service.ready();
    await waitFor("READY", () => told().length === 1);
    service.stopping();
    await waitFor("STOPPING", () => told().length === 2);
    assert.deepEqual(told(), ["READY=1", "STOPPING=1"]);
  });

  test("that is not there is told nothing", () => {
    const service = systemd(log, {});
    service.ready();
    service.stopping();
    assert.deepEqual(process.getActiveResourcesInfo().filter((name) => name === "ProcessWrap").length, 1);
  });
});
