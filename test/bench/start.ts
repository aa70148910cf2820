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
    detached: () => detachedReady(file),
  });
  const { node, help, worker, start, detached } = samples;
  // Round by round: whatever else the machine did then, it did to both.
  const helpRatio = help.map((ms, i) => ms / (node[i] ?? NaN));
  const startRatio = start.map((ms, i) => ms / (5 * (node[i] ?? NaN) + (worker[i] ?? NaN)));
  reportFigures(
    'start',
    [
      { what: 'node -e 0', unit: 'ms', samples: node },
      { what: 'supervisor --help', unit: 'ms', samples: help },
      { what: 'a lone identity worker to ready', unit: 'ms', samples: worker },
      { what: 'supervisor start to ready, identity', unit: 'ms', samples: start },
      { what: 'supervisor start --detach until it returns', unit: 'ms', samples: detached },
      { what: '--help / node -e 0', unit: 'x', samples: helpRatio, aim: atMost(helpRatio, 2.5) },
      {
        what: 'start / (5 x node -e 0 + the lone worker)',
        unit: 'x',
        samples: startRatio,
        aim: atMost(startRatio, 1),
      },
    ],
    out,
  );
} finally {
  await box.close();
}

function atMost(samples: number[], limit: number) {
  return { text: `at most ${limit}`, met: median(samples) <= limit };
}

async function timeOf([file = '', ...args]: string[]): Promise<number> {
  const started = performance.now();
  await once(spawn(file, args, { stdio: 'ignore', env: box.env }), 'exit');
  return performance.now() - started;
}

async function loneWorkerReady(): Promise<number> {
  const started = performance.now();
  const worker = new LoneWorker(identityConfig, box.env);
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

async function detachedReady(file: string): Promise<number> {
  const started = performance.now();
  const { code, text } = await box.command(['start', '--detach', file]);
  const took = performance.now() - started;
  if (code !== 0) throw new Error(`start --detach ended with code ${code}: ${text}`);
  await box.command(['stop', 'bench']);
  return took;
}
