/**
 * Finds and ends what a dead run left: by its records, by the marks it put on its processes, and for a guardian by
 * adoption. The caller makes sure that no daemon of that run is alive (it holds the lock, or it was the daemon's parent).
 */
import { existsSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import type { StateDir } from '../state/directory.js';
import { readRecords, type UnitRecord } from '../state/records.js';
import { readSnapshot } from '../state/snapshot.js';
import { identityKey, isFromHere } from './identity.js';
import { findProcesses, type KnownUnit, type ObservedProcess, type SearchOptions } from './observe.js';
import type { StopReport } from './receipt.js';
import type { Reaper } from './reaper.js';
import { stopTree } from './stop-tree.js';

export interface LeftoverOptions {
  force?: AbortSignal | undefined;
  /** By default what the records or the experiment say. */
  graceMs?: number;
  /** For a guardian: where orphans come to, and the one run that is its business. */
  heir?: { reaper: Reaper; run: { name: string; runId: string } };
}

/** Where neither records nor the experiment are left to say how long a process may take to end. */
const UNKNOWN_GRACE_MS = 10_000;
/** Where orphans go to init a chain of forks can slip through one search; through several it hardly can. */
const SEARCHES_FOR_PROOF = 3;

export async function stopLeftovers(
  dir: StateDir,
  { force, graceMs, heir }: LeftoverOptions = {},
): Promise<StopReport> {
  const records = readRecords(dir).filter(({ runId }) => heir === undefined || runId === heir.run.runId);
  const reaper = heir?.reaper;
  const adopting = reaper?.adopts ?? false;
  const search: SearchOptions = {
    units: records.flatMap(knownUnit),
    adopting,
    cookie: { state: dir.path, ...(heir && { run: `${heir.run.name}:${heir.run.runId}` }) },
  };
  const find = () => {
    reaper?.reap();
    for (let searches = adopting ? 1 : SEARCHES_FOR_PROOF; ; searches--) {
      const found = findProcesses(search);
      if (found.length > 0 || searches === 1) return found;
    }
  };
  const stop = (of: (process: ObservedProcess) => boolean, ofItsGraceMs: number) =>
    stopTree({
      find: () => find().filter(of),
      graceMs: ofItsGraceMs,
      force,
      ...(reaper && {
        childEnded: (signal: AbortSignal) => reaper.childEnded(signal),
        reaped: () => reaper.reaped(),
        exitOf: (key: string) => reaper.exitOf(key),
      }),
    });

  // Model workers have nothing to save, and the kernel has been told to end them already; the others get their grace.
  const workers = new Set(records.filter(({ kind }) => kind === 'worker').map(({ unit }) => unit));
  const ofWorker = ({ unit }: ObservedProcess) => unit !== null && workers.has(unit);
  const parts = await Promise.all([
    ...(workers.size > 0 ? [stop(ofWorker, 0)] : []),
    stop((process) => !ofWorker(process), graceMs ?? graceOf(dir, records)),
  ]);
  return {
    processes: parts.flatMap(({ processes }) => processes),
    survivors: parts.flatMap(({ survivors }) => survivors),
    durationMs: Math.max(...parts.map(({ durationMs }) => durationMs)),
  };
}

function knownUnit({ unit, leader, pipes }: UnitRecord): KnownUnit[] {
  // Another boot's pids mean nothing here.
  if (!leader || !isFromHere(leader)) return [];
  return [{ id: unit, leader, seen: new Set([identityKey(leader)]), ...(pipes && { pipes }) }];
}

function graceOf(dir: StateDir, records: UnitRecord[]): number {
  const graces = records.filter(({ kind }) => kind === 'process').map(({ graceMs }) => graceMs);
  if (graces.length > 0) return Math.max(...graces);
  const snapshot = readSnapshot(dir);
  return snapshot ? snapshot.experiment.supervision.grace_s * 1000 : UNKNOWN_GRACE_MS;
}

/** Removes what a run keeps in its directory; logs and receipts stay. The PID file is the caller's. */
export async function removeRunFiles(dir: StateDir): Promise<string[]> {
  const removed: string[] = [];
  const files = [...list(dir.recordsDir), dir.controlSocket, dir.experimentFile];
  // A temporary file of a write that a crash cut short.
  for (const folder of [dir.path, dirname(dir.receiptFile)]) {
    files.push(...list(folder).filter((path) => path.endsWith('.tmp')));
  }
  for (const file of files) {
    if (!existsSync(file)) continue;
    await rm(file, { force: true, recursive: true });
    removed.push(relative(dir.path, file));
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
