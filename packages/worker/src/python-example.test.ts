import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Tensor } from './protocol/index.js';
import { WorkerProcess } from './testing/worker-process.js';

const python = 'python3';
const folder = fileURLToPath(new URL('../../../examples/workers/', import.meta.url));
const golden = fileURLToPath(new URL('../golden/', import.meta.url));
const command: [string, ...string[]] = [python, `${folder}echo.py`];
const skip =
  spawnSync(python, ['-c', 'import sys; sys.exit(sys.version_info < (3, 8))']).status === 0
    ? false
    : 'no Python 3.8';
const x: Tensor = {
  name: 'x',
  datatype: 'FP32',
  shape: [2],
  data: Uint8Array.of(0, 0, 128, 63, 0, 0, 0, 64),
};

test('the Python example reads and writes the golden frames', { skip }, () => {
  const { stdout, stderr } = spawnSync(python, ['-B', `${folder}echo_test.py`, golden], { encoding: 'utf8' });
  assert.match(stdout, /^1\d golden frames$/m, stderr);
});

test('the Python example is a worker', { skip }, async () => {
  await using worker = new WorkerProcess(command);
  const { model } = await worker.start({});
  assert.equal(model.platform, 'echo');
  worker.send({ type: 'infer', id: 5, deadlineMs: 60_000, inputs: [x] });
  assert.deepEqual((await worker.next('result', 5)).outputs, [{ ...x, name: 'y' }]);
  worker.send({ type: 'infer', id: 6, deadlineMs: 0, inputs: [{ ...x, name: 'z' }] });
  assert.equal((await worker.next('error', 6)).code, 'INVALID_ARGUMENT');
  worker.send({ type: 'infer', id: 7, deadlineMs: 0, inputs: [x] });
  worker.stdin.end();
  assert.equal((await worker.answer(7)).type, 'result');
  assert.deepEqual(await worker.exited, { code: 0, signal: null, stderr: '' });
});

test('the Python example is told to go, and hears garbage', { skip }, async () => {
  await using slow = new WorkerProcess(command);
  await slow.start({ delay_s: 0.05 });
  slow.send({ type: 'infer', id: 1, deadlineMs: 0, inputs: [x] });
  await slow.untilBusy();
  slow.child.kill('SIGTERM');
  assert.equal((await slow.answer(1)).type, 'result');
  assert.equal((await slow.exited).code, 0);

  await using confused = new WorkerProcess(command);
  await confused.start({});
  confused.stdin.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  assert.equal((await confused.next('error', 0)).code, 'PROTOCOL');
  assert.equal((await confused.exited).code, 76);
});
