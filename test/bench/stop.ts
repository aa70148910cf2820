/** `npm run bench:stop`: from the signal to an empty tree, for 20 workers, beside 20 lone ones sent the same. */
import { echo, commands, models, shell, type ExperimentFile } from '../harness/experiments.js';
import { stillRuns } from '../harness/proc.js';
import { Sandbox } from '../harness/sandbox.js';
import { reportFigures } from './figures.js';
import { identityConfig, LoneWorker } from './lone-worker.js';
import { benchOptions, interleaved, median } from './rounds.js';

const WORKERS = 20;
const GRACE_S = 1;
const { rounds, out } = benchOptions(7);
const box = new Sandbox();
try {
  const good = models('good', [echo({ replicas: WORKERS })]);
  const deaf = commands(
    'deaf',
    [
      shell('deaf', "trap '' TERM; echo up; while :; do sleep 1000; done", {
        replicas: WORKERS,
        ready: { log: 'up' },
      }),
    ],
    {
      supervision: { grace_s: GRACE_S },
    },
  );
  const samples = await interleaved(rounds, {
    lone: () => loneWorkersStopped('SIGTERM'),
    loneKilled: () => loneWorkersStopped('SIGKILL'),
    good: () => stopped(good, 'SIGTERM'),
    deaf: () => stopped(deaf, 'SIGTERM'),
    killed: () => stopped(good, 'SIGKILL'),
  });
  const graceMs = GRACE_S * 1000;
  reportFigures(
    'stop',
    [
      { what: `SIGTERM to ${WORKERS} lone workers until all have ended`, unit: 'ms', samples: samples.lone },
      {
        what: `SIGKILL to ${WORKERS} lone workers until all have ended`,
        unit: 'ms',
        samples: samples.loneKilled,
      },
      {
        what: `stop of ${WORKERS} workers`,
        unit: 'ms',
        samples: samples.good,
        aim: { text: 'within 250 ms', met: median(samples.good) <= 250 },
      },
      {
        what: `stop of ${WORKERS} that ignore SIGTERM, grace ${graceMs} ms`,
        unit: 'ms',
        samples: samples.deaf,
        aim: { text: `within ${graceMs + 250} ms`, met: median(samples.deaf) <= graceMs + 250 },
      },
      {
        what: `kill -9 of the daemon of ${WORKERS} workers until the tree is empty`,
        unit: 'ms',
        samples: samples.killed,
        aim: { text: 'within 500 ms', met: median(samples.killed) <= 500 },
      },
    ],
    out,
  );
} finally {
  await box.close();
}

async function loneWorkersStopped(signal: NodeJS.Signals): Promise<number> {
  const workers = Array.from({ length: WORKERS }, () => new LoneWorker(identityConfig, box.env));
  await Promise.all(workers.map(({ ready }) => ready));
  const started = performance.now();
  for (const worker of workers) worker.signal(signal);
  await Promise.all(workers.map((worker) => worker.ended()));
  return performance.now() - started;
}

/** From the signal to the daemon until none of the processes that ran then is alive. */
async function stopped(experiment: ExperimentFile, signal: 'SIGTERM' | 'SIGKILL'): Promise<number> {
  const run = box.supervisor(['start', box.write(experiment)]);
  await run.waitFor(/^ready/m, 'stdout');
  const daemonPid = box.daemonPid(experiment.name);
  // Looking costs time too: the tree is listed before, so that only these have to be looked at.
  const tree = box.census.take().filter(({ pid }) => pid !== run.pid);
  const started = performance.now();
  process.kill(daemonPid, signal);
  while (tree.some(stillRuns)) await new Promise((resolve) => setTimeout(resolve, 2));
  const took = performance.now() - started;
  await run.end();
  await box.assertNothingLeft();
  return took;
}
