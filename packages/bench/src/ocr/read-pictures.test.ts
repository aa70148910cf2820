import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeServer } from '../testing/fake-server.js';
import { drawTextLine } from './draw.js';
import { readPictures } from './read-pictures.js';
import { Alphabet } from './recognition.js';

const metadata = {
  name: 'ocr',
  platform: 'fake',
  inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 3, 48, -1] }],
  outputs: [{ name: 'scores', datatype: 'FP32', shape: [-1, -1, 4] }],
};

test('each picture is sent as one request, its scores are decoded', async () => {
  const shapes: number[][] = [];
  // Answers "a" to the first picture, "b" to the second.
  using server = await FakeServer.start(metadata, ({ inputs, number }) => {
    shapes.push(inputs[0]?.shape ?? []);
    const scores = Float32Array.of(0, number === 1 ? 1 : 0, number === 2 ? 1 : 0, 0);
    return [{ name: 'scores', datatype: 'FP32', shape: [1, 1, 4], data: new Uint8Array(scores.buffer) }];
  });
  const pictures = [drawTextLine('a'), drawTextLine('bbb')];
  const alphabet = new Alphabet('a\nb\n');
  const texts = await readPictures(pictures, { endpoint: server.endpoint, model: 'ocr', alphabet });
  assert.deepEqual(texts, [
    { text: 'a', confidence: 1 },
    { text: 'b', confidence: 1 },
  ]);
  assert.deepEqual(
    shapes.map(([batch, channels, height]) => [batch, channels, height]),
    [
      [1, 3, 48],
      [1, 3, 48],
    ],
  );
  assert.notEqual(shapes[0]?.[3], shapes[1]?.[3]);
});
