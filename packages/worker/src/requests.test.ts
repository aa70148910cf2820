import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import type { Tensor } from './protocol/index.js';
import { fixture, WorkerProcess } from './testing/worker-process.js';

const folder = mkdtempSync(join(tmpdir(), 'worker-requests-'));
after(() => rmSync(folder, { recursive: true }));
let files = 0;
const newFile = () => join(folder, `go-${files++}`);

/** A worker that is inside of request 1 until `release` is called. */
async function heldWorker(limits = { maxInFlight: 10 }) {
  const worker = new WorkerProcess(fixture('held'));
  await worker.start({}, limits);
  const until = newFile();
  worker.send({ type: 'infer', id: 1, deadlineMs: 0, inputs: [], parameters: { until } });
  await worker.untilBusy();
  return { worker, release: () => writeFileSync(until, '') };
}

test('a ping is answered while the backend blocks its thread', async () => {
  const { worker, release } = await heldWorker();
  await using _ = worker;
  assert.deepEqual(await worker.ping(5), { type: 'pong', id: 5, busy: true, completed: 0, inFlight: 1 });
  release();
  assert.equal((await worker.answer(1)).type, 'result');
  assert.deepEqual(await worker.ping(6), { type: 'pong', id: 6, busy: false, completed: 1, inFlight: 0 });
});

test('cancel drops requests that have not started, and lets a running one end', async () => {
  const { worker, release } = await heldWorker();
  await using _ = worker;
  // 2 is on the thread's side already, 3 is in the queue.
  for (const id of [2, 3, 4])
    worker.send({ type: 'infer', id, deadlineMs: 0, inputs: [], parameters: { say: `ran ${id}` } });
  for (const id of [2, 3, 1]) worker.send({ type: 'cancel', id });
  for (const id of [2, 3]) {
    const answer = await worker.answer(id);
    assert.equal(answer.type === 'error' && answer.code, 'CANCELLED');
  }
  assert.equal((await worker.ping(9)).inFlight, 2, 'the running one keeps its place');
  release();
  const cancelled = await worker.answer(1);
  assert.equal(cancelled.type === 'error' && cancelled.code, 'CANCELLED');
  const { outputs } = await worker.next('result', 4);
  assert.equal(Buffer.from(outputs[0]?.data ?? []).toString(), 'ran 4');
  // An answered request, and one that never was.
  worker.send({ type: 'cancel', id: 4 });
  worker.send({ type: 'cancel', id: 99 });
  assert.deepEqual(await worker.ping(10), { type: 'pong', id: 10, busy: false, completed: 4, inFlight: 0 });
  assert.ok(
    worker.inbox.every(({ type }) => type !== 'result' && type !== 'error'),
    'nothing is answered twice',
  );
});

test('a deadline that passes before the start: DEADLINE_EXCEEDED, and it never runs', async () => {
  const { worker, release } = await heldWorker();
  await using _ = worker;
  const mark = newFile();
  for (const id of [2, 3]) {
    worker.send({ type: 'infer', id, deadlineMs: 10, inputs: [], parameters: { until: mark } });
  }
  for (const id of [2, 3]) {
    const answer = await worker.answer(id);
    assert.ok(answer.type === 'error');
    assert.deepEqual([answer.code, answer.message], ['DEADLINE_EXCEEDED', 'the deadline of 10 ms passed']);
  }
  worker.send({ type: 'infer', id: 4, deadlineMs: 0, inputs: [] });
  release();
  // Had one of them run, it would wait for its file for ever, and 4 with it.
  assert.equal((await worker.answer(4)).type, 'result');
});

test('more requests in flight than agreed: RESOURCE_EXHAUSTED, retryable', async () => {
  const { worker, release } = await heldWorker({ maxInFlight: 2 });
  await using _ = worker;
  for (const id of [2, 3]) worker.send({ type: 'infer', id, deadlineMs: 0, inputs: [] });
  const answer = await worker.answer(3);
  assert.ok(answer.type === 'error');
  assert.deepEqual([answer.code, answer.retryable], ['RESOURCE_EXHAUSTED', true]);
  assert.match(answer.message, /max_in_flight/);
  release();
  assert.equal((await worker.answer(2)).type, 'result');
});

test('an id that is in flight already breaks the protocol', async () => {
  const { worker } = await heldWorker();
  await using _ = worker;
  worker.send({ type: 'infer', id: 1, deadlineMs: 0, inputs: [] });
  assert.match((await worker.next('error', 0)).message, /request id 1 is in flight already/);
  assert.equal((await worker.exited).code, 76);
});

test("an exception in the backend is that request's error, and the worker goes on", async () => {
  await using worker = new WorkerProcess(fixture('held'));
  await worker.start({});
  worker.send({ type: 'infer', id: 1, deadlineMs: 0, inputs: [], parameters: { fail: 'throw' } });
  const answer = await worker.answer(1);
  assert.deepEqual(answer, {
    type: 'error',
    id: 1,
    code: 'INTERNAL',
    message: 'not a function',
    retryable: false,
  });
  worker.send({ type: 'infer', id: 2, deadlineMs: 0, inputs: [] });
  assert.equal((await worker.answer(2)).type, 'result');
});

test('identity: outputs equal inputs, by position, and the batch dimension is put in front', async () => {
  await using worker = new WorkerProcess();
  const { model } = await worker.start({
    backend: 'identity',
    max_batch_size: 4,
    inputs: [
      { name: 'A', datatype: 'FP32', shape: [2] },
      { name: 'B', datatype: 'BYTES', shape: [-1] },
    ],
  });
  assert.deepEqual(model, {
    platform: 'identity',
    maxBatchSize: 4,
    inputs: [
      { name: 'A', datatype: 'FP32', shape: [-1, 2] },
      { name: 'B', datatype: 'BYTES', shape: [-1, -1] },
    ],
    outputs: [
      { name: 'OUTPUT0', datatype: 'FP32', shape: [-1, 2] },
      { name: 'OUTPUT1', datatype: 'BYTES', shape: [-1, -1] },
    ],
  });
  const a: Tensor = {
    name: 'A',
    datatype: 'FP32',
    shape: [1, 2],
    data: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
  };
  const b: Tensor = {
    name: 'B',
    datatype: 'BYTES',
    shape: [1, 1],
    data: Uint8Array.of(2, 0, 0, 0, 104, 105),
  };
  worker.send({ type: 'infer', id: 1, deadlineMs: 0, inputs: [b, a] });
  const { outputs } = await worker.next('result', 1);
  assert.deepEqual(outputs, [
    { ...a, name: 'OUTPUT0' },
    { ...b, name: 'OUTPUT1' },
  ]);
});

test('inputs that are not what the model says are refused, naming input, expected and found', async () => {
  await using worker = new WorkerProcess();
  const x: Tensor = { name: 'x', datatype: 'FP32', shape: [1, 2], data: new Uint8Array(8) };
  await worker.start({
    backend: 'identity',
    max_batch_size: 2,
    inputs: [{ name: 'x', datatype: 'FP32', shape: [2] }],
  });
  const cases: [Tensor[], string][] = [
    [[{ ...x, name: 'y' }], 'the model has no input "y"; its inputs are "x"'],
    [[], 'input "x" is missing; the model needs "x"'],
    [[x, x], 'an input is given twice: "x", "x"'],
    [[{ ...x, datatype: 'INT32' }], 'input "x" must be FP32, not INT32'],
    [[{ ...x, shape: [1, 3] }], 'input "x" must have the shape [-1, 2] (-1: any size), not [1, 3]'],
    [[{ ...x, shape: [2] }], 'input "x" must have the shape [-1, 2] (-1: any size), not [2]'],
    [[{ ...x, data: new Uint8Array(7) }], 'tensor "x" (FP32 [1, 2]) has 7 bytes of data; its shape needs 8'],
    [
      [{ ...x, shape: [3, 2], data: new Uint8Array(24) }],
      'the batch size must be 1 to 2 (max_batch_size), not 3',
    ],
    [
      [{ ...x, shape: [0, 2], data: new Uint8Array(0) }],
      'the batch size must be 1 to 2 (max_batch_size), not 0',
    ],
  ];
  for (const [index, [inputs, message]] of cases.entries()) {
    worker.send({ type: 'infer', id: index + 1, deadlineMs: 0, inputs });
    const answer = await worker.answer(index + 1);
    assert.deepEqual(answer, {
      type: 'error',
      id: index + 1,
      code: 'INVALID_ARGUMENT',
      message,
      retryable: false,
    });
  }
});

test('identity without inputs: exit 78', async () => {
  await using worker = new WorkerProcess();
  worker.hello({ backend: 'identity' });
  assert.match(
    (await worker.next('error', 0)).message,
    /inputs: \[\{name, datatype, shape\}\] must be given/,
  );
  assert.equal((await worker.exited).code, 78);
});

test(
  'a host that does not read is not buffered for: the worker stops reading too',
  { skip: process.platform !== 'linux' },
  async () => {
    await using worker = new WorkerProcess();
    const bytes = 1 << 20;
    const count = 64;
    await worker.start(
      { backend: 'identity', inputs: [{ name: 'x', datatype: 'UINT8', shape: [-1] }] },
      { maxInFlight: count, maxInFlightBytes: count * bytes },
    );
    worker.stdout.pause();
    const x: Tensor = { name: 'x', datatype: 'UINT8', shape: [bytes], data: new Uint8Array(bytes).fill(7) };
    for (let id = 1; id <= count; id++) worker.send({ type: 'infer', id, deadlineMs: 0, inputs: [x] });
    let drained = false;
    worker.stdin.once('drain', () => (drained = true));
    await untilStill(worker);
    assert.equal(drained, false);
    assert.ok(
      worker.stdin.writableLength > (count / 2) * bytes,
      `${worker.stdin.writableLength} bytes wait on our side`,
    );
    worker.stdout.resume();
    for (let id = 1; id <= count; id++) assert.equal((await worker.answer(id)).type, 'result');
  },
);

test("an answer above the frame limit is that request's error", async () => {
  await using worker = new WorkerProcess(fixture('held'));
  await worker.start({}, { maxFrameBytes: 400 });
  worker.send({ type: 'infer', id: 1, deadlineMs: 0, inputs: [], parameters: { say: 'x'.repeat(320) } });
  const answer = await worker.answer(1);
  assert.ok(answer.type === 'error');
  assert.match(answer.message, /above the limit of 400 \(max_frame_bytes\)/);
});

test('a frame above the limit ends the worker', async () => {
  await using worker = new WorkerProcess(fixture('held'));
  await worker.start({}, { maxFrameBytes: 400 });
  worker.send({ type: 'infer', id: 1, deadlineMs: 0, inputs: [], parameters: { say: 'x'.repeat(400) } });
  assert.match((await worker.next('error', 0)).message, /FRAME_TOO_LARGE: .* limit of 400/);
  assert.equal((await worker.exited).code, 76);
});

/** There is no event for nothing happening: the worker's CPU time stands still when it neither reads nor writes. */
async function untilStill({ child }: WorkerProcess): Promise<void> {
  const cpuTicks = () =>
    readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1]?.split(' ').slice(11, 13).join();
  for (let before, now = cpuTicks(); now !== before;) {
    before = now;
    await wait(200);
    now = cpuTicks();
  }
}
