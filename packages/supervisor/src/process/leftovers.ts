/**
 * Finds and ends what a dead run left: by its records, by the cookie in environments, and for a guardian by adoption.
 * The caller makes sure that no daemon of that name is alive (it holds the lock, or it was the daemon's parent).
 */
import { rm } from 'node:fs/promises';
import { readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { StateDir } from '../state/directory.js';
import { readRecords } from '../state/records.js';
import { identityKey, isFromHere } from './identity.js';
import { findProcesses, type KnownUnit } from './observe.js';
import type { StopReport } from './receipt.js';
import type { Reaper } from './reaper.js';
import { stopTree } from './stop-tree.js';

export interface LeftoverOptions {
  force?: AbortSignal | undefined;
  /** Set where orphans come to us. */
  reaper?: Reaper;
}

export async function stopLeftovers(dir: StateDir, { force, reaper }: LeftoverOptions): Promise<StopReport> {
  const records = readRecords(dir);
  const units = records.flatMap(({ unit, leader }): KnownUnit[] =>
    // Another boot's pids mean nothing here.
    leader && isFromHere(leader) ? [{ id: unit, leader, seen: new Set([identityKey(leader)]) }] : [],
  );
  // Model workers have nothing to save, and the kernel has been told to end them already.
  const graces = records.filter(({ kind }) => kind === 'process').map(({ graceMs }) => graceMs);
  return stopTree({
    find: () => {
      reaper?.reap();
      return findProcesses({ units, adopting: false, cookieState: dir.path });
    },
    graceMs: Math.max(0, ...graces),
    force,
    ...(reaper && {
      childEnded: (signal: AbortSignal) => reaper.childEnded(signal),
      exitOf: (key: string) => reaper.exitOf(key),
    }),
  });
}

/** Removes what a run keeps in its directory; logs and receipts stay. The PID file is the caller's. */
export async function removeRunFiles(dir: StateDir): Promise<string[]> {
  const removed: string[] = [];
  const files = [...list(dir.recordsDir), dir.controlSocket, dir.experimentFile];
  // A temporary file of a write that a crash cut short.
  files.push(...list(dir.path).filter((path) => path.endsWith('.tmp')));
  for (const file of files) {
    try {
      await rm(file);
      removed.push(relative(dir.path, file));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return removed;
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder).map((file) => join(folder, file));
  } catch {
    return [];
  }
}
