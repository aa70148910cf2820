import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { encodeHostMessage, WORKER_EXIT } from './protocol/index.js';
import { fixture, WorkerProcess } from './testing/worker-process.js';

const folder = mkdtempSync(join(tmpdir(), 'worker-lifecycle-'));
after(() => rmSync(folder, { recursive: true }));
let files = 0;
const newFile = () => join(folder, `go-${files++}`);
const identity = { backend: 'identity', inputs: [{ name: 'x', datatype: 'UINT8', shape: [-1] }] };

test('end of input between frames: what was accepted is finished, then exit 0', async () => {
  await using worker = new WorkerProcess(fixture('held'));
  await worker.start({});
  const until = newFile();
  worker.send({ type: 'infer', id: 1, deadlineMs: 0, inputs: [], parameters: { until, say: 'a' } });
  worker.send({ type: 'infer', id: 2, deadlineMs: 0, inputs: [], parameters: { say: 'b' } });
  await worker.untilBusy();
  worker.stdin.end();
  writeFileSync(until, '');
  for (const [id, text] of [
    [1, 'a'],
    [2, 'b'],
  ] as const) {
    const { outputs, parameters } = await worker.next('result', id);
    assert.equal(Buffer.from(outputs[0]?.data ?? []).toString(), text);
    assert.deepEqual(parameters, { held: true });
  }
  assert.deepEqual(await worker.exited, { code: 0, signal: null, stderr: '' });
});

test('end of input inside a frame: a typed error to the host and on stderr, exit 76', async () => {
  await using worker = new WorkerProcess();
  await worker.start(identity);
  const frame = Buffer.concat(encodeHostMessage({ type: 'shutdown', drainMs: 10 }));
  worker.stdin.end(frame.subarray(0, 30));
  const error = await worker.next('error', 0);
  assert.equal(error.code, 'PROTOCOL');
  assert.match(error.message, /EOF_IN_FRAME: .*after 30 of its 40 bytes/);
  const { code, stderr } = await worker.exited;
  assert.equal(code, WORKER_EXIT.PROTOCOL);
  assert.match(stderr, /EOF_IN_FRAME/);
});

test('garbage on stdin: exit 76, and the text is shown', async () => {
  await using worker = new WorkerProcess();
  worker.stdin.write('{"jsonrpc": "2.0"}\n');
  const { code, stderr } = await worker.exited;
  assert.equal(code, WORKER_EXIT.PROTOCOL);
  assert.match(stderr, /BAD_MAGIC.*\{\\"jsonrpc\\": \\"2.0\\"\}/);
});

test('no version in common: exit 76, and both sides are named', async () => {
  await using worker = new WorkerProcess();
  worker.send({
    type: 'hello',
    protocol: { min: 2, max: 3 },
    worker: 'x/0',
    limits: { maxFrameBytes: 1000, maxInFlight: 1, maxInFlightBytes: 1000 },
    config: {},
  });
  assert.match((await worker.next('error', 0)).message, /VERSION: .*versions 2 to 3 .* this worker speaks 1/);
  assert.equal((await worker.exited).code, WORKER_EXIT.PROTOCOL);
});

test('a message before hello, and a second hello: exit 76', async () => {
  await using early = new WorkerProcess();
  early.send({ type: 'ping', id: 1 });
  assert.match((await early.next('error', 0)).message, /UNEXPECTED_MESSAGE: ping came before hello/);
  assert.equal((await early.exited).code, WORKER_EXIT.PROTOCOL);
  await using twice = new WorkerProcess();
  await twice.start(identity);
  twice.hello(identity);
  assert.match((await twice.next('error', 0)).message, /hello came twice/);
});

test('SIGTERM while running: the run is finished, new requests are refused, exit 0', async () => {
  await using worker = new WorkerProcess(fixture('held'));
  await worker.start({});
  const until = newFile();
  worker.send({ type: 'infer', id: 1, deadlineMs: 0, inputs: [], parameters: { until } });
  await worker.untilBusy();
  worker.child.kill('SIGTERM');
  // The signal and the request come on different ways: ask until the worker has seen the signal.
  let refused = await refusal(worker, 2);
  for (let id = 3; refused !== 'UNAVAILABLE'; id++) refused = await refusal(worker, id);
  assert.equal(worker.child.exitCode, null);
  writeFileSync(until, '');
  assert.equal((await worker.answer(1)).type, 'result');
  assert.equal((await worker.exited).code, 0);
});

/** Cancelled at once, so that it does not hold a place: CANCELLED, or UNAVAILABLE when the worker takes no more. */
async function refusal(worker: WorkerProcess, id: number): Promise<string> {
  worker.send({ type: 'infer', id, deadlineMs: 0, inputs: [] });
  worker.send({ type: 'cancel', id });
  const answer = await worker.answer(id);
  return answer.type === 'error' ? answer.code : 'result';
}

test('a run that blocks beyond the drain is abandoned: the request fails, exit 0', async () => {
  await using worker = new WorkerProcess(fixture('held'));
  await worker.start({});
  worker.send({ type: 'infer', id: 1, deadlineMs: 0, inputs: [], parameters: { until: newFile() } });
  await worker.untilBusy();
  worker.send({ type: 'shutdown', drainMs: 20 });
  const answer = await worker.answer(1);
  assert.ok(answer.type === 'error');
  assert.equal(answer.code, 'UNAVAILABLE');
  assert.equal(answer.retryable, true);
  assert.match(answer.message, /within 20 ms/);
  assert.equal((await worker.exited).code, 0);
});

test('SIGTERM while loading ends the worker, although its thread is blocked', async () => {
  await using worker = new WorkerProcess(fixture('held'));
  worker.hello({ load_until: newFile() });
  await worker.next('hello');
  assert.equal((await worker.ping(1)).busy, true);
  worker.child.kill('SIGTERM');
  assert.equal((await worker.exited).code, 0);
});

test('SIGINT is not for workers', async () => {
  await using worker = new WorkerProcess();
  await worker.start(identity);
  worker.child.kill('SIGINT');
  await worker.ping(1);
  worker.child.kill('SIGINT');
  assert.equal((await worker.ping(2)).busy, false);
});

test('shutdown: what was accepted is finished, exit 0', async () => {
  await using worker = new WorkerProcess();
  await worker.start({ ...identity, delay_ms: 20 });
  const inputs = [{ name: 'x', datatype: 'UINT8' as const, shape: [2], data: Uint8Array.of(1, 2) }];
  worker.send({ type: 'infer', id: 1, deadlineMs: 0, inputs });
  worker.send({ type: 'shutdown', drainMs: 10_000 });
  assert.equal((await worker.answer(1)).type, 'result');
  assert.equal((await worker.exited).code, 0);
});

test('nobody reads the answers any more: exit 79', async () => {
  await using worker = new WorkerProcess();
  await worker.start(identity);
  worker.stdout.destroy();
  await once(worker.stdout, 'close');
  worker.send({ type: 'ping', id: 1 });
  const { code, stderr } = await worker.exited;
  assert.equal(code, WORKER_EXIT.PARENT_GONE);
  assert.match(stderr, /the supervisor is gone/);
});

test(
  'the parent is killed while others hold the pipes open: the worker dies too',
  { skip: process.platform !== 'linux' },
  async () => {
    await using parent = new WorkerProcess(fixture('orphan-parent'));
    await parent.start(identity);
    await parent.untilStderr(/pid=\d+/);
    const pid = Number(/pid=(\d+)/.exec(parent.stderr)?.[1]);
    assert.equal(readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim(), 'worker test/0');
    parent.child.kill('SIGUSR1');
    // `close` comes when the last holder of the pipes is gone, and the worker is one of them.
    assert.equal((await parent.exited).signal, 'SIGKILL');
    // Its descriptors are closed a moment before it is a zombie.
    const until = Date.now() + 60_000;
    while (isAlive(pid) && Date.now() < until) await new Promise((wake) => setTimeout(wake, 5));
    assert.ok(!isAlive(pid));
  },
);

test('a device that fails for good: the request is told, the worker exits 69', async () => {
  await using worker = new WorkerProcess(fixture('held'));
  await worker.start({});
  worker.send({ type: 'infer', id: 1, deadlineMs: 0, inputs: [], parameters: { fail: 'device' } });
  assert.equal((await worker.answer(1)).type, 'error');
  assert.equal((await worker.next('error', 0)).code, 'DEVICE_UNAVAILABLE');
  assert.equal((await worker.exited).code, WORKER_EXIT.DEVICE);
});

test('an inference thread that ends by itself ends the worker with 70', async () => {
  await using worker = new WorkerProcess(fixture('held'));
  await worker.start({});
  worker.send({ type: 'infer', id: 1, deadlineMs: 0, inputs: [], parameters: { fail: 'crash' } });
  const answer = await worker.answer(1);
  assert.ok(answer.type === 'error');
  assert.equal((await worker.next('error', 0)).message, 'the inference thread ended with code 3');
  assert.equal((await worker.exited).code, WORKER_EXIT.INTERNAL);
});

test('a backend that does not exist: exit 78', async () => {
  await using worker = new WorkerProcess();
  worker.hello({ backend: 'tensorflow' });
  const error = await worker.next('error', 0);
  assert.deepEqual(
    [error.code, error.message],
    ['CONFIG_INVALID', 'there is no backend "tensorflow"; use "onnx" or "identity"'],
  );
  assert.equal((await worker.exited).code, WORKER_EXIT.CONFIG);
});

function isAlive(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}
