import { Queue } from "../queue.ts";
import { Chain } from "./chain.ts";
import type { Progress } from "./progress.ts";

/** Whose segments are read next: the uids that have something to read take turns. */
export class Turns {
  /** By uid: what is to be read. */
  readonly #chains = new Map<number, Chain>();
  /** The same chains, but for those that are held. */
  readonly #queue = new Queue<Chain>();

  /** Whether anybody has a turn. */
  get any(): boolean {
    return this.#queue.length > 0;
  }

  /** Those that have something to read, the held ones included. */
  get chains(): Iterable<Chain> {
    return this.#chains.values();
  }

  /** A segment is new or has grown: its uid gets a turn, if there is something to read. */
  add(progress: Progress): void {
    const { uid } = progress.segment;
    let chain = this.#chains.get(uid);
    chain?.overtaking?.grown(progress);
    if (progress.queued || !progress.unread) return;
    if (chain === undefined) {
      chain = new Chain(progress.writer);
      this.#chains.set(uid, chain);
      this.#queue.push(chain);
    }
    chain.insert(progress);
  }

  /** Takes the next turn, which `end` ends. Undefined also when its writer has no room: it is held until `release`. */
  begin(): Chain | undefined {
    const chain = this.#queue.shift();
    if (chain?.writer.room !== 0) return chain;
    chain.held = true;
    return undefined;
  }

  end(chain: Chain): void {
    if (chain.first?.unread !== true) chain.removeFirst();
    if (chain.first === undefined) this.#chains.delete(chain.writer.uid);
    else this.#queue.push(chain);
  }

  /** A writer has room again. @returns whether it was held, and has a turn now */
  release(uid: number): boolean {
    const chain = this.#chains.get(uid);
    if (chain?.held !== true) return false;
    chain.held = false;
    this.#queue.push(chain);
    return true;
  }
}
