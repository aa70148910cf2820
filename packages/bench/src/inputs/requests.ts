/** What is sent: from the `experiment.inputs` of the file and the model's metadata to requests ready to send. */
import { BenchError } from '../bench-error.js';
import type { EncodedRequest, InferenceClient, ModelMetadata, Tensor, TensorMetadata } from '../client.js';
import { drawTextLine } from '../ocr/draw.js';
import { readItem } from './item-file.js';
import { randomElements, randomSource } from './random.js';
import { DEFAULT_TEXTS, pictureTensor, textModelInput } from './text-lines.js';

/** `experiment.inputs`. */
export interface InputsConfig {
  /** Default `random`. */
  kind?: 'random' | 'text_lines' | undefined;
  /** Of the random values; default 1. */
  seed?: number | undefined;
  /**
   * Sizes of the inputs that the model leaves open, by input name: without the batch dimension where the model has
   * one.
   */
  dims?: Readonly<Record<string, readonly number[]>> | undefined;
  /** Lines to draw, for `text_lines`. */
  texts?: readonly string[] | undefined;
  /** Files that hold one item of an input, by input name; instead of random values. Absolute paths. */
  files?: Readonly<Record<string, string>> | undefined;
}

/** Different requests are sent in turn, so that no cache between here and the model makes them look fast. */
const DISTINCT_REQUESTS = 8;
/** They are all kept in memory; of large ones fewer are made. */
const MAX_KEPT_BYTES = 128 * 1024 * 1024;

/**
 * Requests of `batchSize` items each, to be sent in turn.
 *
 * @throws BenchError where the inputs do not fit the model
 */
export function makeRequests(
  client: InferenceClient,
  metadata: ModelMetadata,
  config: InputsConfig,
  batchSize: number,
): EncodedRequest[] {
  const makeInputs =
    config.kind === 'text_lines' ? textLineInputs(metadata, config) : tensorInputs(metadata, config);
  const requests: EncodedRequest[] = [];
  let bytes = 0;
  while (requests.length < DISTINCT_REQUESTS) {
    const request = client.encode(metadata.name, makeInputs(batchSize, requests.length));
    requests.push(request);
    bytes += request.length;
    if (bytes + request.length > MAX_KEPT_BYTES) break;
  }
  return requests;
}

/** One line for the report. */
export function describeInputs(config: InputsConfig): string {
  if (config.kind === 'text_lines') return `${(config.texts ?? DEFAULT_TEXTS).length} drawn text lines`;
  const files = Object.keys(config.files ?? {});
  const random = `random values, seed ${config.seed ?? DEFAULT_SEED}`;
  return files.length > 0 ? `files for ${files.join(', ')}; else ${random}` : random;
}

type MakeInputs = (batchSize: number, turn: number) => Tensor[];

const DEFAULT_SEED = 1;

function textLineInputs(metadata: ModelMetadata, { texts = DEFAULT_TEXTS }: InputsConfig): MakeInputs {
  const input = textModelInput(metadata);
  if (texts.length === 0)
    throw new BenchError('UNDRAWABLE_TEXT', 'inputs.texts is empty; give at least one line');
  const pictures = texts.map((text) => drawTextLine(text));
  return (batchSize, turn) => {
    const batch = Array.from({ length: batchSize }, (_, index) => {
      const picture = pictures[(turn * batchSize + index) % pictures.length];
      if (!picture) throw new RangeError('there is no such picture');
      return picture;
    });
    return [pictureTensor(input, batch)];
  };
}

function tensorInputs(metadata: ModelMetadata, config: InputsConfig): MakeInputs {
  const names = metadata.inputs.map(({ name }) => name);
  for (const [key, given] of [
    ['dims', config.dims],
    ['files', config.files],
  ] as const) {
    const unknown = Object.keys(given ?? {}).filter((name) => !names.includes(name));
    if (unknown.length === 0) continue;
    throw new BenchError(
      'UNKNOWN_INPUT',
      `inputs.${key} names ${unknown.join(', ')}; the inputs of model "${metadata.name}" are ${names.join(', ')}`,
    );
  }
  const random = randomSource(config.seed ?? DEFAULT_SEED);
  const makers = metadata.inputs.map((input) => {
    const dims = config.dims?.[input.name];
    const file = config.files?.[input.name];
    return file === undefined ? randomInput(input, dims, random) : fileInput(input, dims, file);
  });
  return (batchSize) => makers.map((make) => make(batchSize));
}

function randomInput(
  input: TensorMetadata,
  dims: readonly number[] | undefined,
  random: () => number,
): (batchSize: number) => Tensor {
  return (batchSize) => {
    const tensor = {
      name: input.name,
      datatype: input.datatype,
      shape: resolveShape(input, dims, batchSize),
    };
    return { ...tensor, data: randomElements(tensor, random) };
  };
}

function fileInput(
  input: TensorMetadata,
  dims: readonly number[] | undefined,
  file: string,
): (batchSize: number) => Tensor {
  const item = readItem(file, input.datatype);
  return (batchSize) => {
    const shape = resolveShape(input, dims ?? item.shape ?? undefined, batchSize);
    // A file that holds the whole tensor is not repeated.
    const copies = shape.length === (dims ?? item.shape)?.length ? 1 : batchSize;
    const data = Buffer.concat(Array.from({ length: hasBatch(input) ? copies : 1 }, () => item.data));
    const bytes = elementBytes(input.datatype);
    const wanted = shape.reduce((product, size) => product * size, bytes);
    if (bytes > 0 && data.length !== wanted) {
      throw new BenchError(
        'BAD_INPUT_FILE',
        `${file} holds ${item.data.length} bytes, but ${input.datatype} [${shape.join(', ')}] takes ${wanted}` +
          `${copies > 1 ? ` for ${copies} copies of it` : ''}`,
      );
    }
    return { name: input.name, datatype: input.datatype, shape, data };
  };
}

/** A leading open size is the batch dimension, as in the protocol. */
function hasBatch({ shape }: TensorMetadata): boolean {
  return shape[0] === -1;
}

/** The shape to send: what the model fixes, `dims` where it leaves sizes open, the batch size in front. */
function resolveShape(
  input: TensorMetadata,
  dims: readonly number[] | undefined,
  batchSize: number,
): number[] {
  const declared = `${input.name} ${input.datatype} [${input.shape.join(', ')}]`;
  const whole = dims !== undefined && dims.length === input.shape.length;
  const batched = hasBatch(input) && !whole;
  if (!batched && batchSize !== 1 && !(whole && dims[0] === batchSize)) {
    throw new BenchError(
      'BATCH_NOT_POSSIBLE',
      whole
        ? `batch size ${batchSize} is not possible: dims gives all sizes of ${declared}; leave the first one out`
        : `batch size ${batchSize} is not possible: ${declared} has no batch dimension; use batch_sizes: [1]`,
    );
  }
  const open = batched ? input.shape.slice(1) : input.shape;
  const given = dims ?? open;
  const fits =
    given.length === open.length && open.every((size, index) => size === -1 || size === given[index]);
  if (!fits) {
    throw new BenchError(
      'BAD_DIMENSIONS',
      `dims [${given.join(', ')}] do not fit ${declared}; wanted are [${open.join(', ')}], -1 being any size`,
    );
  }
  if (given.includes(-1)) {
    const example = open.map((size) => (size === -1 ? 32 : size)).join(', ');
    throw new BenchError(
      'OPEN_DIMENSIONS',
      `${declared} leaves sizes open; choose them: experiment.inputs: { dims: { ${input.name}: [${example}] } }`,
    );
  }
  return batched ? [batchSize, ...given] : [...given];
}

/** 0 where elements differ in length. */
function elementBytes(datatype: string): number {
  if (datatype === 'BYTES') return 0;
  return datatype === 'BOOL' ? 1 : Number(/\d+$/.exec(datatype)?.[0] ?? 0) / 8;
}
