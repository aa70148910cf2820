/**
 * The daemon's process. It can be started before it is known what it is to run: it boots on another core while the
 * command line and the experiment file are read, and waits for its start message.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const daemonMain = fileURLToPath(new URL('../daemon/main.js', import.meta.url));

let waiting: ChildProcess | undefined;

/** Starts the process whose start message will come from `takeDaemonProcess`'s caller. */
export function prepareDaemonProcess(stderr: 'inherit' | 'ignore'): void {
  waiting ??= spawnDaemon(stderr);
  // Reported by its exit to whoever takes it; until then nobody listens.
  waiting.on('error', () => undefined);
}

/** The prepared process, or one that is started now. */
export function takeDaemonProcess(stderr: 'inherit' | 'ignore'): ChildProcess {
  const child = waiting?.exitCode === null && waiting.connected ? waiting : spawnDaemon(stderr);
  waiting = undefined;
  return child;
}

/** Ends a prepared process that nobody took, e.g. because the file is wrong. It runs nothing yet. */
export async function discardDaemonProcess(): Promise<void> {
  const child = waiting;
  waiting = undefined;
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve).once('error', resolve));
  if (child.kill('SIGKILL')) await gone;
}

function spawnDaemon(stderr: 'inherit' | 'ignore'): ChildProcess {
  return spawn(process.execPath, [daemonMain], {
    // A session of its own: Ctrl-C on our terminal reaches us alone, and we pass it on as a wish to stop.
    detached: true,
    stdio: ['ignore', 'ignore', stderr, 'ipc'],
  });
}
