import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { EncodedRequest, InferenceClient, ModelMetadata, Tensor } from '../client.js';
import { makeRequests, type InputsConfig } from './requests.js';

const folder = mkdtempSync(join(tmpdir(), 'inputs-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const classifier = model([
  { name: 'ids', datatype: 'INT64', shape: [-1, -1] },
  { name: 'pixels', datatype: 'FP32', shape: [-1, 3, 2] },
]);

test('fixed sizes come from the model, open ones from dims, the batch size leads', () => {
  const [ids, pixels] = tensors(classifier, { dims: { ids: [5] } }, 4);
  assert.deepEqual(ids?.shape, [4, 5]);
  assert.equal(ids.data.length, 4 * 5 * 8);
  assert.deepEqual(pixels?.shape, [4, 3, 2]);
  assert.equal(pixels.data.length, 4 * 3 * 2 * 4);
});

test('random values are the same for the same seed, others for another, and right for their datatype', () => {
  const [ids, pixels] = tensors(classifier, { dims: { ids: [50] }, seed: 7 }, 2);
  assert.deepEqual(tensors(classifier, { dims: { ids: [50] }, seed: 7 }, 2), [ids, pixels]);
  assert.notDeepEqual(tensors(classifier, { dims: { ids: [50] }, seed: 8 }, 2), [ids, pixels]);
  assert.deepEqual(new Set(new BigInt64Array(ids!.data.slice().buffer)), new Set([0n, 1n]));
  for (const value of new Float32Array(pixels!.data.slice().buffer)) assert.ok(value >= 0 && value < 1);
});

test('random BYTES elements carry their length', () => {
  const [text] = tensors(model([{ name: 'text', datatype: 'BYTES', shape: [-1, 1] }]), {}, 2);
  assert.match(Buffer.from(text!.data).toString('latin1'), /^(\x08\0\0\0[a-z]{8}){2}$/);
});

test('half precision values lie between 0.5 and 1', () => {
  const [half] = tensors(model([{ name: 'x', datatype: 'FP16', shape: [64] }]), {}, 1);
  const words = new Uint16Array(half!.data.slice().buffer);
  assert.ok(new Set(words).size > 32);
  for (const word of words) assert.equal(word & 0xfc00, 0x3800);
});

const mistakes: [
  what: string,
  InputsConfig,
  batchSize: number,
  ModelMetadata,
  code: string,
  message: RegExp,
][] = [
  [
    'open sizes',
    {},
    1,
    classifier,
    'OPEN_DIMENSIONS',
    /ids INT64 \[-1, -1\] leaves sizes open.*dims: \{ ids: \[32\] \}/,
  ],
  [
    'a wrong fixed size',
    { dims: { ids: [5], pixels: [3, 9] } },
    1,
    classifier,
    'BAD_DIMENSIONS',
    /\[3, 9\].*\[3, 2\]/,
  ],
  ['too few sizes', { dims: { ids: [] } }, 1, classifier, 'BAD_DIMENSIONS', /\[\] do not fit ids/],
  [
    'dims for no input',
    { dims: { mask: [5] } },
    1,
    classifier,
    'UNKNOWN_INPUT',
    /names mask; .* are ids, pixels/,
  ],
  [
    'a file for no input',
    { files: { mask: 'x' } },
    1,
    classifier,
    'UNKNOWN_INPUT',
    /inputs\.files names mask/,
  ],
  [
    'a batch for a model without',
    {},
    2,
    model([{ name: 'x', datatype: 'FP32', shape: [4] }]),
    'BATCH_NOT_POSSIBLE',
    /batch_sizes: \[1\]/,
  ],
  [
    'texts for another model',
    { kind: 'text_lines' },
    1,
    classifier,
    'NOT_A_TEXT_MODEL',
    /ids INT64 \[-1, -1\]/,
  ],
  [
    'a text beyond the font',
    { kind: 'text_lines', texts: ['naïve'] },
    1,
    reader(),
    'UNDRAWABLE_TEXT',
    /has no "ï"/,
  ],
  ['an empty text', { kind: 'text_lines', texts: [' '] }, 1, reader(), 'UNDRAWABLE_TEXT', /a text is empty/],
  ['no texts', { kind: 'text_lines', texts: [] }, 1, reader(), 'UNDRAWABLE_TEXT', /at least one line/],
];

for (const [what, config, batchSize, metadata, code, message] of mistakes) {
  test(`${what}: ${code}`, () => {
    assert.throws(() => tensors(metadata, config, batchSize), { code, message });
  });
}

test('text lines become pictures 48 high, padded to the widest of their batch', () => {
  const [pictures] = tensors(reader(), { kind: 'text_lines', texts: ['I', 'a long line'] }, 2);
  const [batch, channels, height, width = 0] = pictures!.shape;
  assert.deepEqual([batch, channels, height], [2, 3, 48]);
  assert.equal(width % 8, 0);
  const values = new Float32Array(pictures!.data.slice().buffer);
  assert.equal(values.length, 2 * 3 * 48 * width);
  assert.equal(Math.max(...values), 1);
  // The padding is the middle of the range, neither ink nor paper.
  assert.equal(values[width - 1], 0);
});

test('a .npy file brings its own shape and is repeated for a batch', () => {
  const file = join(folder, 'ids.npy');
  const header = `{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }`.padEnd(117) + '\n';
  const start = Buffer.from('\x93NUMPY\x01\x00\x00\x00', 'latin1');
  start.writeUInt16LE(header.length, 8);
  writeFileSync(
    file,
    Buffer.concat([start, Buffer.from(header), Buffer.from(BigInt64Array.of(7n, 8n, 9n).buffer)]),
  );
  const [ids] = tensors(classifier, { files: { ids: file } }, 2);
  assert.deepEqual(ids?.shape, [2, 3]);
  assert.deepEqual([...new BigInt64Array(new Uint8Array(ids.data).buffer)], [7n, 8n, 9n, 7n, 8n, 9n]);
});

test('a .json file is packed as the datatype of its input', () => {
  const file = written('pixels.json', '[[1, 2], [3, 4], [5, 6.5]]');
  const [, pixels] = tensors(classifier, { dims: { ids: [1] }, files: { pixels: file } }, 1);
  assert.deepEqual(pixels?.shape, [1, 3, 2]);
  assert.deepEqual([...new Float32Array(new Uint8Array(pixels.data).buffer)], [1, 2, 3, 4, 5, 6.5]);
});

test('a raw file takes the sizes from model and dims', () => {
  const file = written('ids.raw', Buffer.alloc(16, 1));
  const [ids] = tensors(classifier, { dims: { ids: [2] }, files: { ids: file } }, 3);
  assert.deepEqual(ids?.shape, [3, 2]);
  assert.equal(ids.data.length, 48);
});

const badFiles: [name: string, content: string | Buffer, message: RegExp][] = [
  ['short.raw', Buffer.alloc(15), /holds 15 bytes, but INT64 \[1, 2\] takes 16/],
  ['ragged.json', '[[1], [2, 3]]', /is ragged/],
  ['fraction.json', '[1, 1.5]', /holds 1\.5, which is no INT64/],
  ['broken.json', '[1,', /is not valid JSON/],
  ['junk.npy', 'junk that is long enough', /does not begin with/],
];

for (const [name, content, message] of badFiles) {
  test(`the input file ${name} is refused`, () => {
    const config = { dims: { ids: [2] }, files: { ids: written(name, content) } };
    assert.throws(() => tensors(classifier, config, 1), { code: 'BAD_INPUT_FILE', message });
  });
}

test('a missing input file is named', () => {
  const file = join(folder, 'missing.raw');
  assert.throws(() => tensors(classifier, { files: { ids: file } }, 1), {
    code: 'BAD_INPUT_FILE',
    message: /missing\.raw cannot be read: ENOENT/,
  });
});

function model(inputs: ModelMetadata['inputs']): ModelMetadata {
  return { name: 'model', platform: 'fake', inputs, outputs: [] };
}

function reader(): ModelMetadata {
  return model([{ name: 'x', datatype: 'FP32', shape: [-1, 3, 48, -1] }]);
}

function written(name: string, content: string | Buffer): string {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
}

/** The tensors of the first request. */
function tensors(metadata: ModelMetadata, config: InputsConfig, batchSize: number): Tensor[] {
  const seen: Tensor[][] = [];
  const client = {
    encode: (_: string, inputs: Tensor[]) => {
      seen.push(inputs);
      return Buffer.alloc(1) as EncodedRequest;
    },
  };
  makeRequests(client as unknown as InferenceClient, metadata, config, batchSize);
  return seen[0] ?? [];
}
