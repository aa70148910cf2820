/** Exact statistics over every latency that was measured, no buckets. */
export interface LatencySummary {
  avg: number;
  p50: number;
  p90: number;
  p95: number;
  p99: number;
  max: number;
}

/** Null where nothing was measured. Nearest rank: each percentile is a latency that really occurred. */
export function summarize(latenciesMs: readonly number[]): LatencySummary | null {
  if (latenciesMs.length === 0) return null;
  const sorted = Float64Array.from(latenciesMs).sort();
  return {
    avg: latenciesMs.reduce((sum, latency) => sum + latency, 0) / latenciesMs.length,
    p50: percentile(sorted, 50),
    p90: percentile(sorted, 90),
    p95: percentile(sorted, 95),
    p99: percentile(sorted, 99),
    max: percentile(sorted, 100),
  };
}

/** @param sorted ascending, not empty; @param percent above 0, at most 100 */
export function percentile(sorted: ArrayLike<number>, percent: number): number {
  // (percent * n) / 100, in this order: percent / 100 is not exact in binary, and 0.07 * 100 is above 7.
  const rank = Math.ceil((percent * sorted.length) / 100);
  return sorted[Math.min(sorted.length, Math.max(1, rank)) - 1] ?? NaN;
}

/** Of an even number the mean of the middle two. NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return ((sorted[Math.floor(middle)] ?? NaN) + (sorted[Math.ceil(middle - 1)] ?? NaN)) / 2;
}
