import { built, Program } from "./process.ts";

/** Nanoseconds of one clock: see lmtp-client.c. */
export interface Delivered {
  readonly start: number;
  readonly reply: number;
  /** 0 when no notification came. */
  readonly notified: number;
}

/** A client of LMTP that times each delivery, and receives notifications when it has an address. */
export class LmtpClient {
  readonly #program: Program;

  static async start(port: number, address?: string): Promise<LmtpClient> {
    const receiver = address === undefined ? [] : [address];
    return new LmtpClient(await Program.start([built("lmtp-client"), String(port), ...receiver]));
  }

  private constructor(program: Program) {
    this.#program = program;
  }

  async deliver(
    count: number,
    user: string,
    { intervalUs = 0, patienceMs = 0 }: { intervalUs?: number; patienceMs?: number } = {},
  ): Promise<Delivered[]> {
    this.#program.say(`${count} ${intervalUs} ${user} ${patienceMs}`);
    const delivered: Delivered[] = [];
    for (let line = await this.#program.line(); line !== "end"; line = await this.#program.line()) {
      const [start = 0, reply = 0, notified = 0] = line.split(" ").map(Number);
      delivered.push({ start, reply, notified });
    }
    return delivered;
  }

  stop(): Promise<void> {
    return this.#program.stop();
  }
}
