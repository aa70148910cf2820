/**
 * The guardian: parent of the daemon and, as a subreaper, heir of everything that a dead daemon leaves. It has next to
 * no logic of its own, so that there is little in it that could fail.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { DaemonMessage, DaemonStart, GuardianMessage } from '../daemon/messages.js';
import { identify, identityKey, sendSignal, type ProcessIdentity } from '../process/identity.js';
import { removeRunFiles, stopLeftovers } from '../process/leftovers.js';
import { Reaper } from '../process/reaper.js';
import type { Receipt } from '../process/receipt.js';
import { StateDir } from '../state/directory.js';
import { removePidFile } from '../state/pid-file.js';
import { writeReceipt } from '../state/receipts.js';

export interface GuardianOptions {
  start: DaemonStart;
  onMessage(message: DaemonMessage): void;
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
  /** Resolves when the daemon is gone and nothing of its tree is left, or what is left is named. Does not reject. */
  done: Promise<GuardianOutcome>;
}

/** Beyond drain and grace: what an orderly stop needs at most for everything else. */
const STOP_MARGIN_MS = 2000;

const daemonMain = fileURLToPath(new URL('../daemon/main.js', import.meta.url));

export function startGuardian({ start, onMessage, stderr }: GuardianOptions): Guardian {
  const { drain_s, grace_s } = start.experiment.supervision;
  const reaper = new Reaper();
  reaper.adopt();
  const child = spawn(process.execPath, [daemonMain], {
    // A session of its own: Ctrl-C on our terminal reaches us alone, and we pass it on as a wish to stop.
    detached: true,
    stdio: ['ignore', 'ignore', stderr, 'ipc'],
  });
  const daemon = child.pid === undefined ? undefined : identify(child.pid);
  if (daemon) reaper.own(child, identityKey(daemon));

  const force = new AbortController();
  let stopped: Extract<DaemonMessage, { type: 'stopped' }> | undefined;
  let failed: Extract<DaemonMessage, { type: 'failed' }> | undefined;
  let hung: NodeJS.Timeout | undefined;
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
    stop: (reason, forced) => {
      if (forced) force.abort();
      send({ type: 'stop', reason, force: forced });
      const limitMs = STOP_MARGIN_MS + (forced ? 0 : (drain_s + grace_s) * 1000);
      if (forced || !hung) {
        clearTimeout(hung);
        hung = setTimeout(() => daemon && sendSignal(daemon, 'SIGKILL'), limitMs);
      }
    },
    done: ended(child).then(async (end): Promise<GuardianOutcome> => {
      clearTimeout(hung);
      try {
        if (stopped) return { exitCode: stopped.exitCode, receipt: stopped.receipt };
        if (failed && end.kind === 'exit' && end.signal === null) return { exitCode: failed.exitCode, receipt: null };
        return await cleanUpAfter(end, start, daemon, reaper, force.signal);
      } finally {
        reaper.close();
      }
    }),
  };
}

type DaemonEnd = { kind: 'error'; error: Error } | { kind: 'exit'; code: number | null; signal: string | null };

/** The end of the daemon, after its last message has been read. */
function ended(child: ReturnType<typeof spawn>): Promise<DaemonEnd> {
  return new Promise((resolve) => {
    let end: DaemonEnd | undefined;
    let connected = true;
    const settle = () => {
      if (end && !connected) resolve(end);
    };
    child.once('error', (error) => resolve({ kind: 'error', error }));
    child.once('exit', (code, signal) => {
      end = { kind: 'exit', code, signal };
      settle();
    });
    child.once('disconnect', () => {
      connected = false;
      settle();
    });
  });
}

/** The daemon died without taking leave: its plain processes get their grace, and then nothing is left. */
async function cleanUpAfter(
  end: DaemonEnd,
  start: DaemonStart,
  daemon: ProcessIdentity | undefined,
  reaper: Reaper,
  force: AbortSignal,
): Promise<GuardianOutcome> {
  const dir = StateDir.open(start.stateDir);
  const startedAt = new Date();
  const how = end.kind === 'error' ? end.error.message : (end.signal ?? `code ${end.code}`);
  if (end.kind === 'error' || !daemon) {
    process.stderr.write(`supervisor: cannot start the daemon: ${how}\n`);
    return { exitCode: 1, receipt: null };
  }
  const report = await stopLeftovers(dir, { force, reaper });
  const filesRemoved: string[] = [];
  // A daemon that never held the name leaves the files of the one that does alone.
  if (report.survivors.length === 0 && (await removePidFile(dir, start.runId))) {
    filesRemoved.push('supervisor.pid', ...(await removeRunFiles(dir)));
  }
  const receipt: Receipt = {
    ...report,
    experiment: start.experiment.name,
    runId: start.runId,
    reason: `the daemon ended with ${how}`,
    by: 'guardian',
    startedAt: startedAt.toISOString(),
    finishedAt: new Date().toISOString(),
    ports: [],
    filesRemoved,
  };
  await writeReceipt(dir, receipt);
  return { exitCode: receipt.survivors.length > 0 ? 4 : 1, receipt };
}
