/** Drawn lines of text as the input of a text recognition model. */
import { BenchError } from '../bench-error.js';
import type { ModelMetadata, Tensor, TensorMetadata } from '../client.js';
import type { Picture } from '../ocr/draw.js';
import { INPUT_HEIGHT, toPictureBatch } from '../ocr/recognition.js';

/** What is drawn where the experiment gives no texts. */
export const DEFAULT_TEXTS: readonly string[] = [
  'No process left behind',
  'GPU worker 7 is ready',
  'Invoice 2024-0815',
  'The quick brown fox',
  'jumps over the lazy dog',
  'Sphinx of black quartz',
  'Total: 1,249.50',
  'What is left? Nothing!',
];

/** @throws BenchError NOT_A_TEXT_MODEL where the model takes something else than FP32 [-1, 3, 48, -1] */
export function textModelInput({ name, inputs }: ModelMetadata): TensorMetadata {
  const [input, ...others] = inputs;
  const fits = (declared: number | undefined, size: number) => declared === size || declared === -1;
  const takesPictures =
    input !== undefined &&
    others.length === 0 &&
    input.datatype === 'FP32' &&
    input.shape.length === 4 &&
    input.shape[0] === -1 &&
    fits(input.shape[1], 3) &&
    fits(input.shape[2], INPUT_HEIGHT) &&
    input.shape[3] === -1;
  if (takesPictures) return input;
  const found = inputs.map((each) => `${each.name} ${each.datatype} [${each.shape.join(', ')}]`).join('; ');
  throw new BenchError(
    'NOT_A_TEXT_MODEL',
    `model "${name}" does not read text lines: it takes ${found || 'nothing'}, wanted is one input FP32 ` +
      `[-1, 3, ${INPUT_HEIGHT}, -1]; use inputs: { kind: random }`,
  );
}

/** One input tensor for a batch of pictures, narrower ones filled up to the widest. */
export function pictureTensor(input: TensorMetadata, pictures: readonly Picture[]): Tensor {
  const { shape, data } = toPictureBatch(pictures);
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { name: input.name, datatype: 'FP32', shape, data: bytes };
}
