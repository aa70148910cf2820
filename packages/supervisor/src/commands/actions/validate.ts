import { ConfigError, type ConfigProblem } from '../../config/config-error.js';
import { loadExperiment } from '../../config/load.js';
import { count } from '../../terminal/quantity.js';
import { EXIT } from '../command-error.js';

export interface ValidateArguments {
  files: string[];
  set: string[];
  json: boolean;
}

/** Reads each file as `start` would; returns the exit code. */
export function validateFiles({ files, set, json }: ValidateArguments): number {
  const results = files.map((file) => ({ file, ...check(file, set) }));
  const invalid = results.some(({ problems }) => problems.length > 0);
  if (json) process.stdout.write(`${JSON.stringify(results, null, 2)}\n`);
  else for (const result of results) print(result);
  return invalid ? EXIT.USAGE : EXIT.CLEAN;
}

interface Result {
  valid: boolean;
  summary: string | null;
  problems: readonly ConfigProblem[];
}

function check(file: string, sets: string[]): Result {
  try {
    const { name, model_pool, processes } = loadExperiment(file, sets);
    const parts = [
      ...(model_pool ? [count(model_pool.instances.length, 'model')] : []),
      ...(processes ? [count(processes.length, 'process', 'processes')] : []),
    ];
    return { valid: true, summary: `${name} (${parts.join(', ')})`, problems: [] };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { valid: false, summary: null, problems: error.problems };
  }
}

function print({ file, summary, problems }: Result & { file: string }): void {
  if (problems.length === 0) process.stdout.write(`${file}: ${summary}: valid\n`);
  else process.stderr.write(`${new ConfigError(problems).message}\n`);
}
