/**
 * Stops an experiment from its PID file alone: SIGTERM to the process that it verifiably names, then waiting until the
 * daemon, its guardian and everything of theirs is gone. A daemon that hangs is killed, and its tree cleaned up here.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { StateDir } from '../state/directory.js';
import { readPidFile } from '../state/pid-file.js';
import { readReceipt } from '../state/receipts.js';
import { readSnapshot, type Snapshot } from '../state/snapshot.js';
import { isRunning, sendSignal, type ProcessIdentity } from './identity.js';
import type { Receipt } from './receipt.js';
import { reconcile } from './reconcile.js';

export interface StopExperimentOptions {
  /** Fires when the waiting is to be skipped: SIGKILL for everything at once. */
  force?: AbortSignal | undefined;
  onProgress?(text: string): void;
}

export interface StopExperimentResult {
  outcome: 'stopped' | 'not_running';
  /** What was ended; null when nothing had to be. */
  receipt: Receipt | null;
}

/** Beyond drain and grace: what an orderly stop needs at most for everything else. */
const STOP_MARGIN_MS = 2000;
/** How long the guardian of a killed daemon gets beyond the grace before this command does its work. */
const GUARDIAN_MARGIN_MS = 7000;
const LOOK_MS = 10;

export async function stopExperiment(dir: StateDir, o: StopExperimentOptions = {}): Promise<StopExperimentResult> {
  const pidFile = readPidFile(dir);
  const snapshot = readSnapshot(dir);
  if (pidFile.kind !== 'running') {
    const { state, receipt } = await reconcile(dir, o.force);
    // A guardian that is still cleaning up after its daemon: its end is what was asked for.
    if (state === 'running') return waitForGuardian(dir, snapshot?.runId, snapshot, o);
    return { outcome: 'not_running', receipt };
  }
  const { identity: daemon, runId } = pidFile;
  const { drain_s = 0, grace_s = 0 } = snapshot?.experiment.supervision ?? {};
  sendSignal(daemon, 'SIGTERM');
  const limitMs = (drain_s + grace_s) * 1000 + STOP_MARGIN_MS;
  if (!(await ends([daemon], limitMs, o.force))) {
    o.onProgress?.(
      o.force?.aborted
        ? `not waiting any longer for the daemon (pid ${daemon.pid}): SIGKILL`
        : `the daemon (pid ${daemon.pid}) did not stop within ${limitMs / 1000} s: SIGKILL`,
    );
    sendSignal(daemon, 'SIGKILL');
    await ends([daemon], STOP_MARGIN_MS);
  }
  return waitForGuardian(dir, runId, snapshot, o);
}

/** The daemon is gone; what its guardian does not clean up within the grace is cleaned up here. */
async function waitForGuardian(
  dir: StateDir,
  runId: string | undefined,
  /** Read before the stop, which removes it. */
  snapshot: Snapshot | undefined,
  { force, onProgress }: StopExperimentOptions,
): Promise<StopExperimentResult> {
  if (snapshot?.guardian) {
    const graceMs = snapshot.experiment.supervision.grace_s * 1000;
    if (!(await ends([snapshot.guardian], graceMs + GUARDIAN_MARGIN_MS, force))) {
      onProgress?.(`the guardian (pid ${snapshot.guardian.pid}) did not clean up: doing it here`);
      sendSignal(snapshot.guardian, 'SIGKILL');
      await ends([snapshot.guardian], STOP_MARGIN_MS);
    }
  }
  const cleaned = await reconcile(dir, force);
  const written = readReceipt(dir);
  const receipt = cleaned.receipt ?? (written?.runId === runId ? written : undefined) ?? null;
  return { outcome: 'stopped', receipt };
}

async function ends(processes: ProcessIdentity[], limitMs: number, force?: AbortSignal): Promise<boolean> {
  const until = performance.now() + limitMs;
  while (processes.some(isRunning)) {
    if (performance.now() > until || force?.aborted) return false;
    await sleep(LOOK_MS);
  }
  return true;
}
