/** Starts a guardian that outlives this command, and waits until the experiment is ready or has failed. */
import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { DaemonMessage, DaemonStart, GuardianMessage } from '../daemon/messages.js';

export type LaunchOutcome = { kind: 'ready' } | { kind: 'ended'; exitCode: number };

export interface LaunchedGuardian {
  stop(reason: string, force: boolean): void;
  /** Does not reject. After `ready` nothing ties the guardian to this process. */
  settled: Promise<LaunchOutcome>;
}

let waiting: ChildProcess | undefined;

/** Starts the guardian's process, and by that the daemon's, before it is known what they are to run. */
export function prepareGuardianProcess(): void {
  waiting ??= spawnGuardian();
  waiting.on('error', () => undefined);
}

/** Ends a prepared guardian that nobody took; it ends its daemon. */
export async function discardGuardianProcess(): Promise<void> {
  const child = waiting;
  waiting = undefined;
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve).once('error', resolve));
  if (child.connected) child.disconnect();
  await gone;
}

function takeGuardianProcess(): ChildProcess {
  const child = waiting?.exitCode === null && waiting.connected ? waiting : spawnGuardian();
  waiting = undefined;
  return child;
}

function spawnGuardian(): ChildProcess {
  return spawn(process.execPath, [guardianMain], {
    detached: true,
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
}

const guardianMain = fileURLToPath(new URL('./main.js', import.meta.url));

export function launchDetachedGuardian(
  start: DaemonStart,
  onMessage: (message: DaemonMessage) => void,
): LaunchedGuardian {
  const child = takeGuardianProcess();
  const send = (message: GuardianMessage) => {
    if (child.connected) child.send(message, () => undefined);
  };
  const settled = new Promise<LaunchOutcome>((resolve) => {
    child.once('error', (error) => {
      process.stderr.write(`supervisor: cannot start the guardian: ${error.message}\n`);
      resolve({ kind: 'ended', exitCode: 1 });
    });
    child.on('message', (message: DaemonMessage) => {
      onMessage(message);
      if (message.type === 'ready') resolve({ kind: 'ready' });
    });
    child.once('exit', (code) => resolve({ kind: 'ended', exitCode: code ?? 1 }));
  });
  send({ type: 'start', start });
  return {
    stop: (reason, force) => send({ type: 'stop', reason, force }),
    settled: settled.finally(() => {
      if (child.connected) child.disconnect();
      child.unref();
    }),
  };
}
