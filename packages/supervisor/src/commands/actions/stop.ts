import { existsSync } from 'node:fs';
import type { Receipt } from '../../process/receipt.js';
import { stopExperiment } from '../../process/stop-experiment.js';
import type { StateDir } from '../../state/directory.js';
import { formatReceipt } from '../../terminal/receipt.js';
import { EXIT, UsageError } from '../command-error.js';
import { isRunning, knownExperiments, namedExperiment, onlyRunning, stateRoot } from './experiments.js';

export interface StopArguments {
  name?: string | undefined;
  all: boolean;
  json: boolean;
  stateDir?: string | undefined;
}

/** Stops, waits until nothing is left, prints the receipts; returns the exit code. */
export async function stopExperiments({ name, all, json, stateDir }: StopArguments): Promise<number> {
  if (all && name !== undefined) throw new UsageError('give a name or --all, not both');
  const root = stateRoot(stateDir);
  const dirs = await targets(root, name, all);
  if (dirs.length === 0) {
    process.stdout.write(json ? '[]\n' : 'no experiment is running\n');
    return EXIT.CLEAN;
  }
  const interrupts = forceOnInterrupt();
  try {
    const results = await Promise.all(dirs.map((dir) => stopOne(dir, interrupts.force, json)));
    if (json) {
      const documents = results.map(({ experiment, outcome, receipt }) => ({ experiment, outcome, receipt }));
      process.stdout.write(`${JSON.stringify(all ? documents : documents[0], null, 2)}\n`);
    }
    return Math.max(...results.map(({ exitCode }) => exitCode));
  } finally {
    interrupts.close();
  }
}

async function targets(root: string, name: string | undefined, all: boolean): Promise<StateDir[]> {
  if (name !== undefined) return [(await namedExperiment(root, name)).dir];
  if (!all) return [onlyRunning(root, 'stop').dir];
  return knownExperiments(root)
    .filter(isRunning)
    .map(({ dir }) => dir);
}

interface Stopped {
  experiment: string;
  outcome: 'stopped' | 'not_running';
  receipt: Receipt | null;
  exitCode: number;
}

async function stopOne(dir: StateDir, force: AbortSignal, json: boolean): Promise<Stopped> {
  const onProgress = (text: string) => {
    if (!json) process.stderr.write(`${dir.name}: ${text}\n`);
  };
  // Of a name that was never used there is no folder to lock.
  const known = existsSync(dir.path);
  const { outcome, receipt } = known
    ? await stopExperiment(dir, { force, onProgress })
    : { outcome: 'not_running' as const, receipt: null };
  if (!json) {
    if (outcome === 'not_running') process.stderr.write(`supervisor: ${dir.name} is not running\n`);
    // What was left of an earlier run is cleaned up and signed off too.
    if (receipt) process.stdout.write(formatReceipt(receipt));
  }
  const survived = receipt !== null && receipt.survivors.length > 0;
  const exitCode = survived ? EXIT.SURVIVORS : outcome === 'not_running' ? EXIT.NOT_RUNNING : EXIT.CLEAN;
  return { experiment: dir.name, outcome, receipt, exitCode };
}

/** The stop goes on whatever the terminal says: Ctrl-C while it waits means "do not wait any longer". */
function forceOnInterrupt(): { force: AbortSignal; close(): void } {
  const controller = new AbortController();
  const onInterrupt = () => controller.abort();
  process.on('SIGINT', onInterrupt);
  return { force: controller.signal, close: () => void process.off('SIGINT', onInterrupt) };
}
