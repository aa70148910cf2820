/** Measuring A beside B: one of each per round, so that whatever else the machine does falls on both. */
import { parseArgs } from 'node:util';

export interface BenchOptions {
  rounds: number;
  /** File for the figures as JSON. */
  out: string | undefined;
}

export function benchOptions(defaultRounds: number): BenchOptions {
  const { values } = parseArgs({ options: { rounds: { type: 'string' }, out: { type: 'string' } } });
  const rounds = values.rounds === undefined ? defaultRounds : Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) {
    throw new Error(`--rounds must be a whole number from 1, not ${values.rounds}`);
  }
  return { rounds, out: values.out };
}

/**
 * The samples of each measurement, by round. Each round begins with another one, so that none always follows the same
 * neighbour; the first warms caches and is not kept.
 */
export async function interleaved<K extends string>(
  rounds: number,
  measurements: Record<K, () => Promise<number>>,
): Promise<Record<K, number[]>> {
  const entries = Object.entries(measurements) as [K, () => Promise<number>][];
  const samples = Object.fromEntries(entries.map(([name]) => [name, []])) as unknown as Record<K, number[]>;
  for (let round = 0; round <= rounds; round++) {
    const first = round % entries.length;
    for (const [name, measure] of [...entries.slice(first), ...entries.slice(0, first)]) {
      const value = await measure();
      if (round > 0) samples[name].push(value);
    }
    process.stderr.write(`\rround ${round} of ${rounds}`);
  }
  process.stderr.write('\r\x1b[K');
  return samples;
}

export function median(samples: number[]): number {
  return quantile(samples, 0.5);
}

export function quantile(samples: number[], q: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const low = sorted[Math.floor(at)] ?? NaN;
  const high = sorted[Math.ceil(at)] ?? NaN;
  return low + (high - low) * (at - Math.floor(at));
}
