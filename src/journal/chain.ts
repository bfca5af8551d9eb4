import type { Overtaking } from "./overtaking.ts";
import type { Progress } from "./progress.ts";
import type { Writer } from "./writer.ts";

const COUNTED = 64;

/** The segments of one uid that have something to read, oldest bucket first. */
export class Chain {
  readonly writer: Writer;
  readonly #list: Progress[] = [];
  #head = 0;
  /** While there is a long backlog. */
  overtaking: Overtaking | undefined;
  /** Whether it has no turn because its writer has no room. */
  held = false;

  constructor(writer: Writer) {
    this.writer = writer;
  }

  get first(): Progress | undefined {
    return this.#list[this.#head];
  }

  insert(progress: Progress): void {
    progress.queued = true;
    const { bucket } = progress.segment;
    // What is new is nearly always the newest.
    if ((this.#list.at(-1)?.segment.bucket ?? 0) <= bucket) {
      this.#list.push(progress);
      return;
    }
    let from = this.#head;
    let to = this.#list.length;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if ((this.#list[middle] as Progress).segment.bucket > bucket) to = middle;
      else from = middle + 1;
    }
    this.#list.splice(from, 0, progress);
  }

  removeFirst(): void {
    const first = this.first;
    if (first === undefined) return;
    first.queued = false;
    this.#head++;
    if (this.#head > 1024 && this.#head * 2 > this.#list.length) {
      this.#list.splice(0, this.#head);
      this.#head = 0;
    }
  }

  /** Whether more than `bytes` are unread in the oldest of them; a great many small ones are not counted up. */
  hasMoreThan(bytes: number): boolean {
    let unread = 0;
    const end = Math.min(this.#list.length, this.#head + COUNTED);
    for (let at = this.#head; at < end; at++) {
      unread += (this.#list[at] as Progress).unreadBytes;
      if (unread > bytes) return true;
    }
    return false;
  }

  /** From the oldest to the newest. */
  segments(): Progress[] {
    return this.#list.slice(this.#head);
  }
}
