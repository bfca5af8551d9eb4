import { Queue } from "../../queue.ts";

/** Items of many sources, taken in turn from each source that has any, so that a busy one does not hide the others. */
export class FairQueue<Source, Item extends { readonly length: number }> {
  readonly #queues = new Map<Source, Queue<Item>>();
  /** Sources that have items; the next one to be served comes first. */
  readonly #turn = new Queue<Source>();
  #size = 0;
  #bytes = 0;

  /** Items in the queue. */
  get size(): number {
    return this.#size;
  }

  /** The sum of the items' lengths. */
  get bytes(): number {
    return this.#bytes;
  }

  push(source: Source, item: Item): void {
    let items = this.#queues.get(source);
    if (items === undefined) {
      items = new Queue();
      this.#queues.set(source, items);
      this.#turn.push(source);
    }
    items.push(item);
    this.#size++;
    this.#bytes += item.length;
  }

  /** The next item, `undefined` when there is none. */
  shift(): Item | undefined {
    const source = this.#turn.shift();
    if (source === undefined) return undefined;
    const items = this.#queues.get(source);
    const item = items?.shift();
    if (items === undefined || item === undefined) return undefined;
    if (items.length === 0) this.#queues.delete(source);
    else this.#turn.push(source);
    this.#size--;
    this.#bytes -= item.length;
    return item;
  }
}
