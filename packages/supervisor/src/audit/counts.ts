/** Counts that must not grow from one run to the next. */
import { dirname } from 'node:path';
import { isRunning } from '../process/identity.js';
import { readSnapshot } from '../state/snapshot.js';
import type { ExaminedExperiment } from './check.js';
import { readGpus } from './gpu.js';
import { listListeners } from './ports.js';
import { readTable } from './process-table.js';

export interface Counts {
  takenAt: string;
  /** Processes that carry the cookie of an experiment of this state directory. */
  supervised: number;
  /** Daemons and guardians of this state directory. */
  supervisors: number;
  /** TCP ports on which one of both listens. */
  ports: number[];
  /** Used memory of each GPU, in bytes; null where it cannot be known. */
  gpuBytes: number[] | null;
  gpuNote: string | null;
  /** Every process of the machine. Others start and end as they like: for information. */
  allProcesses: number;
}

export async function takeCounts(root: string, experiments: readonly ExaminedExperiment[]): Promise<Counts> {
  const [table, listeners, gpus] = await Promise.all([readTable(), listListeners(), readGpus()]);
  const living = table.filter(({ ended, pid }) => !ended && pid !== process.pid);
  const supervised = living.flatMap(({ pid, cookie }) =>
    cookie && (cookie.stateDir === null || dirname(cookie.stateDir) === root) ? [pid] : [],
  );
  const supervisors = experiments.flatMap(supervisorsOf);
  const ours = new Set([...supervised, ...supervisors]);
  const ports = listeners.filter(({ pids }) => pids.some((pid) => ours.has(pid))).map(({ port }) => port);
  return {
    takenAt: new Date().toISOString(),
    supervised: supervised.length,
    supervisors: supervisors.length,
    ports: [...new Set(ports)],
    gpuBytes: gpus.known ? gpus.devices.map(({ usedBytes }) => usedBytes) : null,
    gpuNote: gpus.known ? null : gpus.why,
    allProcesses: living.length,
  };
}

function supervisorsOf({ dir, pidFile }: ExaminedExperiment): number[] {
  const daemon = pidFile.kind === 'running' ? [pidFile.identity.pid] : [];
  const guardian = readSnapshot(dir)?.guardian;
  return guardian && isRunning(guardian) ? [...daemon, guardian.pid] : daemon;
}

/** Drivers and displays move a few MiB by themselves. */
const GPU_TOLERANCE_BYTES = 64 * 1024 * 1024;

/** A sentence for each count that has grown. */
export function growth(before: Counts, after: Counts): string[] {
  const grown: string[] = [];
  if (after.supervised > before.supervised) {
    grown.push(`supervised processes: ${before.supervised} before, ${after.supervised} after`);
  }
  if (after.supervisors > before.supervisors) {
    grown.push(`daemons and guardians: ${before.supervisors} before, ${after.supervisors} after`);
  }
  const newPorts = after.ports.filter((port) => !before.ports.includes(port));
  if (newPorts.length > 0) grown.push(`ports that were free before: ${newPorts.join(', ')}`);
  after.gpuBytes?.forEach((bytes, device) => {
    const earlier = before.gpuBytes?.[device];
    if (earlier === undefined || bytes <= earlier + GPU_TOLERANCE_BYTES) return;
    grown.push(`memory of GPU ${device}: ${mib(earlier)} MiB before, ${mib(bytes)} MiB after`);
  });
  return grown;
}

function mib(bytes: number): number {
  return Math.round(bytes / 1024 / 1024);
}
