/**
 * `supervisor run`: start, warm up, drive the load of the `experiment:` block over gRPC, write the results, stop,
 * and audit. Whatever happens in between, the stop and the audit come last.
 */
import { join, resolve } from 'node:path';
import { driveExperiment, formatMarkdown, writeResults, type ExperimentResults } from '@supervisor/bench';
import { auditExperiment } from '../audit/experiment.js';
import { EXIT } from '../commands/command-error.js';
import type { DaemonMessage, Endpoints } from '../daemon/messages.js';
import { startGuardian } from '../guardian/guardian.js';
import { StateDir } from '../state/directory.js';
import { makeFolder } from '../state/make-folder.js';
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
  let asked = false;
  const signals = stopOnSignals((reason, force) => {
    asked = true;
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
  // Plain commands alone have no load to drive: the run lasts as long as they do.
  if (endpoints && !endpoints.grpc) await guardian.done;
  guardian.stop(loadError ? 'the load failed' : 'the run is complete', false);
  const outcome = await guardian.done;
  signals.close();
  reporter.close();

  // A name that was taken by a running experiment was never ours: there is nothing of this run to audit.
  const audit = outcome.receipt ? await auditExperiment(StateDir.open(start.stateDir)) : null;
  const folder = resolve(argv.out ?? join('results', `${experiment.name}-${timestamp(new Date())}`));
  if (results) {
    try {
      await makeFolder(folder, 0o755);
      await writeResults(folder, results);
    } catch (error) {
      loadError ??= error as Error;
    }
  }
  if (argv.json) {
    const document = { results, receipt: outcome.receipt, audit, folder: results ? folder : null };
    process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
  } else {
    if (results) process.stdout.write(`\n${formatMarkdown(results)}\nresults: ${folder}\n`);
    if (outcome.receipt) process.stdout.write(formatReceipt(outcome.receipt));
    if (audit)
      process.stdout.write(`audit: ${audit.clean ? 'nothing is left' : audit.findings.join('; ')}\n`);
  }
  if (loadError) process.stderr.write(`supervisor: the run failed: ${loadError.message}\n`);
  if (outcome.exitCode !== 0) return outcome.exitCode;
  if (audit && !audit.clean) return EXIT.SURVIVORS;
  // An interrupted run is not a failure of the experiment, but its results are partial: scripts must be able to tell.
  return loadError || asked || (results?.errors ?? 0) > 0 ? EXIT.ERROR : EXIT.CLEAN;
}

function timestamp(now: Date): string {
  return now.toISOString().slice(0, 19).replaceAll(':', '').replace('T', '-');
}
