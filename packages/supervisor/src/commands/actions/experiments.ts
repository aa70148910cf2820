/** Which experiments there are, and which one a command means. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { NAME_PATTERN } from '../../config/name.js';
import { asStateDirError, defaultStateRoot, listExperiments, StateDir } from '../../state/directory.js';
import { readPidFile, type PidFile } from '../../state/pid-file.js';
import { CommandError, EXIT } from '../command-error.js';

export interface KnownExperiment {
  dir: StateDir;
  pidFile: PidFile;
}

export function stateRoot(stateDir: string | undefined): string {
  return resolve(stateDir ?? defaultStateRoot(process.env));
}

/** Every experiment that has a folder in the state directory, running or not, by name. */
export function knownExperiments(root: string): KnownExperiment[] {
  return listExperiments(root).map(examine);
}

export function isRunning({ pidFile }: KnownExperiment): boolean {
  return pidFile.kind === 'running';
}

/** The experiment that a name or a file stands for; it need not run, and need not have a folder. */
export async function namedExperiment(root: string, nameOrFile: string): Promise<KnownExperiment> {
  return examine(StateDir.at(root, await experimentName(nameOrFile)));
}

/** The only one that runs. Throws where none does, or where it must be said which. */
export function onlyRunning(root: string, command: string): KnownExperiment {
  const running = knownExperiments(root).filter(isRunning);
  const [first, ...others] = running;
  if (!first) throw new CommandError(`no experiment is running (state directory ${root})`, EXIT.NOT_RUNNING);
  if (others.length === 0) return first;
  const names = running.map(({ dir }) => dir.name);
  const choice = `supervisor ${command} ${names.join(' | ')}`;
  throw new CommandError(`${names.length} experiments are running; say which: ${choice}`, EXIT.USAGE);
}

/** The running experiment that is meant by a name, a file, or by being the only one. Throws where it does not run. */
export async function runningExperiment(
  { name, stateDir }: { name?: string | undefined; stateDir?: string | undefined },
  command: string,
): Promise<KnownExperiment> {
  const root = stateRoot(stateDir);
  if (name === undefined) return onlyRunning(root, command);
  const experiment = await namedExperiment(root, name);
  if (isRunning(experiment)) return experiment;
  throw new CommandError(`${experiment.dir.name} is not running (state directory ${root})`, EXIT.NOT_RUNNING);
}

function examine(dir: StateDir): KnownExperiment {
  try {
    return { dir, pidFile: readPidFile(dir) };
  } catch (error) {
    throw asStateDirError(error, dir.path);
  }
}

async function experimentName(nameOrFile: string): Promise<string> {
  const isName = NAME_PATTERN.test(nameOrFile) && !/\.ya?ml$/i.test(nameOrFile);
  if (isName) return nameOrFile;
  if (!/[./]/.test(nameOrFile) && !existsSync(nameOrFile)) {
    throw new CommandError(`"${nameOrFile}" is neither the name of an experiment nor a file`, EXIT.USAGE);
  }
  // YAML and the schema take a while to load; a stop by name must not wait for them.
  const { readExperimentName } = await import('../../config/load.js');
  return readExperimentName(nameOrFile);
}
