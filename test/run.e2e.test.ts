/** `supervisor run` from start to audit, interrupted in each of its phases, and ten times in a row. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { commands, custom, echo, models, shell, type ExperimentFile } from './harness/experiments.js';
import { statusOf } from './harness/reports.js';
import type { Sandbox } from './harness/sandbox.js';
import { scenario } from './harness/scenario.js';
import { noTerminal } from './harness/terminal.js';
import { until } from './harness/until.js';

const load = {
  batch_sizes: [1, 4],
  concurrency_levels: [1, 2],
  warmup_iterations: 5,
  benchmark_requests: 40,
};
const endless = {
  batch_sizes: [1],
  concurrency_levels: [2],
  warmup_iterations: 1,
  benchmark_duration_s: 3600,
};

interface RunReport {
  results: { errors: number } | null;
  receipt: { processes: { pid: number }[]; survivors: unknown[] } | null;
  audit: { clean: boolean };
}

scenario('a whole run: results are written, nothing is left', async (box) => {
  const out = join(box.folder, 'out');
  const { code, text } = await box.command([
    'run',
    box.write(models('bench', [echo()], { experiment: load })),
    '--out',
    out,
  ]);
  assert.equal(code, 0, text);
  assert.ok(readdirSync(out).length > 0);
  assert.match(text, /\|/, 'a table of results');
  assert.match(text, /nothing is left/);
  await box.assertClean();
});

scenario('a whole run as JSON', async (box) => {
  const { code, stdout, text } = await box.command([
    'run',
    box.write(models('bench', [echo()], { experiment: load })),
    '--json',
  ]);
  assert.equal(code, 0, text);
  const report = JSON.parse(stdout) as RunReport;
  assert.equal(report.results?.errors, 0);
  assert.equal(report.receipt?.survivors.length, 0);
  assert.ok((report.receipt?.processes.length ?? 0) >= 1);
  assert.equal(report.audit.clean, true);
});

/** Whether the experiment's units have answered requests: the load is on. */
async function isLoaded(box: Sandbox, name: string): Promise<boolean> {
  return (await statusOf(box, name)).units.some(({ completed }) => (completed ?? 0) > 3);
}

interface Phase {
  phase: string;
  experiment: (box: Sandbox) => ExperimentFile;
  reached: (box: Sandbox) => Promise<unknown>;
}

const phases: Phase[] = [
  {
    phase: 'loading',
    experiment: () =>
      models('bench', [custom('workers/hangs-in-load.mjs', { replicas: 2 })], { experiment: endless }),
    reached: (box) => until('both load', () => box.find(/hangs-in-load/).length === 2),
  },
  {
    phase: 'warm-up',
    experiment: () => models('bench', [echo()], { experiment: { ...endless, warmup_iterations: 1_000_000 } }),
    reached: (box) => until('warm-up requests', () => isLoaded(box, 'bench')),
  },
  {
    phase: 'load',
    experiment: () => models('bench', [echo({ replicas: 2 })], { experiment: endless }),
    reached: (box) => until('load', () => isLoaded(box, 'bench')),
  },
];

for (const { phase, experiment, reached } of phases) {
  scenario(`interrupted while ${phase}`, async (box) => {
    const out = join(box.folder, 'out');
    const run = box.supervisor(['run', box.write(experiment(box)), '--out', out]);
    await until('the PID file', () => existsSync(box.state('bench', 'supervisor.pid')));
    await reached(box);
    run.signal('SIGINT');
    const { code, text } = await run.end();
    assert.equal(code, 1, text);
    assert.match(text, /nothing is left/);
    await box.assertClean();
  });

  scenario(
    `Ctrl-C twice in a terminal while ${phase}`,
    async (box) => {
      const terminal = box.terminal(['run', box.write(experiment(box)), '--out', join(box.folder, 'out')]);
      await until('the PID file', () => existsSync(box.state('bench', 'supervisor.pid')));
      await reached(box);
      terminal.ctrlC();
      terminal.ctrlC();
      const { code, text } = await terminal.end();
      assert.equal(code, 1, text);
      await box.assertClean();
    },
    { skip: noTerminal },
  );
}

scenario('interrupted while stopping: the second Ctrl-C skips the waiting', async (box) => {
  const deaf = shell('deaf', `trap '' TERM; sleep 1000.${box.token}`);
  const experiment = models('bench', [echo()], {
    processes: [deaf],
    supervision: { grace_s: 3600, drain_s: 1 },
    experiment: load,
  });
  const run = box.supervisor(['run', box.write(experiment), '--out', join(box.folder, 'out')]);
  await run.waitFor(/stopping/);
  run.signal('SIGINT');
  run.signal('SIGINT');
  const { text } = await run.end();
  assert.match(text, /nothing is left/);
  await box.assertClean();
});

scenario('a run of plain commands ends with them', async (box) => {
  const brief = commands('brief', [shell('one', 'sleep 0.5; echo done > finished')]);
  const { code, text } = await box.command(['run', box.write(brief)]);
  assert.equal(code, 0, text);
  assert.ok(box.exists('finished'), 'it was not cut short');
  await box.assertClean();
});

scenario('kill -9 of `run` itself', async (box) => {
  const run = box.supervisor([
    'run',
    box.write(models('bench', [echo()], { experiment: endless })),
    '--out',
    join(box.folder, 'out'),
  ]);
  await until('the PID file', () => existsSync(box.state('bench', 'supervisor.pid')));
  await until('load', () => isLoaded(box, 'bench'));
  run.signal('SIGKILL');
  await box.untilEmpty();
  await box.assertClean();
});

scenario('ten runs in a row on one port: each as whole as the first, nothing grows', async (box, t) => {
  // The port is fixed: a run that did not free it fails the next one.
  const first = await box.start(models('probe', [echo()]));
  first.run.signal('SIGTERM');
  await first.run.end();
  const experiment = models('bench', [echo({ replicas: 3 })], {
    server: { grpc_port: first.port },
    experiment: load,
  });
  experiment['model_pool'] = { ...(experiment['model_pool'] as object), routing_strategy: 'round_robin' };
  const file = box.write(experiment);

  const before = await box.command(['count', 'before']);
  assert.equal(before.code, 0, before.text);
  for (let i = 1; i <= 10; i++) {
    const { code, stdout, text } = await box.command([
      'run',
      file,
      '--json',
      '--out',
      join(box.folder, `out-${i}`),
    ]);
    assert.equal(code, 0, `run ${i}: ${text}`);
    const report = JSON.parse(stdout) as RunReport;
    assert.equal(report.results?.errors, 0, `run ${i}`);
    assert.deepEqual(report.receipt?.survivors, [], `run ${i}`);
    await box.assertNothingLeft();
    t.diagnostic(`run ${i}: ${report.receipt?.processes.length} processes stopped`);
  }
  const after = await box.command(['count', 'after']);
  assert.equal(after.code, 0, after.text);
  await box.assertClean();
});
