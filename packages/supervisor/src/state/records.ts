/**
 * One record per unit: written before its process is spawned (intent), again when that runs (who it is), and removed
 * last, after its tree was proven empty. Whatever crashes in between, the next command knows what to look for.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isIdentity, type ProcessIdentity } from '../process/identity.js';
import type { StateDir } from './directory.js';
import { writeWhole } from './durable.js';

export interface UnitRecord {
  unit: string;
  kind: 'worker' | 'process';
  runId: string;
  command: string[];
  graceMs: number;
  /** Null in an intent: the process may or may not have been spawned. */
  leader: ProcessIdentity | null;
  /** What the leader's standard streams were connected to; empty or absent where that is unknown. */
  pipes?: string[];
}

export async function writeRecord(dir: StateDir, record: UnitRecord): Promise<void> {
  await writeWhole(recordPath(dir, record.unit), `${JSON.stringify(record)}\n`);
}

export async function removeRecord(dir: StateDir, unit: string): Promise<void> {
  await rm(recordPath(dir, unit), { force: true });
}

/** Records that cannot be read (torn by a crash before rename existed, edited by hand) are left out. */
export function readRecords(dir: StateDir): UnitRecord[] {
  let files: string[];
  try {
    files = readdirSync(dir.recordsDir);
  } catch {
    return [];
  }
  return files
    .filter((file) => file.endsWith('.json'))
    .flatMap((file) => {
      try {
        const record: unknown = JSON.parse(readFileSync(join(dir.recordsDir, file), 'utf8'));
        return isRecord(record) ? [record] : [];
      } catch {
        return [];
      }
    });
}

function isRecord(value: unknown): value is UnitRecord {
  if (typeof value !== 'object' || value === null) return false;
  const { unit, kind, graceMs, leader } = value as Partial<UnitRecord>;
  return (
    typeof unit === 'string' &&
    (kind === 'worker' || kind === 'process') &&
    Number.isFinite(graceMs) &&
    (leader === null || isIdentity(leader))
  );
}

function recordPath(dir: StateDir, unit: string): string {
  return join(dir.recordsDir, `${unit.replaceAll('/', '~')}.json`);
}
