/**
 * `supervisor run`: start, warm up, drive the load of the `experiment:` block over gRPC, write the results, stop,
 * and audit. Whatever happens in between, the stop and the audit come last.
 */
import { join, resolve } from 'node:path';
import { driveExperiment, formatMarkdown, writeResults, type ExperimentResults } from '@supervisor/bench';
import { auditExperiment } from '../audit/experiment.js';
import type { DaemonMessage, Endpoints } from '../daemon/messages.js';
import { startGuardian } from '../guardian/guardian.js';
import { StateDir } from '../state/directory.js';
import { formatReceipt } from '../terminal/receipt.js';
import { prepareStart, type StartArguments } from './prepare.js';
import { stopOnSignals } from './signals.js';
import { StartReporter } from './start.js';

export async function runExperiment(
  argv: StartArguments & { out?: string | undefined; json: boolean },
): Promise<number> {
  const start = prepareStart(argv, { detached: false, logToStderr: 'never' });
  const { experiment } = start;
  const interrupted = new AbortController();
  // With --json the only thing on stdout is the document at the end.
  const reporter = new StartReporter(start, argv.json ? process.stderr : process.stdout);
  let becomeReady: (endpoints: Endpoints) => void = () => undefined;
  const ready = new Promise<Endpoints>((settle) => (becomeReady = settle));
  const guardian = startGuardian({
    start,
    stderr: 'inherit',
    onMessage: (message: DaemonMessage) => {
      reporter.report(message);
      if (message.type === 'ready') becomeReady(message.endpoints);
      if (message.type === 'stopping') {
        interrupted.abort();
        signals.stopping();
      }
    },
  });
  const signals = stopOnSignals((reason, force) => {
    interrupted.abort();
    guardian.stop(reason, force);
  });

  let results: ExperimentResults | null = null;
  let loadError: Error | null = null;
  const endpoints = await Promise.race([ready, guardian.done.then(() => null)]);
  if (endpoints?.grpc) {
    try {
      results = await driveExperiment({
        endpoint: endpoints.grpc,
        experiment,
        baseDir: resolve(start.source, '..'),
        signal: interrupted.signal,
        onProgress: (text) => reporter.note(text),
      });
    } catch (error) {
      if (!interrupted.signal.aborted) loadError = error as Error;
    }
  }
  const aborted = interrupted.signal.aborted;
  guardian.stop(aborted ? 'interrupted' : 'the run is complete', false);
  const outcome = await guardian.done;
  signals.close();
  reporter.close();

  const audit = await auditExperiment(StateDir.open(start.stateDir));
  let folder: string | null = null;
  if (results) {
    folder = resolve(argv.out ?? join('results', `${experiment.name}-${timestamp(new Date())}`));
    await writeResults(folder, results);
  }
  if (argv.json) {
    process.stdout.write(
      `${JSON.stringify({ results, receipt: outcome.receipt, audit, folder }, null, 2)}\n`,
    );
  } else {
    if (results) process.stdout.write(`\n${formatMarkdown(results)}\n`);
    if (folder) process.stdout.write(`results: ${folder}\n`);
    if (outcome.receipt) process.stdout.write(formatReceipt(outcome.receipt));
    process.stdout.write(audit.clean ? 'audit: nothing is left\n' : `audit: ${audit.findings.join('; ')}\n`);
  }
  if (loadError) process.stderr.write(`supervisor: the load failed: ${loadError.message}\n`);
  if (outcome.exitCode !== 0) return outcome.exitCode;
  if (!audit.clean) return 4;
  // An interrupted run is not a failure of the experiment, but its results are partial: scripts must be able to tell.
  return loadError || aborted || (results?.errors ?? 0) > 0 ? 1 : 0;
}

function timestamp(now: Date): string {
  return now.toISOString().slice(0, 19).replaceAll(':', '').replace('T', '-');
}
