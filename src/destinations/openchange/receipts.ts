import type { Stretch } from "../../journal/stretch.ts";
import type { Job, Route } from "./route.ts";

/**
 * The jobs of one chunk that was sent, for as long as they may have to be sent again. There are hundreds of thousands of
 * them, and hardly any is needed again, so each is what it can be made from, in a few places of long arrays.
 */
export class Receipts {
  readonly #stretches: Stretch[] = [];
  readonly #routes: Route[] = [];
  /** Number in the stretch and offset in the segment, in turn. */
  readonly #places: number[] = [];

  get length(): number {
    return this.#stretches.length;
  }

  add({ record: { stretch, index, offset }, route }: Job): void {
    this.#stretches.push(stretch);
    this.#routes.push(route);
    this.#places.push(index, offset);
  }

  forEach(callback: (stretch: Stretch, index: number) => void): void {
    for (let at = 0; at < this.#stretches.length; at++) {
      callback(this.#stretches[at] as Stretch, this.#places[2 * at] as number);
    }
  }

  /** The jobs, as they are when their events have been put away. */
  jobs(): Job[] {
    return this.#stretches.map((stretch, at) => {
      const record = {
        stretch,
        index: this.#places[2 * at] as number,
        offset: this.#places[2 * at + 1] as number,
        event: undefined,
      };
      return { record, route: this.#routes[at] as Route, ts: stretch.ts, unencoded: 1 };
    });
  }
}
