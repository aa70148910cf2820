/**
 * Stops an experiment from its PID file alone: SIGTERM to the process that it verifiably names, then waiting until the
 * daemon, its guardian and everything of theirs is gone. A daemon that hangs is killed, and its tree cleaned up here.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { StateDir } from '../state/directory.js';
import { readPidFile } from '../state/pid-file.js';
import { readReceipt } from '../state/receipts.js';
import { readSnapshot } from '../state/snapshot.js';
import { isRunning, sendSignal, type ProcessIdentity } from './identity.js';
import type { Receipt } from './receipt.js';
import { reconcile } from './reconcile.js';

export interface StopExperimentOptions {
  /** Fires when the waiting is to be skipped: SIGKILL for everything at once. */
  force?: AbortSignal | undefined;
  onProgress?: (text: string) => void;
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
/** How long another command may clean up, or a daemon that just starts may take to write its PID file. */
const LOCK_LIMIT_MS = 60_000;
const LOOK_MS = 10;

export async function stopExperiment(
  dir: StateDir,
  o: StopExperimentOptions = {},
): Promise<StopExperimentResult> {
  let stopped: LivingRun | null = null;
  let sawOther = false;
  const giveUpBy = performance.now() + LOCK_LIMIT_MS;
  for (;;) {
    const run = findRun(dir);
    if (run && stopped && run.runId !== stopped.runId) {
      // Somebody has started it anew: that is not what was to be stopped.
      return { outcome: 'stopped', receipt: receiptOf(dir, stopped.runId) };
    }
    if (run && !stopped) {
      stopped = run;
      await stopRun(dir, run, o);
    }
    const cleaned = await reconcile(dir, o.force);
    if (cleaned.state !== 'running') {
      const receipt = cleaned.receipt ?? (stopped ? receiptOf(dir, stopped.runId) : null);
      return { outcome: stopped || sawOther ? 'stopped' : 'not_running', receipt };
    }
    // Held by one that does not show: a daemon before its PID file is written, or another command that cleans up.
    sawOther = true;
    if (o.force?.aborted || performance.now() > giveUpBy) {
      throw new Error(
        `another process holds ${dir.path} and does not let go of it; see who with: fuser ${dir.path}`,
      );
    }
    await sleep(LOOK_MS);
  }
}

/** A run of which at least the daemon or the guardian is alive. */
interface LivingRun {
  runId: string;
  daemon: ProcessIdentity | null;
  guardian: ProcessIdentity | null;
  drainMs: number;
  graceMs: number;
}

function findRun(dir: StateDir): LivingRun | null {
  const pidFile = readPidFile(dir);
  // A PID file that somebody damaged: the snapshot beside it knows the daemon too.
  const snapshot = readSnapshot(dir);
  const runId = pidFile.kind === 'running' ? pidFile.runId : snapshot?.runId;
  if (runId === undefined) return null;
  const ours = snapshot?.runId === runId ? snapshot : undefined;
  const alive = (id: ProcessIdentity | null | undefined) => (id && isRunning(id) ? id : null);
  const daemon = pidFile.kind === 'running' ? pidFile.identity : alive(ours?.daemon);
  const guardian = alive(ours?.guardian);
  if (!daemon && !guardian) return null;
  const { drain_s = 0, grace_s = 0 } = ours?.experiment.supervision ?? {};
  return { runId, daemon, guardian, drainMs: drain_s * 1000, graceMs: grace_s * 1000 };
}

/** Returns when daemon and guardian are gone, or only a guardian is left that has nothing to do any more. */
async function stopRun(
  dir: StateDir,
  run: LivingRun,
  { force, onProgress }: StopExperimentOptions,
): Promise<void> {
  const { daemon, guardian } = run;
  if (daemon) {
    sendSignal(daemon, 'SIGTERM');
    // One that was stopped takes its SIGTERM only when continued.
    sendSignal(daemon, 'SIGCONT');
    const limitMs = run.drainMs + run.graceMs + STOP_MARGIN_MS;
    if (!(await ends(daemon, limitMs, force))) {
      onProgress?.(
        force?.aborted
          ? `not waiting any longer for the daemon (pid ${daemon.pid}): SIGKILL`
          : `the daemon (pid ${daemon.pid}) did not stop within ${limitMs / 1000} s: SIGKILL`,
      );
      sendSignal(daemon, 'SIGKILL');
      await ends(daemon, STOP_MARGIN_MS);
    }
  }
  if (!guardian) return;
  sendSignal(guardian, 'SIGCONT');
  // The daemon has signed off: a guardian that lingers, e.g. because nobody reads its terminal, holds nothing.
  const signedOff = () => readSnapshot(dir)?.runId !== run.runId;
  if (signedOff()) return void (await ends(guardian, STOP_MARGIN_MS, force));
  if (await ends(guardian, run.graceMs + GUARDIAN_MARGIN_MS, force)) return;
  onProgress?.(`not waiting any longer for the guardian (pid ${guardian.pid}): cleaning up here`);
  sendSignal(guardian, 'SIGKILL');
  await ends(guardian, STOP_MARGIN_MS);
}

function receiptOf(dir: StateDir, runId: string): Receipt | null {
  const written = readReceipt(dir);
  return written?.runId === runId ? written : null;
}

async function ends(id: ProcessIdentity, limitMs: number, force?: AbortSignal): Promise<boolean> {
  const until = performance.now() + limitMs;
  while (isRunning(id)) {
    if (performance.now() > until || force?.aborted) return false;
    await sleep(LOOK_MS);
  }
  return true;
}
