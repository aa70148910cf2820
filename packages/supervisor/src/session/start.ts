/** `supervisor start`: in the foreground this process is the guardian; detached, it waits until the guardian reports. */
import type { DaemonMessage, DaemonStart } from '../daemon/messages.js';
import { startGuardian, type GuardianOutcome } from '../guardian/guardian.js';
import { launchDetachedGuardian } from '../guardian/launch.js';
import { createProgress, type Progress } from '../terminal/progress.js';
import { formatReceipt } from '../terminal/receipt.js';
import { howToCall } from './how-to-call.js';
import { prepareStart, type StartArguments } from './prepare.js';
import { stopOnSignals } from './signals.js';

export async function startExperiment(argv: StartArguments & { detach: boolean }): Promise<number> {
  const onTerminal = process.stdout.isTTY && process.stderr.isTTY;
  const start = prepareStart(argv, {
    detached: argv.detach,
    logToStderr: argv.detach ? 'never' : onTerminal ? 'when-told' : 'always',
  });
  return argv.detach ? startDetached(start) : startInForeground(start);
}

async function startInForeground(start: DaemonStart): Promise<number> {
  const reporter = new StartReporter(start);
  const guardian = startGuardian({
    start,
    stderr: 'inherit',
    onMessage: (message) => {
      reporter.report(message);
      if (message.type === 'stopping') signals.stopping();
      if (message.type === 'ready' && start.logToStderr === 'when-told') guardian.showLog();
    },
  });
  const signals = stopOnSignals((reason, force) => guardian.stop(reason, force));
  const outcome = await guardian.done;
  signals.close();
  reporter.close();
  reportOutcome(outcome);
  return outcome.exitCode;
}

async function startDetached(start: DaemonStart): Promise<number> {
  const reporter = new StartReporter(start);
  const guardian = launchDetachedGuardian(start, (message) => reporter.report(message));
  // Until it is ready it is still ours to interrupt.
  const signals = stopOnSignals((reason, force) => guardian.stop(reason, force));
  const outcome = await guardian.settled;
  signals.close();
  reporter.close();
  if (outcome.kind === 'ready') return 0;
  return outcome.exitCode;
}

/** Turns the daemon's messages into lines for people. */
export class StartReporter {
  readonly #start: DaemonStart;
  readonly #stream: NodeJS.WriteStream;
  readonly #progress: Progress;

  constructor(start: DaemonStart, stream: NodeJS.WriteStream = process.stdout) {
    this.#start = start;
    this.#stream = stream;
    this.#progress = createProgress(stream);
  }

  note(text: string): void {
    this.#progress.note(text);
  }

  report(message: DaemonMessage): void {
    switch (message.type) {
      case 'unit':
        return this.#progress.update({
          unit: message.unit,
          state: message.state,
          ...(message.detail === undefined ? {} : { detail: message.detail }),
        });
      case 'progress': {
        const { type: _type, ...progress } = message;
        return this.#progress.update({ state: 'loading', ...progress });
      }
      case 'ready':
        this.#progress.close();
        this.#stream.write(`${howToCall(this.#start, message.endpoints, message.durationMs)}\n`);
        return;
      case 'stopping':
        return this.#progress.note(`stopping: ${message.reason}`);
      case 'failed':
        this.#progress.close();
        process.stderr.write(`supervisor: ${message.message}\n`);
        return;
      case 'stopped':
        return;
    }
  }

  close(): void {
    this.#progress.close();
  }
}

export function reportOutcome({ receipt }: GuardianOutcome): void {
  if (receipt) process.stdout.write(formatReceipt(receipt));
}
