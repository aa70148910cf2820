/** `npm run bench:idle`: what 20 idle workers cost in the supervisor's own processes, beside an idle Node. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { echo, models } from '../harness/experiments.js';
import { Sandbox } from '../harness/sandbox.js';
import { reportFigures } from './figures.js';
import { benchOptions, median } from './rounds.js';

const WORKERS = 20;
const WINDOW_MS = 5000;
const { rounds, out } = benchOptions(6);
const box = new Sandbox();
const idleNode = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
try {
  const { daemonPid, run } = await box.startDetached(models('idle', [echo({ replicas: WORKERS })]));
  await run.end();
  const workers = [...box.units(daemonPid).values()].map(({ pid }) => pid);
  const guardianPid = box.guardianPid(daemonPid);
  const groups = { node: [idleNode.pid ?? 0], daemon: [daemonPid], guardian: [guardianPid], workers };
  const samples: Record<keyof typeof groups, number[]> = { node: [], daemon: [], guardian: [], workers: [] };
  // All in the same window: there is nothing to interleave. The first one lets the start settle.
  for (let round = 0; round <= rounds; round++) {
    const before = Object.values(groups).map(cpuMsOf);
    const started = performance.now();
    await new Promise((resolve) => setTimeout(resolve, WINDOW_MS));
    const elapsedMs = performance.now() - started;
    Object.entries(groups).forEach(([name, pids], i) => {
      const percent = ((cpuMsOf(pids) - (before[i] ?? 0)) / elapsedMs) * 100;
      if (round > 0) samples[name as keyof typeof groups].push(percent);
    });
    process.stderr.write(`\rround ${round} of ${rounds}`);
  }
  process.stderr.write('\r\x1b[K');
  const own = samples.daemon.map((value, i) => value + (samples.guardian[i] ?? 0));
  const unit = '% of a core';
  reportFigures(
    'idle',
    [
      { what: 'an idle node', unit, samples: samples.node },
      { what: 'the daemon', unit, samples: samples.daemon },
      { what: 'the guardian', unit, samples: samples.guardian },
      { what: 'daemon and guardian', unit, samples: own, aim: { text: 'under 1 %', met: median(own) < 1 } },
      { what: `the ${WORKERS} workers together`, unit, samples: samples.workers },
    ],
    out,
  );
  await box.command(['stop', 'idle']);
  await box.assertNothingLeft();
} finally {
  idleNode.kill('SIGKILL');
  await once(idleNode, 'exit');
  await box.close();
}

/**
 * Time that all threads of the processes have had on a core. Not from `stat`, whose ticks of 10 ms are as large as what
 * is measured here.
 */
function cpuMsOf(pids: number[]): number {
  let nanoseconds = 0;
  for (const pid of pids) {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
    }
  }
  return nanoseconds / 1e6;
}
