/** From pictures to the input of a PP-OCR text recognition model, and from its output back to text. */
import { readFileSync } from 'node:fs';
import type { Picture } from './draw.js';

/** Height that the model was trained on; the width is free. */
export const INPUT_HEIGHT = 48;
/** Steps of the output are eight pixels wide: a width that is a multiple loses nothing at the right edge. */
const WIDTH_STEP = 8;

/** A batch of pictures as the model takes them: FP32, [pictures, 3, 48, width], values -1 to 1. */
export interface PictureBatch {
  shape: [number, number, number, number];
  data: Float32Array;
}

/**
 * Scales each picture to a height of 48, puts (v / 255 - 0.5) / 0.5 in planes (blue, green, red: the model was
 * trained on pictures in that order), and fills narrower ones up with zeros on the right to the widest.
 */
export function toPictureBatch(pictures: readonly Picture[]): PictureBatch {
  if (pictures.length === 0) throw new RangeError('a batch needs at least one picture');
  const scaled = pictures.map((picture) => scaleToHeight(picture, INPUT_HEIGHT));
  const widest = Math.max(...scaled.map(({ width }) => width));
  const width = Math.ceil(widest / WIDTH_STEP) * WIDTH_STEP;
  const plane = INPUT_HEIGHT * width;
  const data = new Float32Array(pictures.length * 3 * plane);
  for (const [index, picture] of scaled.entries()) {
    for (let channel = 0; channel < 3; channel++) {
      const start = (index * 3 + channel) * plane;
      for (let row = 0; row < INPUT_HEIGHT; row++) {
        for (let column = 0; column < picture.width; column++) {
          const value = picture.rgb[(row * picture.width + column) * 3 + (2 - channel)] ?? 0;
          data[start + row * width + column] = (value / 255 - 0.5) / 0.5;
        }
      }
    }
  }
  return { shape: [pictures.length, 3, INPUT_HEIGHT, width], data };
}

/** Each new pixel is the mean of the old ones it covers, so that thin strokes do not fall between samples. */
function scaleToHeight(picture: Picture, height: number): Picture {
  if (picture.height === height) return picture;
  const width = Math.max(1, Math.round((picture.width * height) / picture.height));
  const columns = spans(picture.width, width);
  const rows = spans(picture.height, height);
  const rgb = new Uint8Array(width * height * 3);
  for (const [row, { from: top, weights: down }] of rows.entries()) {
    for (const [column, { from: left, weights: across }] of columns.entries()) {
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        for (const [y, share] of down.entries()) {
          for (const [x, part] of across.entries()) {
            sum += share * part * (picture.rgb[((top + y) * picture.width + left + x) * 3 + channel] ?? 0);
          }
        }
        rgb[(row * width + column) * 3 + channel] = Math.round(sum);
      }
    }
  }
  return { width, height, rgb };
}

/** For each of `to` new pixels: the old ones it covers and their shares, which sum to 1. */
function spans(from: number, to: number): { from: number; weights: number[] }[] {
  const ratio = from / to;
  return Array.from({ length: to }, (_, index) => {
    const [start, end] = [index * ratio, (index + 1) * ratio];
    const first = Math.min(from - 1, Math.floor(start));
    const last = Math.min(from, Math.max(first + 1, Math.ceil(end - 1e-9)));
    const covered = Array.from(
      { length: last - first },
      (_, offset) => Math.min(end, first + offset + 1) - Math.max(start, first + offset),
    );
    const total = covered.reduce((sum, share) => sum + share, 0);
    return { from: first, weights: covered.map((share) => share / total) };
  });
}

/** What the model's classes stand for: the blank first, then the lines of the dictionary, the space last. */
export class Alphabet {
  readonly #characters: readonly string[];

  /** @param file the dictionary that came with the model: one character a line, UTF-8 */
  static read(file: string): Alphabet {
    return new Alphabet(readFileSync(file, 'utf8'));
  }

  constructor(dictionary: string) {
    const lines = dictionary.split(/\r?\n/);
    // Only the end of the last line: a line that holds a space character is a character of its own.
    if (lines.at(-1) === '') lines.pop();
    this.#characters = ['', ...lines, ' '];
  }

  /** Number of classes, the blank included. */
  get size(): number {
    return this.#characters.length;
  }

  /**
   * Greedy CTC: the likeliest class of each step, runs of the same class once, blanks dropped.
   *
   * @param scores [texts, steps, classes], probabilities; classes must be `size`
   */
  decode(scores: Float32Array, shape: readonly number[]): RecognizedText[] {
    const [texts = 0, steps = 0, classes = 0] = shape;
    if (shape.length !== 3 || classes !== this.size || scores.length !== texts * steps * classes) {
      throw new RangeError(
        `scores of shape [${shape.join(', ')}] with ${scores.length} elements do not fit a dictionary of ` +
          `${this.size} classes: expected [texts, steps, ${this.size}]; is it the dictionary of this model?`,
      );
    }
    return Array.from({ length: texts }, (_, text) =>
      this.#decodeOne(scores.subarray(text * steps * classes, (text + 1) * steps * classes), steps),
    );
  }

  #decodeOne(scores: Float32Array, steps: number): RecognizedText {
    let text = '';
    let sum = 0;
    let count = 0;
    let previous = BLANK;
    for (let step = 0; step < steps; step++) {
      let best = BLANK;
      let score = -Infinity;
      for (let index = 0; index < this.size; index++) {
        const candidate = scores[step * this.size + index] ?? -Infinity;
        if (candidate > score) [best, score] = [index, candidate];
      }
      if (best !== BLANK && best !== previous) {
        text += this.#characters[best] ?? '';
        sum += score;
        count++;
      }
      previous = best;
    }
    return { text, confidence: count === 0 ? 0 : sum / count };
  }
}

const BLANK = 0;

export interface RecognizedText {
  text: string;
  /** Mean score of the characters, 0 to 1. */
  confidence: number;
}
