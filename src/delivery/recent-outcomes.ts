/** Records whose outcomes are remembered: of the last minutes on a busy host, of weeks on a quiet one. */
const MAX_OUTCOMES = 50_000;

/** What became of a record. */
export interface RecentOutcome {
  /** `notified`, `nobody`, `ignored`, `dropped: <reason>` or `filtered: <option>`; or it is `waiting` or `unread`. */
  readonly outcome: string;
  /** When it had its outcome, in milliseconds of the process's clock; undefined while it has none. */
  readonly atMs: number | undefined;
}

/** What became of the last records, for whoever asks about one: 25 bytes each. */
export class RecentOutcomes {
  readonly #segments: string[] = [];
  readonly #offsets = new Float64Array(MAX_OUTCOMES);
  readonly #times = new Float64Array(MAX_OUTCOMES);
  readonly #codes = new Uint8Array(MAX_OUTCOMES);
  /** By code. There are a handful for each kind of destination. */
  readonly #outcomes: string[] = [];
  #count = 0;

  /**
   * @param segment the name of the record's segment
   * @param offset where the record's line begins, in bytes from the segment's beginning
   */
  add(segment: string, offset: number, outcome: string, nowMs: number): void {
    const at = this.#count++ % MAX_OUTCOMES;
    let code = this.#outcomes.indexOf(outcome);
    if (code === -1) code = this.#outcomes.push(outcome) - 1;
    this.#segments[at] = segment;
    this.#offsets[at] = offset;
    this.#times[at] = nowMs;
    this.#codes[at] = code;
  }

  /**
   * The last outcome of the record that begins there; undefined when it has none, or is not remembered.
   * @param prefix what the name of its segment begins with
   */
  of(prefix: string, offset: number): RecentOutcome | undefined {
    const oldest = Math.max(0, this.#count - MAX_OUTCOMES);
    for (let each = this.#count - 1; each >= oldest; each--) {
      const at = each % MAX_OUTCOMES;
      if (this.#offsets[at] !== offset || this.#segments[at]?.startsWith(prefix) !== true) continue;
      return { outcome: this.#outcomes[this.#codes[at] ?? 0] ?? "", atMs: this.#times[at] ?? 0 };
    }
    return undefined;
  }
}
