/**
 * CPU and memory per process, for `status`. Metrics only: liveness and kill decisions never come from here, because
 * pidusage knows neither start times nor zombies.
 */
import type pidusage from 'pidusage';

export interface Usage {
  /** Per cent of one core since the previous sample. */
  cpuPercent: number;
  memoryBytes: number;
}

/** Samples older than this are dropped by pidusage; must stay above the interval at which anyone asks. */
const MAX_AGE_MS = 60_000;

/** Loaded when somebody asks for the first time. */
let sampler: typeof pidusage | undefined;

export async function sampleUsage(pids: number[]): Promise<Map<number, Usage>> {
  const usage = new Map<number, Usage>();
  if (pids.length === 0) return usage;
  const sample = (sampler ??= (await import('pidusage')).default);
  // One pid at a time is asked for, because a single dead one fails the whole batch.
  await Promise.all(
    pids.map(async (pid) => {
      try {
        const { cpu, memory } = await sample(pid, { maxage: MAX_AGE_MS });
        usage.set(pid, { cpuPercent: cpu, memoryBytes: memory });
      } catch {
        // Ended between the listing and the sample: it has no usage.
      }
    }),
  );
  return usage;
}

/** Forgets earlier samples and closes what pidusage keeps open. */
export function closeUsage(): void {
  sampler?.clear();
}
