/** One daemon per name: the lock on its directory, the PID file, and the removal of both. */
import { setTimeout as sleep } from 'node:timers/promises';
import { identify } from '../process/identity.js';
import { removeRunFiles } from '../process/leftovers.js';
import { cleanUnderLock } from '../process/reconcile.js';
import type { Receipt } from '../process/receipt.js';
import { StateDirError, asStateDirError, type DirLock, type StateDir } from '../state/directory.js';
import { readPidFile, removePidFile, writePidFile } from '../state/pid-file.js';
import { writeReceipt } from '../state/receipts.js';
import { writeSnapshot } from '../state/snapshot.js';
import type { DaemonStart } from './messages.js';
import { StartFailure } from './start-failure.js';

export interface Claim {
  /** What had to be cleaned up first; null when the last run left nothing. */
  leftovers: Receipt | null;
  /** Removes what the run keeps in its directory, PID file last but for the lock. Returns the removed files. */
  release(receipt: Receipt): Promise<string[]>;
}

/** @param force cuts the grace of what an earlier run left. */
export async function claimName(dir: StateDir, start: DaemonStart, force?: AbortSignal): Promise<Claim> {
  let lock: DirLock | null = null;
  try {
    await dir.ensure();
    lock = await takeLock(dir, force);
    const leftovers = await cleanUnderLock(dir, force);
    if (leftovers && leftovers.survivors.length > 0) {
      const pids = leftovers.survivors.map(({ pid }) => pid).join(', ');
      throw new StartFailure(
        'INTERNAL',
        `processes of an earlier run cannot be ended: ${pids}; see the kernel log`,
      );
    }
    const daemon = identify(process.pid);
    if (!daemon) throw new StartFailure('INTERNAL', 'cannot read the start time of this process');
    await writeSnapshot(dir, { ...start, daemon, guardian: identify(process.ppid) ?? null });
    await writePidFile(dir, start.runId);
    return { leftovers, release: (receipt) => release(dir, start.runId, lock as DirLock, receipt) };
  } catch (error) {
    if (lock) {
      // Half-made files of a start that came to nothing, e.g. for want of space.
      await removePidFile(dir, start.runId).catch(() => false);
      await removeRunFiles(dir).catch(() => []);
      await lock.release();
    }
    if (error instanceof StartFailure) throw error;
    const unusable = error instanceof StateDirError ? error : asStateDirError(error, dir.path);
    throw new StartFailure('STATE_DIR_UNUSABLE', unusable.message, error);
  }
}

/** How long another command, or the guardian of a killed daemon, may take to clean up before a start is refused. */
const CLEANING_LIMIT_MS = 30_000;
const LOOK_MS = 20;

/** The holder is a daemon (its PID file says so, or soon will) or somebody who cleans up and lets go. */
async function takeLock(dir: StateDir, force?: AbortSignal): Promise<DirLock> {
  const giveUpBy = performance.now() + CLEANING_LIMIT_MS;
  for (;;) {
    const lock = await dir.lock();
    if (lock) return lock;
    if (readPidFile(dir).kind === 'running' || force?.aborted || performance.now() > giveUpBy) {
      throw alreadyRunning(dir);
    }
    await sleep(LOOK_MS);
  }
}

async function release(dir: StateDir, runId: string, lock: DirLock, receipt: Receipt): Promise<string[]> {
  try {
    const removed: string[] = [];
    // Records of processes that could not be ended stay, so that they can still be found.
    if (receipt.survivors.length === 0) removed.push(...(await removeRunFiles(dir)));
    await writeReceipt(dir, { ...receipt, filesRemoved: [...removed, 'supervisor.pid'] });
    if (await removePidFile(dir, runId)) removed.push('supervisor.pid');
    return removed;
  } finally {
    await lock.release();
  }
}

function alreadyRunning(dir: StateDir): StartFailure {
  const file = readPidFile(dir);
  const who =
    file.kind === 'running' ? `pid ${file.identity.pid}` : 'another process that holds its directory';
  return new StartFailure(
    'ALREADY_RUNNING',
    `${dir.name} is already running (${who}); stop it with \`supervisor stop ${dir.name}\`, or give this one another name`,
  );
}
