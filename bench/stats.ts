/** The value below which the share `p` of the values lies; NaN of none. */
export function quantile(values: readonly number[], p: number): number {
  return quantileOfSorted(Float64Array.from(values).toSorted(), p);
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

function quantileOfSorted(sorted: Float64Array, p: number): number {
  if (sorted.length === 0) return Number.NaN;
  const at = p * (sorted.length - 1);
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? Number.NaN;
  return below + (above - below) * (at - Math.floor(at));
}

/** An estimate and the interval in which it lies with 95 % confidence. */
export interface Estimate {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/**
 * The median over rounds of a figure per round. The interval is from 2,000 bootstrap samples of the rounds, with a
 * generator of its own, so that the same rounds give the same interval.
 */
export function bootstrapMedian(rounds: readonly number[]): Estimate {
  const random = generator(rounds.length);
  const medians = Float64Array.from({ length: 2_000 }, () =>
    median(rounds.map(() => rounds[Math.floor(random() * rounds.length)] ?? Number.NaN)),
  ).toSorted();
  return { value: median(rounds), low: quantileOfSorted(medians, 0.025), high: quantileOfSorted(medians, 0.975) };
}

/** The median of the slopes of all pairs of points (Theil, Sen): single outliers do not bend it. */
export function slope(points: readonly { x: number; y: number }[]): number {
  const slopes: number[] = [];
  points.forEach((a, index) => {
    for (const b of points.slice(index + 1)) if (b.x !== a.x) slopes.push((b.y - a.y) / (b.x - a.x));
  });
  return median(slopes);
}

/** Numbers in [0, 1) (mulberry32). */
export function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The values in an order of chance. */
export function shuffled<T>(values: readonly T[], random: () => number): T[] {
  return values
    .map((value) => ({ value, key: random() }))
    .toSorted((a, b) => a.key - b.key)
    .map(({ value }) => value);
}
