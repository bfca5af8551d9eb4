/**
 * Max-min fairness: the most that each may use so that all together use no more than `total`. Whoever uses less keeps
 * what it has; Infinity when all together use less than the total.
 */
export function fairShare(usages: Iterable<number>, total: number): number {
  const ascending = [...usages].toSorted((a, b) => a - b);
  let left = total;
  for (const [index, usage] of ascending.entries()) {
    const share = left / (ascending.length - index);
    if (usage > share) return Math.max(0, share);
    left -= usage;
  }
  return Infinity;
}
