interface Lane<Item> {
  readonly items: Item[];
  /** Index of the first item that was not taken. */
  head: number;
}

/** Items of many sources, taken in turn from each source that has any, so that a busy one does not hide the others. */
export class FairQueue<Source, Item extends { readonly length: number }> {
  readonly #lanes = new Map<Source, Lane<Item>>();
  /** Sources that have items; the next one to be served comes first. */
  readonly #turn: Source[] = [];
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
    const lane = this.#lanes.get(source);
    if (lane === undefined) {
      this.#lanes.set(source, { items: [item], head: 0 });
      this.#turn.push(source);
    } else {
      lane.items.push(item);
    }
    this.#size++;
    this.#bytes += item.length;
  }

  /** The next item, `undefined` when there is none. */
  shift(): Item | undefined {
    const source = this.#turn.shift();
    if (source === undefined) return undefined;
    const lane = this.#lanes.get(source);
    const item = lane?.items[lane.head];
    if (lane === undefined || item === undefined) return undefined;
    lane.head++;
    if (lane.head === lane.items.length) {
      this.#lanes.delete(source);
    } else {
      this.#turn.push(source);
      this.#compact(lane);
    }
    this.#size--;
    this.#bytes -= item.length;
    return item;
  }

  /** Array.shift would move every item each time; this moves each item once on average. */
  #compact(lane: Lane<Item>): void {
    if (lane.head * 2 > lane.items.length) {
      lane.items.splice(0, lane.head);
      lane.head = 0;
    }
  }
}
