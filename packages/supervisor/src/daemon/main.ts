/** The daemon's entry: receives what to run, runs it, and stops it on every way out. */
import { loadLibc } from '../process/libc.js';
import { linkToGuardian, NotAChildError, receiveStart, type GuardianLink } from './guardian-link.js';
import { ExperimentRun } from './experiment-run.js';
import type { DaemonStart } from './messages.js';
import { StartFailure } from './start-failure.js';
import { StopRequest } from './stop-request.js';

await main();

async function main(): Promise<void> {
  const stop = new StopRequest();
  // Signals that come before the start message are heeded too: nothing runs yet, so the process just ends.
  wireSignals(stop);
  // Whoever held the other end of our stderr may be gone; that is no reason to end.
  process.stderr.on('error', () => undefined);
  process.stdout.on('error', () => undefined);
  let start: DaemonStart;
  try {
    const received = receiveStart();
    warmUp();
    start = await received;
  } catch (error) {
    if (error instanceof NotAChildError) process.stderr.write(`supervisor: ${error.message}\n`);
    process.exitCode = 1;
    return;
  }
  process.title = `supervisor daemon ${start.experiment.name}`;
  const link = linkToGuardian();
  link.onStop((reason, force) => stop.request(reason, force));
  process.exitCode = await runToTheEnd(start, link, stop);
  await link.close();
  unwireSignals();
}

/** Uses the time until the start message, in which the experiment's file is being read, for what every run needs. */
function warmUp(): void {
  try {
    loadLibc();
  } catch {
    // The step that needs it fails for the same reason, and says so.
  }
}

/** There is no way out of here that skips the stop. Returns the exit code. */
async function runToTheEnd(start: DaemonStart, link: GuardianLink, stop: StopRequest): Promise<number> {
  const run = new ExperimentRun(start, link, stop);
  let exitCode = 0;
  const fatal = (what: string) => (error: unknown) => {
    exitCode = 1;
    const stack = error instanceof Error ? error.stack : String(error);
    run.log('error', what, { stack });
    process.stderr.write(`supervisor: ${what}: ${stack}\n`);
    stop.request(what);
  };
  process.on('uncaughtException', fatal('uncaught exception'));
  process.on('unhandledRejection', fatal('unhandled rejection'));
  process.on('SIGHUP', () => {
    if (start.detached) run.log('info', 'SIGHUP ignored: this version has nothing to reload', {});
    else stop.request('SIGHUP');
  });
  try {
    await run.start();
    if (!stop.requested.aborted) {
      const failed = await Promise.race([requested(stop), run.ended()]);
      if (failed) exitCode = 1;
      stop.request('everything has ended');
    }
  } catch (error) {
    exitCode = 1;
    const code = error instanceof StartFailure ? error.code : 'INTERNAL';
    const message = error instanceof Error ? error.message : String(error);
    run.log('error', 'the start failed', {
      code,
      reason: message,
      ...(error instanceof StartFailure ? {} : { stack: (error as Error).stack }),
    });
    link.send({ type: 'failed', code, message, exitCode });
    stop.request('the start failed');
  } finally {
    const receipt = await run.stop();
    if (receipt && receipt.survivors.length > 0) exitCode = 4;
    if (receipt) link.send({ type: 'stopped', receipt, exitCode });
  }
  return exitCode;
}

/** Resolves to undefined: whoever stops it has no opinion on whether something failed. */
function requested(stop: StopRequest): Promise<undefined> {
  return new Promise((resolve) =>
    stop.requested.addEventListener('abort', () => resolve(undefined), { once: true }),
  );
}

function wireSignals(stop: StopRequest): void {
  process.on('SIGTERM', () => stop.request('SIGTERM'));
  // A SIGINT while stopping means it: whatever is being waited for is cut short.
  process.on('SIGINT', () => stop.request('SIGINT', stop.requested.aborted));
}

function unwireSignals(): void {
  for (const event of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.removeAllListeners(event);
}
