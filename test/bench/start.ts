/** `npm run bench:start`: what the command line and a start cost, beside a bare Node and a lone worker. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { echo, models } from '../harness/experiments.js';
import { bin } from '../harness/repository.js';
import { Sandbox } from '../harness/sandbox.js';
import { reportFigures } from './figures.js';
import { identityConfig, LoneWorker } from './lone-worker.js';
import { benchOptions, interleaved, median } from './rounds.js';

const { rounds, out } = benchOptions(15);
const box = new Sandbox();
try {
  const file = box.write(models('bench', [echo()]));
  const samples = await interleaved(rounds, {
    node: () => timeOf([process.execPath, '-e', '0']),
    help: () => timeOf([process.execPath, bin, '--help']),
    worker: loneWorkerReady,
    start: () => startReady(file),
  });
  const node = median(samples.node);
  const worker = median(samples.worker);
  const startLimit = 5 * node + worker;
  reportFigures(
    'start',
    [
      { what: 'node -e 0', unit: 'ms', samples: samples.node },
      {
        what: 'supervisor --help',
        unit: 'ms',
        samples: samples.help,
        aim: atMost(median(samples.help), 2.5 * node, '2.5 x node -e 0'),
      },
      { what: 'a lone identity worker to ready', unit: 'ms', samples: samples.worker },
      {
        what: 'supervisor start to ready, identity',
        unit: 'ms',
        samples: samples.start,
        aim: atMost(median(samples.start), startLimit, '5 x node -e 0 + the lone worker'),
      },
    ],
    out,
  );
} finally {
  await box.close();
}

function atMost(value: number, limit: number, of: string) {
  return { text: `at most ${of} = ${limit.toFixed(0)} ms`, met: value <= limit };
}

async function timeOf([file = '', ...args]: string[]): Promise<number> {
  const started = performance.now();
  await once(spawn(file, args, { stdio: 'ignore', env: box.env }), 'exit');
  return performance.now() - started;
}

async function loneWorkerReady(): Promise<number> {
  const started = performance.now();
  const worker = new LoneWorker(identityConfig);
  await worker.ready;
  const took = performance.now() - started;
  await worker.close();
  return took;
}

async function startReady(file: string): Promise<number> {
  const started = performance.now();
  const run = box.supervisor(['start', file]);
  await run.waitFor(/^ready/m, 'stdout');
  const took = performance.now() - started;
  run.signal('SIGTERM');
  await run.end();
  return took;
}
