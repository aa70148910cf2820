/** `supervisor restart`: the whole experiment from its file, or one worker of a running one. */
import { runningExperiment } from '../commands/actions/experiments.js';
import { requestControl } from '../daemon/control-client.js';
import { stopExperiment } from '../process/stop-experiment.js';
import { readSnapshot } from '../state/snapshot.js';
import { formatReceipt } from '../terminal/receipt.js';
import { startExperiment } from './start.js';

export interface RestartArguments {
  name?: string | undefined;
  worker?: string | undefined;
  stateDir?: string | undefined;
}

export async function restartExperiment({ name, worker, stateDir }: RestartArguments): Promise<number> {
  const { dir } = await runningExperiment({ name, stateDir }, 'restart');
  if (worker !== undefined) {
    await requestControl(dir, { op: 'restart', unit: worker });
    process.stdout.write(`restarted ${worker} of ${dir.name}\n`);
    return 0;
  }
  // Read before the stop, which removes it: the file is started again the way it was started.
  const snapshot = readSnapshot(dir);
  if (!snapshot)
    throw new Error(
      `cannot read how ${dir.name} was started: ${dir.experimentFile}; stop it and start it again`,
    );
  const { receipt } = await stopExperiment(dir, {});
  if (receipt) process.stdout.write(formatReceipt(receipt));
  if (receipt && receipt.survivors.length > 0) return 4;
  return startExperiment({
    experiment: snapshot.source,
    set: snapshot.sets,
    stateDir: dir.root,
    detach: true,
  });
}
