import type { Owners } from "./owners.ts";

/** Answers that the records of a writer who is not trusted may await, before more of them are read. */
const MOST_PENDING = 1_024;
/** Reading goes on when there are no more than this. */
const FEW_PENDING = 512;

/**
 * A uid whose segments are read, and how much of what it wrote is on its way. One that speaks for a single user may be
 * anybody with an account on the host: it has a share of each bound, so that what it writes holds up its own records only.
 */
export class Writer {
  readonly uid: number;
  readonly #owners: Owners;
  readonly #onRoom: (uid: number) => void;
  /** Segments of it that are known. */
  segments = 0;
  #trusted = false;
  #pending = 0;

  /** @param onRoom called when there is room again after there was none */
  constructor(uid: number, owners: Owners, onRoom: (uid: number) => void) {
    this.uid = uid;
    this.#owners = owners;
    this.#onRoom = onRoom;
  }

  /** Answers that the records which were read still await: one, or one from each who is to be told. */
  get pending(): number {
    return this.#pending;
  }

  /** Whether it speaks for every user, and so may use all there is. */
  get trusted(): boolean {
    // Asked several times for each record. Who is trusted stays so until the daemon ends.
    this.#trusted ||= this.#owners.speaksForAll(this.uid);
    return this.#trusted;
  }

  /** How many records may be read now. */
  get room(): number {
    return this.trusted ? Infinity : Math.max(0, MOST_PENDING - this.#pending);
  }

  awaits(answers: number): void {
    this.#pending += answers;
  }

  answered(): void {
    this.#pending--;
    if (this.#pending === FEW_PENDING) this.#onRoom(this.uid);
  }
}
