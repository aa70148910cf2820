/** What every command that starts an experiment does first: read the file, and say what the daemon is to run. */
import { randomUUID } from 'node:crypto';
import { resolve } from 'node:path';
import { loadExperiment } from '../config/load.js';
import type { DaemonStart } from '../daemon/messages.js';
import { defaultStateRoot, StateDir } from '../state/directory.js';
import { productVersion } from '../version.js';

export interface StartArguments {
  experiment: string;
  set: string[];
  stateDir?: string | undefined;
}

export function prepareStart(
  { experiment: file, set, stateDir }: StartArguments,
  mode: Pick<DaemonStart, 'detached' | 'logToStderr'>,
): DaemonStart {
  const experiment = loadExperiment(file, set);
  const root = stateDir ? resolve(stateDir) : defaultStateRoot(process.env);
  return {
    stateDir: StateDir.at(root, experiment.name).path,
    experiment,
    source: resolve(file),
    sets: set,
    version: productVersion(),
    runId: randomUUID(),
    ...mode,
  };
}
