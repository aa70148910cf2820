/** Cleans up after a run whose daemon and guardian both died. Every command that looks at an experiment begins here. */
import { statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { StateDir } from '../state/directory.js';
import { writeReceipt } from '../state/receipts.js';
import { readPidFile } from '../state/pid-file.js';
import { readSnapshot } from '../state/snapshot.js';
import { isRunning } from './identity.js';
import { removeRunFiles, stopLeftovers } from './leftovers.js';
import type { Receipt } from './receipt.js';

export type ReconcileResult =
  /** A daemon holds the name, or its guardian or another command is cleaning up after it. */
  | { state: 'running'; receipt: null }
  | { state: 'clean'; receipt: null }
  | { state: 'cleaned'; receipt: Receipt };

/** A name that was never used is clean. Nothing is made for it. */
export async function reconcile(dir: StateDir, force?: AbortSignal): Promise<ReconcileResult> {
  if (!statSync(dir.path, { throwIfNoEntry: false })) return { state: 'clean', receipt: null };
  const lock = await dir.lock();
  if (!lock) return { state: 'running', receipt: null };
  try {
    const { guardian } = readSnapshot(dir) ?? {};
    if (guardian && isRunning(guardian)) return { state: 'running', receipt: null };
    const receipt = await cleanUnderLock(dir, force);
    return receipt ? { state: 'cleaned', receipt } : { state: 'clean', receipt: null };
  } finally {
    await lock.release();
  }
}

/** The caller holds the lock. Null when there was nothing to clean. */
export async function cleanUnderLock(dir: StateDir, force?: AbortSignal): Promise<Receipt | null> {
  const startedAt = new Date();
  const pidFile = readPidFile(dir);
  const snapshot = readSnapshot(dir);
  const report = await stopLeftovers(dir, { force });
  const filesRemoved: string[] = [];
  if (report.survivors.length === 0) {
    filesRemoved.push(...(await removeRunFiles(dir)));
    if (pidFile.kind !== 'none') {
      await rm(dir.pidFile, { force: true, recursive: true });
      filesRemoved.push('supervisor.pid');
    }
  }
  if (report.processes.length === 0 && filesRemoved.length === 0) return null;
  const receipt: Receipt = {
    ...report,
    experiment: dir.name,
    runId: snapshot?.runId ?? ('runId' in pidFile ? pidFile.runId : null) ?? 'unknown',
    reason: 'left by a run that was killed',
    by: 'reconcile',
    startedAt: startedAt.toISOString(),
    finishedAt: new Date().toISOString(),
    ports: [],
    filesRemoved,
  };
  await writeReceipt(dir, receipt);
  return receipt;
}
