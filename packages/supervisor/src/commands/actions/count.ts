import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { growth, takeCounts, type Counts } from '../../audit/counts.js';
import { formatBytes } from '../../terminal/quantity.js';
import { makeFolder } from '../../state/make-folder.js';
import { CommandError, EXIT } from '../command-error.js';
import { knownExperiments, stateRoot } from './experiments.js';

export interface CountArguments {
  moment: 'before' | 'after';
  json: boolean;
  stateDir?: string | undefined;
}

/** `before` keeps the counts in the state directory, `after` compares; returns the exit code. */
export async function countProcesses({ moment, json, stateDir }: CountArguments): Promise<number> {
  const root = stateRoot(stateDir);
  const file = join(root, 'count-before.json');
  const counts = await takeCounts(root, knownExperiments(root));
  if (moment === 'before') {
    await makeFolder(root, 0o700);
    await writeFile(file, `${JSON.stringify(counts)}\n`, { mode: 0o600 });
    process.stdout.write(json ? `${JSON.stringify(counts, null, 2)}\n` : describe(counts));
    return EXIT.CLEAN;
  }
  const before = await readBefore(file);
  const grown = growth(before, counts);
  if (json) process.stdout.write(`${JSON.stringify({ before, after: counts, grown }, null, 2)}\n`);
  else
    process.stdout.write(
      describe(counts) +
        (grown.length === 0 ? 'nothing has grown\n' : grown.map((line) => `GROWN ${line}\n`).join('')),
    );
  return grown.length === 0 ? EXIT.CLEAN : EXIT.ERROR;
}

async function readBefore(file: string): Promise<Counts> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Counts;
  } catch (error) {
    throw new CommandError(
      `there are no counts to compare with (${file}); run: supervisor count before`,
      EXIT.ERROR,
      { cause: error },
    );
  }
}

function describe({ supervised, supervisors, ports, gpuBytes, gpuNote, allProcesses }: Counts): string {
  const gpus = gpuBytes ? gpuBytes.map(formatBytes).join(', ') || 'none' : `unknown: ${gpuNote}`;
  return (
    `supervised processes: ${supervised}\n` +
    `daemons and guardians: ${supervisors}\n` +
    `their open ports: ${ports.join(', ') || 'none'}\n` +
    `GPU memory: ${gpus}\n` +
    `all processes of this machine, for information: ${allProcesses}\n`
  );
}
