import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ModelMetadata, Tensor } from '@supervisor/worker/protocol';
import { readModelInferRequest } from './codec/inference.js';
import type { ServerErrorCode } from './errors.js';
import { ECHO_MODEL, echoRequest } from './testing/live-server.js';
import { encodeMessage, type Plain } from './testing/messages.js';
import { selectOutputs, validateRequest } from './validate.js';

const MAX_BYTES = 1024;

describe('refused', () => {
  const x = { name: 'x', datatype: 'FP32', shape: [1, 4] };
  const ids = { name: 'ids', datatype: 'INT64', shape: [1] };
  const raw = [Buffer.alloc(16), Buffer.alloc(8)];
  const cases: [what: string, request: Plain, code: ServerErrorCode, message: RegExp][] = [
    [
      'an unknown input',
      { inputs: [x, ids, { ...ids, name: 'y' }] },
      'INPUT_UNKNOWN',
      /no input "y"; it takes "x" \(FP32 \[-1, 4\]\), "ids"/,
    ],
    [
      'a missing input',
      { inputs: [x], raw_input_contents: [raw[0]] },
      'INPUT_MISSING',
      /"ids" is missing \(only "x" given\)/,
    ],
    [
      'no input at all',
      { inputs: [], raw_input_contents: [] },
      'INPUT_MISSING',
      /"x" is missing \(none given\)/,
    ],
    ['an input twice', { inputs: [x, ids, x] }, 'INPUT_DUPLICATE', /"x" is given twice/],
    [
      'another datatype',
      { inputs: [{ ...x, datatype: 'FP16' }, ids] },
      'DATATYPE_MISMATCH',
      /has datatype FP16; model "echo" takes FP32/,
    ],
    ['no datatype', { inputs: [{ ...x, datatype: '' }, ids] }, 'DATATYPE_MISMATCH', /has datatype ""; model/],
    [
      'another rank',
      { inputs: [{ ...x, shape: [4] }, ids] },
      'SHAPE_MISMATCH',
      /shape \[4\]; model "echo" takes \[-1, 4\], where -1 is any size/,
    ],
    ['another dimension', { inputs: [{ ...x, shape: [1, 5] }, ids] }, 'SHAPE_MISMATCH', /\[1, 5\]/],
    [
      'a negative dimension',
      { inputs: [{ ...x, shape: [-1, 4] }, ids] },
      'SHAPE_MISMATCH',
      /\[-1, 4\]; model/,
    ],
    [
      'more elements than can be counted',
      { inputs: [{ ...x, shape: [2 ** 52, 4] }, ids] },
      'SHAPE_MISMATCH',
      /4503599627370496/,
    ],
    [
      'too few bytes',
      { raw_input_contents: [Buffer.alloc(15), raw[1]] },
      'BYTE_COUNT_MISMATCH',
      /input "x" .* has 15 bytes of data; its shape needs 16/,
    ],
    [
      'too many bytes',
      { raw_input_contents: [raw[0], Buffer.alloc(9)] },
      'BYTE_COUNT_MISMATCH',
      /input "ids" .* has 9 bytes/,
    ],
    [
      'fewer raw contents than inputs',
      { raw_input_contents: [raw[0]] },
      'INPUT_DATA_INVALID',
      /1 raw_input_contents for 2 inputs/,
    ],
    [
      'no data',
      { raw_input_contents: [] },
      'INPUT_DATA_INVALID',
      /"x" has no data; give it in raw_input_contents or in contents.fp32_contents/,
    ],
    [
      'data twice',
      { inputs: [{ ...x, contents: { fp32_contents: [1, 2, 3, 4] } }, ids] },
      'INPUT_DATA_INVALID',
      /typed contents beside raw_input_contents/,
    ],
    [
      'data in another field',
      { inputs: [{ ...x, contents: { fp64_contents: [1, 2, 3, 4] } }], raw_input_contents: [] },
      'INPUT_DATA_INVALID',
      /FP32 belongs in contents.fp32_contents alone/,
    ],
    [
      'a batch of 0',
      {
        inputs: [
          { ...x, shape: [0, 4] },
          { ...ids, shape: [0] },
        ],
        raw_input_contents: [Buffer.alloc(0), Buffer.alloc(0)],
      },
      'BATCH_SIZE_INVALID',
      /batch size 0; model "echo" takes 1 to 8/,
    ],
    [
      'a batch too large',
      echoRequest(9),
      'BATCH_SIZE_INVALID',
      /batch size 9; model "echo" takes 1 to 8 \(max_batch_size\)/,
    ],
    [
      'batches of different size',
      { inputs: [{ ...x, shape: [2, 4] }, ids], raw_input_contents: [Buffer.alloc(32), raw[1]] },
      'BATCH_SIZE_INVALID',
      /"ids" has batch size 1 where input "x" has 2/,
    ],
    ['an unknown output', { outputs: [{ name: 'z' }] }, 'OUTPUT_UNKNOWN', /no output "z"; it has "OUTPUT0"/],
    [
      'an output twice',
      { outputs: [{ name: 'OUTPUT0' }, { name: 'OUTPUT0' }] },
      'OUTPUT_DUPLICATE',
      /asked for twice/,
    ],
    [
      'shared memory in',
      { inputs: [{ ...x, parameters: { shared_memory_region: { string_param: 'r' } } }, ids] },
      'NOT_SUPPORTED',
      /input "x" is in shared memory/,
    ],
    [
      'shared memory out',
      { outputs: [{ name: 'OUTPUT0', parameters: { shared_memory_region: { string_param: 'r' } } }] },
      'NOT_SUPPORTED',
      /output "OUTPUT0"/,
    ],
    [
      'classification',
      { outputs: [{ name: 'OUTPUT0', parameters: { classification: { int64_param: 3 } } }] },
      'NOT_SUPPORTED',
      /classification/,
    ],
  ];
  for (const [what, request, code, message] of cases) {
    test(what, () =>
      assert.throws(() => validate(echoRequest(1, request)), { name: 'ServerError', code, message }),
    );
  }

  test('more bytes than are taken', () => {
    const model = single('UINT8', [-1]);
    const request = {
      inputs: [{ name: 'x', datatype: 'UINT8', shape: [1025] }],
      raw_input_contents: [Buffer.alloc(1025)],
    };
    assert.throws(() => validate(request, model), {
      code: 'REQUEST_TOO_LARGE',
      message: /1025 bytes of tensors; at most 1024/,
    });
    const typed = {
      inputs: [
        { name: 'x', datatype: 'INT64', shape: [129], contents: { int64_contents: Array(129).fill(0) } },
      ],
    };
    assert.throws(() => validate(typed, single('INT64', [-1])), {
      code: 'REQUEST_TOO_LARGE',
      message: /1032 bytes/,
    });
  });
});

describe('typed contents', () => {
  const one = (datatype: string, contents: Plain, shape: number[]) =>
    validate(
      { inputs: [{ name: 'x', datatype, shape, contents }] },
      single(datatype as Tensor['datatype'], shape),
    ).inputs[0]!.data;

  test('become raw little-endian bytes of the datatype', () => {
    const bytes = (array: ArrayBufferView) => Buffer.from(array.buffer, array.byteOffset, array.byteLength);
    const check = (data: Uint8Array, expected: ArrayBufferView) =>
      assert.deepEqual(Buffer.from(data), bytes(expected));
    check(one('BOOL', { bool_contents: [true, false] }, [2]), Uint8Array.of(1, 0));
    check(one('INT8', { int_contents: [-128, 127] }, [2]), Int8Array.of(-128, 127));
    check(one('INT16', { int_contents: [-32768, 32767] }, [2]), Int16Array.of(-32768, 32767));
    check(one('INT32', { int_contents: [-1, 5] }, [2]), Int32Array.of(-1, 5));
    check(
      one('INT64', { int64_contents: ['-9223372036854775808', 5] }, [2]),
      BigInt64Array.of(-(2n ** 63n), 5n),
    );
    check(one('UINT8', { uint_contents: [255, 0] }, [2]), Uint8Array.of(255, 0));
    check(one('UINT16', { uint_contents: [65535, 1] }, [2]), Uint16Array.of(65535, 1));
    check(one('UINT32', { uint_contents: [4294967295, 1] }, [2]), Uint32Array.of(4294967295, 1));
    check(
      one('UINT64', { uint64_contents: ['18446744073709551615'] }, [1]),
      BigUint64Array.of(2n ** 64n - 1n),
    );
    check(one('FP32', { fp32_contents: [1.5, -2] }, [2]), Float32Array.of(1.5, -2));
    check(one('FP64', { fp64_contents: [0.1] }, [1]), Float64Array.of(0.1));
    check(
      one('BYTES', { bytes_contents: [Buffer.from('ab'), Buffer.alloc(0)] }, [2]),
      Buffer.from([2, 0, 0, 0, 97, 98, 0, 0, 0, 0]),
    );
  });

  test('an empty tensor needs none', () => {
    assert.equal(one('FP32', {}, [0]).byteLength, 0);
    assert.equal(
      validate({ inputs: [{ name: 'x', datatype: 'FP16', shape: [0] }] }, single('FP16', [-1])).bytes,
      0,
    );
  });

  test('what cannot be is refused', () => {
    const refuse = (datatype: string, contents: Plain, shape: number[], message: RegExp) =>
      assert.throws(() => one(datatype, contents, shape), { name: 'ServerError', message });
    refuse('INT8', { int_contents: [1, 128] }, [2], /element 1 is 128; INT8 holds -128 to 127/);
    refuse('UINT16', { uint_contents: [65536] }, [1], /element 0 is 65536; UINT16 holds 0 to 65535/);
    refuse('FP16', { fp32_contents: [1] }, [1], /FP16, which has no typed contents/);
    refuse('BF16', { fp32_contents: [1] }, [1], /BF16, which has no typed contents/);
    refuse(
      'FP32',
      { fp64_contents: [1] },
      [1],
      /in contents.fp64_contents; FP32 belongs in contents.fp32_contents alone/,
    );
    refuse(
      'INT32',
      { int_contents: [1], uint_contents: [1] },
      [2],
      /int_contents and contents.uint_contents/,
    );
    refuse(
      'FP32',
      { fp32_contents: [1, 2] },
      [3],
      /has 2 elements in contents.fp32_contents; its shape needs 3/,
    );
  });
});

test('raw BYTES are checked element by element', () => {
  const model = single('BYTES', [-1]);
  const send = (data: Buffer, count: number) =>
    validate(
      { inputs: [{ name: 'x', datatype: 'BYTES', shape: [count] }], raw_input_contents: [data] },
      model,
    );
  assert.equal(send(Buffer.from([1, 0, 0, 0, 9, 0, 0, 0, 0]), 2).bytes, 9);
  assert.throws(() => send(Buffer.from([1, 0, 0, 0, 9]), 2), {
    code: 'BYTE_COUNT_MISMATCH',
    message: /1 elements/,
  });
  assert.throws(() => send(Buffer.from([200, 0, 0, 0, 9]), 1), {
    code: 'BYTE_COUNT_MISMATCH',
    message: /runs past/,
  });
});

test('inputs in any order come in the model’s order, with the data that is theirs', () => {
  const { inputs, raw_input_contents } = echoRequest(2) as { inputs: Plain[]; raw_input_contents: Buffer[] };
  const request = { inputs: inputs.toReversed(), raw_input_contents: raw_input_contents.toReversed() };
  const valid = validate(request);
  assert.deepEqual(
    valid.inputs.map(({ name, data }) => [name, data[0]]),
    [
      ['x', 1],
      ['ids', 2],
    ],
  );
  assert.equal(valid.bytes, 48);
  assert.deepEqual(valid.outputs, ['OUTPUT0', 'OUTPUT1']);
});

test('outputs come as asked for', () => {
  assert.deepEqual(validate(echoRequest(1, { outputs: [{ name: 'OUTPUT1' }] })).outputs, ['OUTPUT1']);
  const tensor = (name: string): Tensor => ({ name, datatype: 'UINT8', shape: [1], data: Buffer.alloc(1) });
  const [second] = selectOutputs([tensor('a'), tensor('b')], ['b'], 'm');
  assert.equal(second?.name, 'b');
  assert.throws(() => selectOutputs([tensor('a')], ['b'], 'm'), {
    code: 'WORKER_OUTPUT_INVALID',
    message: /left out output "b" \(it answered "a"\)/,
  });
  const short: Tensor = { ...tensor('b'), shape: [2] };
  assert.throws(() => selectOutputs([short], ['b'], 'm'), {
    code: 'WORKER_OUTPUT_INVALID',
    message: /1 bytes of data; its shape needs 2/,
  });
});

function single(datatype: Tensor['datatype'], shape: number[]): ModelMetadata {
  return { platform: 'test', inputs: [{ name: 'x', datatype, shape }], outputs: [], maxBatchSize: 0 };
}

function validate(request: Plain, metadata: ModelMetadata = ECHO_MODEL) {
  const read = readModelInferRequest(encodeMessage('inference.ModelInferRequest', request));
  return validateRequest(read, { model: 'echo', metadata, maxBytes: MAX_BYTES });
}
