import { reconcile } from '../../process/reconcile.js';
import { formatReceipt } from '../../terminal/receipt.js';
import { count } from '../../terminal/quantity.js';
import { EXIT } from '../command-error.js';
import { knownExperiments, stateRoot } from './experiments.js';

export interface ReapArguments {
  json: boolean;
  stateDir?: string | undefined;
}

/** Reconciles every experiment that does not run; returns the exit code. */
export async function reapLeftovers({ json, stateDir }: ReapArguments): Promise<number> {
  const experiments = knownExperiments(stateRoot(stateDir));
  const results = [];
  for (const { dir } of experiments) results.push({ experiment: dir.name, ...(await reconcile(dir)) });
  const survived = results.some(({ receipt }) => receipt !== null && receipt.survivors.length > 0);
  if (json) {
    process.stdout.write(`${JSON.stringify(results, null, 2)}\n`);
  } else {
    for (const { receipt } of results) if (receipt) process.stdout.write(formatReceipt(receipt));
    const cleaned = results.filter(({ state }) => state === 'cleaned').length;
    const running = results.filter(({ state }) => state === 'running').length;
    const left = running > 0 ? `; ${count(running, 'running experiment')} left alone` : '';
    process.stdout.write(
      cleaned === 0
        ? `nothing to reap${left}\n`
        : `cleaned up after ${count(cleaned, 'experiment')}${left}\n`,
    );
  }
  return survived ? EXIT.SURVIVORS : EXIT.CLEAN;
}
