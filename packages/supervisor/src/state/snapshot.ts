/** What runs under a name and how it was started: for `restart`, and for whoever cleans up after a crash. */
import { readFileSync } from 'node:fs';
import type { DaemonStart } from '../daemon/messages.js';
import { isIdentity, type ProcessIdentity } from '../process/identity.js';
import type { StateDir } from './directory.js';
import { writeWhole } from './durable.js';

export interface Snapshot extends DaemonStart {
  daemon: ProcessIdentity;
  /** Null where the daemon's parent could not be identified. */
  guardian: ProcessIdentity | null;
}

export async function writeSnapshot(dir: StateDir, snapshot: Snapshot): Promise<void> {
  await writeWhole(dir.experimentFile, `${JSON.stringify(snapshot, null, 2)}\n`);
}

/** Undefined when there is none, or none that can be read. */
export function readSnapshot(dir: StateDir): Snapshot | undefined {
  try {
    const snapshot = JSON.parse(readFileSync(dir.experimentFile, 'utf8')) as Snapshot;
    return isSnapshot(snapshot) ? snapshot : undefined;
  } catch {
    return undefined;
  }
}

/** As far as those who clean up rely on it. */
function isSnapshot(value: Partial<Snapshot> | null): boolean {
  const { daemon, guardian, experiment, runId } = value ?? {};
  return (
    typeof runId === 'string' &&
    isIdentity(daemon) &&
    (guardian === null || isIdentity(guardian)) &&
    typeof experiment?.supervision?.grace_s === 'number' &&
    typeof experiment.supervision.drain_s === 'number'
  );
}
