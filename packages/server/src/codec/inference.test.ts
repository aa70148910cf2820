import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Tensor } from '@supervisor/worker/protocol';
import { decodeMessage, encodeMessage, type Plain } from '../testing/messages.js';
import type { GatheredMessage } from './gathered-message.js';
import {
  readEmpty,
  readModelInferRequest,
  readModelReference,
  writeFlag,
  writeModelInferResponse,
  writeModelMetadata,
  writeServerMetadata,
} from './inference.js';
import { WireError } from './wire.js';

const text = fc.string({ unit: 'grapheme', maxLength: 20 });
const dimension = fc.oneof(fc.integer({ min: -1, max: 300 }), fc.maxSafeInteger());
const shape = fc.array(dimension, { maxLength: 6 });
const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array));
interface Parameter {
  value: boolean | number | string;
  message: Plain;
}
const parameter = fc.oneof<fc.Arbitrary<Parameter>[]>(
  fc.boolean().map((value) => ({ value, message: { bool_param: value } })),
  fc.maxSafeInteger().map((value) => ({ value: value + 0, message: { int64_param: value } })),
  text.map((value) => ({ value, message: { string_param: value } })),
  fc.double({ noNaN: true }).map((value) => ({ value, message: { double_param: value } })),
  fc.maxSafeNat().map((value) => ({ value, message: { uint64_param: value } })),
);
const parameters = fc.dictionary(text, parameter, { maxKeys: 5 });

describe('ModelInferRequest', () => {
  test('reads what protobufjs writes', () => {
    const tensor = fc.record({ name: text, datatype: text, shape, parameters });
    const request = fc.record({
      name: text,
      version: text,
      id: text,
      parameters,
      inputs: fc.array(tensor, { maxLength: 5 }),
      outputs: fc.array(fc.record({ name: text, parameters }), { maxLength: 4 }),
      raw: fc.array(bytes, { maxLength: 5 }),
    });
    fc.assert(
      fc.property(request, (value) => {
        const encoded = encodeMessage('inference.ModelInferRequest', {
          model_name: value.name,
          model_version: value.version,
          id: value.id,
          parameters: messages(value.parameters),
          inputs: value.inputs.map((input) => ({ ...input, parameters: messages(input.parameters) })),
          outputs: value.outputs.map((output) => ({ ...output, parameters: messages(output.parameters) })),
          raw_input_contents: value.raw,
        });
        const read = readModelInferRequest(encoded);
        assert.deepEqual(read.model, { name: value.name, version: value.version });
        assert.equal(read.id, value.id);
        assert.deepEqual({ ...read.parameters }, values(value.parameters));
        assert.deepEqual(
          read.inputs.map((input) => ({ ...input, parameters: { ...input.parameters } })),
          value.inputs.map((input) => ({
            ...input,
            shape: input.shape.map((size) => size + 0),
            parameters: values(input.parameters),
            contents: undefined,
          })),
        );
        assert.deepEqual(
          read.outputs.map((output) => ({ ...output, parameters: { ...output.parameters } })),
          value.outputs.map((output) => ({ ...output, parameters: values(output.parameters) })),
        );
        assert.deepEqual(
          read.rawInputs.map((raw) => Buffer.from(raw)),
          value.raw,
        );
      }),
      { numRuns: 300 },
    );
  });

  test('raw contents are views of the message', () => {
    const encoded = encodeMessage('inference.ModelInferRequest', {
      raw_input_contents: [Buffer.alloc(1000, 7)],
    });
    const [raw] = readModelInferRequest(encoded).rawInputs;
    assert.equal(raw?.buffer, encoded.buffer);
  });

  test('a shape that is not packed is read too', () => {
    // input { shape: 3, shape: 4 }, each dimension a field of its own
    const read = readModelInferRequest(Buffer.from([0x2a, 0x04, 0x18, 0x03, 0x18, 0x04]));
    assert.deepEqual(read.inputs[0]?.shape, [3, 4]);
  });

  test('fields of a later version are passed over', () => {
    const encoded = encodeMessage('inference.ModelInferRequest', { model_name: 'm', id: 'i' });
    const unknown = Buffer.from([
      0xfa,
      0x07,
      0x03,
      1,
      2,
      3,
      0xf8,
      0x07,
      0x05,
      0xf9,
      0x07,
      ...Buffer.alloc(8),
      0xfd,
      0x07,
      ...Buffer.alloc(4),
    ]);
    const read = readModelInferRequest(Buffer.concat([unknown, encoded, unknown]));
    assert.equal(read.model.name, 'm');
    assert.equal(read.id, 'i');
  });

  test('a parameter named __proto__ is a parameter', () => {
    const entry = Buffer.concat([
      Buffer.from([0x0a, 9]),
      Buffer.from('__proto__'),
      Buffer.from([0x12, 0x02, 0x08, 0x01]),
    ]);
    const read = readModelInferRequest(Buffer.concat([Buffer.from([0x22, entry.byteLength]), entry]));
    assert.deepEqual(Object.keys(read.parameters), ['__proto__']);
    assert.equal(({} as Record<string, unknown>)['bool_param'], undefined);
  });

  test('counts that would only fill memory are refused', () => {
    const many = (field: number) => Buffer.alloc(2_000_000, Buffer.from([field * 8 + 2, 0]));
    for (const [field, what] of [
      [4, 'parameters'],
      [5, 'inputs'],
      [6, 'outputs'],
      [7, 'raw_input_contents'],
    ] as const) {
      assert.throws(() => readModelInferRequest(many(field)), {
        name: 'WireError',
        message: new RegExp(`more than \\d+ ${what}`),
      });
    }
    const deep = Buffer.concat([Buffer.from([0x2a, 0x81, 0x01, 0x1a, 0x7f]), Buffer.alloc(127, 1)]);
    assert.throws(() => readModelInferRequest(deep), /more than 64 dimensions/);
  });

  test('a known field of another wire type is refused', () => {
    assert.throws(() => readModelInferRequest(Buffer.from([0x08, 0x01])), /wire type 0 where 2 belongs/);
    assert.throws(() => readModelInferRequest(Buffer.from([0x28, 0x01])), /wire type 0 where 2 belongs/);
  });
});

test('random bytes and damaged messages are read or refused, nothing else', () => {
  const readers = [readModelInferRequest, readModelReference, readEmpty];
  const attempt = (message: Uint8Array) => {
    for (const read of readers) {
      try {
        read(message);
      } catch (error) {
        assert.ok(error instanceof WireError, String(error));
      }
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), attempt), { numRuns: 5000 });
  const valid = encodeMessage('inference.ModelInferRequest', {
    model_name: 'model',
    id: 'id',
    parameters: { a: { int64_param: 5 }, b: { string_param: 'x' } },
    inputs: [
      { name: 'x', datatype: 'FP32', shape: [1, 2], contents: { fp32_contents: [1, 2] } },
      {
        name: 'y',
        datatype: 'INT64',
        shape: [300, 2],
        contents: { int64_contents: [-1, 2], bytes_contents: [Buffer.from('z')] },
      },
    ],
    outputs: [{ name: 'o' }],
    raw_input_contents: [Buffer.from('abc')],
  });
  const damage = fc.array(fc.tuple(fc.nat(valid.byteLength - 1), fc.nat(255)), {
    minLength: 1,
    maxLength: 6,
  });
  fc.assert(
    fc.property(damage, fc.nat(valid.byteLength), (changes, length) => {
      const damaged = Buffer.from(valid);
      for (const [at, byte] of changes) damaged[at] = byte;
      attempt(damaged);
      attempt(damaged.subarray(0, length));
    }),
    { numRuns: 5000 },
  );
});

describe('answers', () => {
  test('ModelInferResponse: protobufjs reads what is written', () => {
    const tensor = fc.record({
      name: text,
      datatype: fc.constantFrom<Tensor['datatype']>('FP32', 'BYTES', 'INT64'),
      shape,
      data: bytes,
    });
    const value = fc.oneof(fc.boolean(), fc.maxSafeInteger(), text, fc.double({ noNaN: true }));
    const response = fc.record({
      model: fc.record({ name: text, version: text }),
      id: text,
      parameters: fc.dictionary(text, value, { maxKeys: 5 }),
      outputs: fc.array(tensor, { maxLength: 5 }),
    });
    fc.assert(
      fc.property(response, (answer) => {
        const read = decodeMessage('inference.ModelInferResponse', whole(writeModelInferResponse(answer)));
        assert.equal(read['model_name'], answer.model.name);
        assert.equal(read['model_version'], answer.model.version);
        assert.equal(read['id'], answer.id);
        const outputs = read['outputs'] as Record<string, unknown>[];
        assert.deepEqual(
          outputs.map((output) => [output['name'], output['datatype'], output['shape'], output['contents']]),
          answer.outputs.map((output) => [
            output.name,
            output.datatype,
            output.shape.map((size) => String(size + 0)),
            null,
          ]),
        );
        assert.deepEqual(
          read['raw_output_contents'],
          answer.outputs.map(({ data }) => data),
        );
        const sent = read['parameters'] as Record<string, Record<string, unknown>>;
        assert.deepEqual(Object.keys(sent).sort(), Object.keys(answer.parameters).sort());
        for (const [key, expected] of Object.entries(answer.parameters))
          assert.deepEqual(chosen(sent[key]!), expected);
      }),
      { numRuns: 300 },
    );
  });

  test('metadata and flags: protobufjs reads what is written', () => {
    assert.deepEqual(decodeMessage('inference.ServerReadyResponse', writeFlag(true)), { ready: true });
    assert.deepEqual(decodeMessage('inference.ServerReadyResponse', writeFlag(false)), { ready: false });
    assert.deepEqual(
      decodeMessage(
        'inference.ServerMetadataResponse',
        writeServerMetadata({ name: 'n', version: 'v', extensions: ['a', ''] }),
      ),
      { name: 'n', version: 'v', extensions: ['a', ''] },
    );
    const metadata = {
      platform: 'onnx',
      inputs: [{ name: 'x', datatype: 'FP32' as const, shape: [-1, 4] }],
      outputs: [{ name: 'y', datatype: 'BYTES' as const, shape: [] }],
      maxBatchSize: 0,
    };
    assert.deepEqual(
      decodeMessage(
        'inference.ModelMetadataResponse',
        writeModelMetadata({ name: 'm', version: '3' }, metadata),
      ),
      {
        name: 'm',
        versions: ['3'],
        platform: 'onnx',
        inputs: [{ name: 'x', datatype: 'FP32', shape: ['-1', '4'] }],
        outputs: [{ name: 'y', datatype: 'BYTES', shape: [] }],
      },
    );
  });
});

function messages(entries: Record<string, Parameter>): Record<string, Plain> {
  return Object.fromEntries(Object.entries(entries).map(([key, { message }]) => [key, message]));
}

function values(entries: Record<string, Parameter>): Record<string, Parameter['value']> {
  return Object.fromEntries(Object.entries(entries).map(([key, { value }]) => [key, value]));
}

function whole(message: GatheredMessage): Buffer {
  const target = Buffer.alloc(message.byteLength + 5, 0xee);
  assert.equal(message.copy(target, 5), message.byteLength);
  assert.deepEqual(target.subarray(0, 5), Buffer.alloc(5, 0xee));
  return target.subarray(5);
}

/** The one field that is set in an `InferParameter`. */
function chosen(message: Record<string, unknown>): unknown {
  const [field] = Object.keys(message).filter((key) => key !== 'parameter_choice');
  const value = message[field!];
  return field === 'int64_param' ? Number(value) : value;
}
