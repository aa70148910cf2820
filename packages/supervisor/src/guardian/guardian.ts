/**
 * The guardian: parent of the daemon and, as a subreaper, heir of everything that a dead daemon leaves. It has next to
 * no logic of its own, so that there is little in it that could fail.
 */
import type { ChildProcess } from 'node:child_process';
import type { DaemonMessage, DaemonStart, GuardianMessage } from '../daemon/messages.js';
import { identify, identityKey, sendSignal } from '../process/identity.js';
import { removeRunFiles, stopLeftovers } from '../process/leftovers.js';
import { findProcesses } from '../process/observe.js';
import { Reaper } from '../process/reaper.js';
import type { Receipt } from '../process/receipt.js';
import { takeDaemonProcess } from './daemon-process.js';
import { StateDir } from '../state/directory.js';
import { readPidFile, removePidFile } from '../state/pid-file.js';
import { writeReceipt } from '../state/receipts.js';
import { readRecords } from '../state/records.js';
import { readSnapshot } from '../state/snapshot.js';

export interface GuardianOptions {
  start: DaemonStart;
  onMessage: (message: DaemonMessage) => void;
  /** Where the daemon's stderr goes. */
  stderr: 'inherit' | 'ignore';
}

export interface GuardianOutcome {
  exitCode: number;
  /** Null when nothing was ever started, e.g. because the name was taken. */
  receipt: Receipt | null;
}

export interface Guardian {
  /** Idempotent; with `force` nothing is waited for any more. */
  stop(reason: string, force: boolean): void;
  /** Lets the daemon's log lines onto our stderr. */
  showLog(): void;
  /** Resolves when the daemon is gone and nothing of its tree is left, or what is left is named. Does not reject. */
  done: Promise<GuardianOutcome>;
}

/** Beyond drain and grace: what an orderly stop needs at most for everything else. */
const STOP_MARGIN_MS = 2000;

export function startGuardian({ start, onMessage, stderr }: GuardianOptions): Guardian {
  const { drain_s, grace_s } = start.experiment.supervision;
  const reaper = new Reaper();
  reaper.adopt();
  const child = takeDaemonProcess(stderr);
  const daemon = child.pid === undefined ? undefined : identify(child.pid);
  if (daemon) reaper.own(child, identityKey(daemon));

  const force = new AbortController();
  let stopped: Extract<DaemonMessage, { type: 'stopped' }> | undefined;
  let failed: Extract<DaemonMessage, { type: 'failed' }> | undefined;
  let hung: NodeJS.Timeout | undefined;
  /** The daemon has ended; a wish to stop that comes now has nobody to wait for. */
  let gone = false;
  const send = (message: GuardianMessage) => {
    // A daemon that has just died is reported by its exit.
    if (child.connected) child.send(message, () => undefined);
  };

  child.on('message', (message: DaemonMessage) => {
    if (message.type === 'stopped') stopped = message;
    if (message.type === 'failed') failed = message;
    onMessage(message);
  });
  send({ type: 'start', start });

  return {
    showLog: () => send({ type: 'show-log' }),
    stop: (reason, forced) => {
      if (forced) force.abort();
      send({ type: 'stop', reason, force: forced });
      // One that somebody stopped hears of it only when continued.
      if (daemon) sendSignal(daemon, 'SIGCONT');
      const limitMs = STOP_MARGIN_MS + (forced ? 0 : (drain_s + grace_s) * 1000);
      if (!gone && (forced || !hung)) {
        clearTimeout(hung);
        hung = setTimeout(() => daemon && sendSignal(daemon, 'SIGKILL'), limitMs);
      }
    },
    done: ended(child).then(async (end): Promise<GuardianOutcome> => {
      gone = true;
      clearTimeout(hung);
      try {
        if (stopped) return await proveEmpty(stopped, start, reaper, force.signal);
        const outcome = await cleanUpAfter(end, start, reaper, force.signal);
        return failed && outcome.exitCode !== 4 ? { ...outcome, exitCode: failed.exitCode } : outcome;
      } catch (error) {
        process.stderr.write(`supervisor: cannot clean up after the daemon: ${(error as Error).message}\n`);
        return { exitCode: 1, receipt: stopped?.receipt ?? null };
      } finally {
        reaper.close();
      }
    }),
  };
}

type DaemonEnd =
  { kind: 'error'; error: Error } | { kind: 'exit'; code: number | null; signal: string | null };

/** How long the channel may stay open after the daemon's exit; its last messages are in it. */
const CHANNEL_LIMIT_MS = 1000;

/** The end of the daemon, after its last message has been read. */
function ended(child: ChildProcess): Promise<DaemonEnd> {
  return new Promise((resolve) => {
    let end: DaemonEnd | undefined;
    let connected = true;
    const settle = () => {
      if (end && !connected) resolve(end);
    };
    child.once('error', (error) => {
      if (child.pid === undefined) resolve({ kind: 'error', error });
    });
    child.once('exit', (code, signal) => {
      end = { kind: 'exit', code, signal };
      settle();
      // Whoever else has the channel's other end by accident must not make us wait for ever.
      if (connected) setTimeout(() => resolve({ kind: 'exit', code, signal }), CHANNEL_LIMIT_MS).unref();
    });
    child.once('disconnect', () => {
      connected = false;
      settle();
    });
  });
}

/** The daemon has signed off. What it left all the same is our child by now, and has had its grace. */
async function proveEmpty(
  { receipt, exitCode }: Extract<DaemonMessage, { type: 'stopped' }>,
  start: DaemonStart,
  reaper: Reaper,
  force: AbortSignal,
): Promise<GuardianOutcome> {
  const isEmpty = !reaper.adopts || findProcesses({ units: [], adopting: true }).length === 0;
  // What the daemon could not end, we cannot either.
  if (isEmpty || receipt.survivors.length > 0) return { exitCode, receipt };
  const heir = { reaper, run: { name: start.experiment.name, runId: start.runId } };
  const rest = await stopLeftovers(StateDir.open(start.stateDir), { force, heir, graceMs: 0 });
  const survivors = [...receipt.survivors, ...rest.survivors];
  const processes = [...receipt.processes, ...rest.processes];
  return { exitCode: survivors.length > 0 ? 4 : exitCode, receipt: { ...receipt, processes, survivors } };
}

/** The daemon ended without taking leave: its plain processes get their grace, and then nothing is left. */
async function cleanUpAfter(
  end: DaemonEnd,
  start: DaemonStart,
  reaper: Reaper,
  force: AbortSignal,
): Promise<GuardianOutcome> {
  const dir = StateDir.open(start.stateDir);
  const startedAt = new Date();
  if (end.kind === 'error') {
    process.stderr.write(`supervisor: cannot start the daemon: ${end.error.message}\n`);
    return { exitCode: 1, receipt: null };
  }
  // Others see by the lock that somebody is at work here. Null where a new daemon was quicker, or there is no folder.
  const lock = await dir.lock().catch(() => null);
  try {
    const heir = { reaper, run: { name: start.experiment.name, runId: start.runId } };
    const report = await stopLeftovers(dir, { force, heir });
    const filesRemoved: string[] = [];
    // A daemon that never held the name leaves the files of the one that does alone.
    if (lock && report.survivors.length === 0 && ownerOfFiles(dir) === start.runId) {
      filesRemoved.push(...(await removeRunFiles(dir)));
      if (await removePidFile(dir, start.runId)) filesRemoved.push('supervisor.pid');
    }
    if (report.processes.length === 0 && filesRemoved.length === 0) return { exitCode: 1, receipt: null };
    const receipt: Receipt = {
      ...report,
      experiment: start.experiment.name,
      runId: start.runId,
      reason: `the daemon ended with ${end.signal ?? `code ${end.code}`}`,
      by: 'guardian',
      startedAt: startedAt.toISOString(),
      finishedAt: new Date().toISOString(),
      ports: [],
      filesRemoved,
    };
    await writeReceipt(dir, receipt);
    return { exitCode: receipt.survivors.length > 0 ? 4 : 1, receipt };
  } finally {
    await lock?.release();
  }
}

/** The run that the files in the folder are of, as far as they tell. */
function ownerOfFiles(dir: StateDir): string | undefined {
  const pidFile = readPidFile(dir);
  const named = 'runId' in pidFile ? pidFile.runId : null;
  return named ?? readSnapshot(dir)?.runId ?? readRecords(dir)[0]?.runId;
}
