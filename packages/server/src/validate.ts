/** A request held against its model's signature, before anything is queued for it. */
import {
  byteLength,
  datatypeBytes,
  elementCount,
  isDatatype,
  shapeMatches,
  tensorProblem,
  type Datatype,
  type ModelMetadata,
  type Tensor,
  type TensorSpec,
} from '@supervisor/worker/protocol';
import type { InferInput, ModelInferRequest, RequestedOutput } from './codec/inference.js';
import { rawContents, type ContentsField, type TensorContents } from './codec/tensor-contents.js';
import { ServerError } from './errors.js';

export interface ValidRequest {
  /** One per input of the model, in the model's order. */
  inputs: Tensor[];
  /** Of all inputs' data. */
  bytes: number;
  /** In the order asked for. */
  outputs: string[];
}

export interface ValidationContext {
  model: string;
  metadata: ModelMetadata;
  /** Largest request in raw tensor bytes: typed contents can be far smaller on the wire. */
  maxBytes: number;
}

/** Throws `ServerError`, which names the value found, the value expected and the tensor. */
export function validateRequest(request: ModelInferRequest, context: ValidationContext): ValidRequest {
  const { metadata, maxBytes } = context;
  const given = inputsByName(request, context);
  checkRawCount(request, context);
  const inputs = metadata.inputs.map((spec) => {
    const found = given.get(spec.name);
    if (!found) throw missingInput(spec, given, context);
    return toTensor(found.input, request.rawInputs[found.index], spec, context);
  });
  if (metadata.maxBatchSize > 0) checkBatch(inputs, context);
  const bytes = byteLength(inputs);
  if (bytes > maxBytes) throw tooLarge(bytes, context);
  return { inputs, bytes, outputs: requestedOutputs(request.outputs, context) };
}

function inputsByName(
  { inputs }: ModelInferRequest,
  { model, metadata }: ValidationContext,
): Map<string, { input: InferInput; index: number }> {
  const given = new Map<string, { input: InferInput; index: number }>();
  for (const [index, input] of inputs.entries()) {
    if (given.has(input.name)) {
      throw new ServerError(
        'INPUT_DUPLICATE',
        `input "${input.name}" is given twice; give each input of model "${model}" once`,
      );
    }
    if (!metadata.inputs.some(({ name }) => name === input.name)) {
      throw new ServerError(
        'INPUT_UNKNOWN',
        `model "${model}" has no input "${input.name}"; it takes ${list(metadata.inputs)}`,
      );
    }
    refuseSharedMemory(input.parameters, `input "${input.name}"`);
    given.set(input.name, { input, index });
  }
  return given;
}

function checkRawCount({ rawInputs, inputs }: ModelInferRequest, { model }: ValidationContext): void {
  if (rawInputs.length > 0 && rawInputs.length !== inputs.length) {
    throw new ServerError(
      'INPUT_DATA_INVALID',
      `${rawInputs.length} raw_input_contents for ${inputs.length} inputs of model "${model}"; give one for each input, in the same order`,
    );
  }
}

function missingInput(
  spec: TensorSpec,
  given: Map<string, unknown>,
  { model, metadata }: ValidationContext,
): ServerError {
  const found = given.size > 0 ? `only ${[...given.keys()].map(quoted).join(', ')} given` : 'none given';
  return new ServerError(
    'INPUT_MISSING',
    `input "${spec.name}" is missing (${found}); model "${model}" takes ${list(metadata.inputs)}`,
  );
}

function toTensor(
  input: InferInput,
  raw: Uint8Array | undefined,
  spec: TensorSpec,
  context: ValidationContext,
): Tensor {
  const { name, datatype, shape } = input;
  if (datatype !== spec.datatype) {
    throw new ServerError(
      'DATATYPE_MISMATCH',
      `input "${name}" has datatype ${datatype === '' ? '""' : datatype}; model "${context.model}" takes ${spec.datatype}`,
    );
  }
  const elements = isCountable(shape) ? elementCount(shape) : NaN;
  if (!shapeMatches(shape, spec.shape) || !Number.isSafeInteger(elements)) {
    throw new ServerError(
      'SHAPE_MISMATCH',
      `input "${name}" has shape [${shape.join(', ')}]; model "${context.model}" takes [${spec.shape.join(', ')}]${spec.shape.includes(-1) ? ', where -1 is any size' : ''}`,
    );
  }
  const data = raw ? checkedRaw(input, raw) : fromContents(input, spec.datatype, elements, context);
  const tensor: Tensor = { name, datatype: spec.datatype, shape, data };
  const problem = tensorProblem(tensor);
  if (problem !== undefined)
    throw new ServerError('BYTE_COUNT_MISMATCH', problem.replace(/^tensor/, 'input'));
  return tensor;
}

/** -1 stands for any size in a model's shape only. */
function isCountable(shape: readonly number[]): boolean {
  return shape.every((size) => size >= 0);
}

function checkedRaw({ name, contents }: InferInput, raw: Uint8Array): Uint8Array {
  if (contents && contents.count > 0) {
    throw new ServerError(
      'INPUT_DATA_INVALID',
      `input "${name}" has typed contents beside raw_input_contents; give its data in one of them`,
    );
  }
  return raw;
}

const CONTENTS_FIELD: Record<Datatype, ContentsField | undefined> = {
  BOOL: 'bool_contents',
  INT8: 'int_contents',
  INT16: 'int_contents',
  INT32: 'int_contents',
  INT64: 'int64_contents',
  UINT8: 'uint_contents',
  UINT16: 'uint_contents',
  UINT32: 'uint_contents',
  UINT64: 'uint64_contents',
  FP16: undefined,
  BF16: undefined,
  FP32: 'fp32_contents',
  FP64: 'fp64_contents',
  BYTES: 'bytes_contents',
};

function fromContents(
  { name, contents }: InferInput,
  datatype: Datatype,
  elements: number,
  context: ValidationContext,
): Uint8Array {
  if (elements === 0 && !contents?.count) return new Uint8Array(0);
  const field = CONTENTS_FIELD[datatype];
  if (field === undefined) {
    throw new ServerError(
      'INPUT_DATA_INVALID',
      `input "${name}" is ${datatype}, which has no typed contents; give its data in raw_input_contents`,
    );
  }
  if (!contents || contents.count === 0) {
    throw new ServerError(
      'INPUT_DATA_INVALID',
      `input "${name}" has no data; give it in raw_input_contents or in contents.${field}`,
    );
  }
  if (contents.fields.some((used) => used !== field)) {
    throw new ServerError(
      'INPUT_DATA_INVALID',
      `input "${name}" has its data in ${contents.fields.map((used) => `contents.${used}`).join(' and ')}; ${datatype} belongs in contents.${field} alone`,
    );
  }
  if (contents.count !== elements) {
    throw new ServerError(
      'BYTE_COUNT_MISMATCH',
      `input "${name}" has ${contents.count} elements in contents.${field}; its shape needs ${elements}`,
    );
  }
  if (contents.rawBytes > context.maxBytes) throw tooLarge(contents.rawBytes, context);
  return narrow(name, datatype, contents);
}

/** 8- and 16-bit integers travel as 32-bit ones. */
function narrow(name: string, datatype: Datatype, contents: TensorContents): Uint8Array {
  const wide = rawContents(contents);
  const width = datatypeBytes(datatype);
  if (width === 0 || wide.byteLength === contents.count * width) return wide;
  const source = new DataView(wide.buffer, wide.byteOffset, wide.byteLength);
  const target = Buffer.allocUnsafe(contents.count * width);
  const isSigned = datatype.startsWith('INT');
  const least = isSigned ? -(2 ** (8 * width - 1)) : 0;
  const most = least + 2 ** (8 * width) - 1;
  for (let i = 0; i < contents.count; i += 1) {
    const value = isSigned ? source.getInt32(4 * i, true) : source.getUint32(4 * i, true);
    if (value < least || value > most) {
      throw new ServerError(
        'INPUT_DATA_INVALID',
        `input "${name}": element ${i} is ${value}; ${datatype} holds ${least} to ${most}`,
      );
    }
    if (isSigned) target.writeIntLE(value, width * i, width);
    else target.writeUIntLE(value, width * i, width);
  }
  return target;
}

function checkBatch(inputs: readonly Tensor[], { model, metadata }: ValidationContext): void {
  const [first] = inputs;
  for (const { name, shape } of inputs) {
    const size = shape[0] ?? 0;
    if (size < 1 || size > metadata.maxBatchSize) {
      throw new ServerError(
        'BATCH_SIZE_INVALID',
        `input "${name}" has batch size ${size}; model "${model}" takes 1 to ${metadata.maxBatchSize} (max_batch_size)`,
      );
    }
    if (size !== first?.shape[0]) {
      throw new ServerError(
        'BATCH_SIZE_INVALID',
        `input "${name}" has batch size ${size} where input "${first?.name}" has ${first?.shape[0]}; all inputs of a request share one`,
      );
    }
  }
}

function requestedOutputs(
  requested: readonly RequestedOutput[],
  { model, metadata }: ValidationContext,
): string[] {
  if (requested.length === 0) return metadata.outputs.map(({ name }) => name);
  const names = new Set<string>();
  for (const { name, parameters } of requested) {
    if (!metadata.outputs.some((spec) => spec.name === name)) {
      throw new ServerError(
        'OUTPUT_UNKNOWN',
        `model "${model}" has no output "${name}"; it has ${list(metadata.outputs)}`,
      );
    }
    if (names.has(name))
      throw new ServerError('OUTPUT_DUPLICATE', `output "${name}" is asked for twice; ask once`);
    refuseSharedMemory(parameters, `output "${name}"`);
    if (Number(parameters['classification'] ?? 0) > 0) {
      throw new ServerError(
        'NOT_SUPPORTED',
        `output "${name}": classification is not supported; ask for the output and sort it`,
      );
    }
    names.add(name);
  }
  return [...names];
}

function refuseSharedMemory(parameters: Record<string, unknown>, what: string): void {
  if (parameters['shared_memory_region'] === undefined) return;
  throw new ServerError(
    'NOT_SUPPORTED',
    `${what} is in shared memory, which is not supported; send its bytes in the message`,
  );
}

function tooLarge(bytes: number, { model, maxBytes }: ValidationContext): ServerError {
  return new ServerError(
    'REQUEST_TOO_LARGE',
    `the request for model "${model}" has ${bytes} bytes of tensors; at most ${maxBytes} are taken (server.max_message_mb)`,
  );
}

/** What a worker answered, as what was asked for. Throws `WORKER_OUTPUT_INVALID`. */
export function selectOutputs(outputs: readonly Tensor[], names: readonly string[], model: string): Tensor[] {
  return names.map((name) => {
    const tensor = outputs.find((output) => output.name === name);
    if (!tensor) {
      const answered = outputs.length > 0 ? outputs.map((output) => quoted(output.name)).join(', ') : 'none';
      throw new ServerError(
        'WORKER_OUTPUT_INVALID',
        `the worker of model "${model}" left out output "${name}" (it answered ${answered}); mend the worker`,
      );
    }
    const problem = isDatatype(tensor.datatype)
      ? tensorProblem(tensor)
      : `output "${name}" has datatype "${String(tensor.datatype)}"`;
    if (problem !== undefined) {
      throw new ServerError(
        'WORKER_OUTPUT_INVALID',
        `the worker of model "${model}" answered what cannot be: ${problem}; mend the worker`,
      );
    }
    return tensor;
  });
}

function list(specs: readonly TensorSpec[]): string {
  if (specs.length === 0) return 'none';
  return specs
    .map(({ name, datatype, shape }) => `${quoted(name)} (${datatype} [${shape.join(', ')}])`)
    .join(', ');
}

function quoted(name: string): string {
  return `"${name}"`;
}
