/** Messages of the Open Inference Protocol: requests read, responses written. Defined in proto/grpc_service.proto. */
import type { ModelMetadata, RequestParameters, Tensor, TensorSpec } from '@supervisor/worker/protocol';
import { GatheredMessage } from './gathered-message.js';
import { readContents, type TensorContents } from './tensor-contents.js';
import { WIRE_BYTES, WIRE_FIXED64, WIRE_VARINT, WireError, WireReader, WireWriter } from './wire.js';

/**
 * More of them in one message is no request that a model could take, but two bytes each on the wire become
 * an object each in memory.
 */
const MAX_TENSORS = 4096;
const MAX_PARAMETERS = 1024;
const MAX_RANK = 64;

export interface ModelReference {
  name: string;
  /** '' = the version that is served. */
  version: string;
}

export interface ModelInferRequest {
  model: ModelReference;
  id: string;
  parameters: RequestParameters;
  inputs: InferInput[];
  outputs: RequestedOutput[];
  /** Views of the message, one per input, or none. */
  rawInputs: Uint8Array[];
}

export interface InferInput {
  name: string;
  datatype: string;
  shape: number[];
  parameters: RequestParameters;
  contents: TensorContents | undefined;
}

export interface RequestedOutput {
  name: string;
  parameters: RequestParameters;
}

export interface ModelInferResponse {
  model: ModelReference;
  id: string;
  parameters?: RequestParameters;
  outputs: Tensor[];
}

/** `ModelReadyRequest` and `ModelMetadataRequest`, which have the same fields. Throws `WireError`, as all readers here. */
export function readModelReference(message: Uint8Array): ModelReference {
  const reader = new WireReader(message);
  const reference = { name: '', version: '' };
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) reference.name = readString(reader);
    else if (field === 2) reference.version = readString(reader);
    else reader.skip();
  }
  return reference;
}

/** A request without fields. Reads it all the same: what is no message is refused. */
export function readEmpty(message: Uint8Array): void {
  const reader = new WireReader(message);
  while (reader.field() !== 0) reader.skip();
}

export function readModelInferRequest(message: Uint8Array): ModelInferRequest {
  const reader = new WireReader(message);
  const request: ModelInferRequest = {
    model: { name: '', version: '' },
    id: '',
    parameters: noParameters(),
    inputs: [],
    outputs: [],
    rawInputs: [],
  };
  let parameters = 0;
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    switch (field) {
      case 1:
        request.model.name = readString(reader);
        break;
      case 2:
        request.model.version = readString(reader);
        break;
      case 3:
        request.id = readString(reader);
        break;
      case 4:
        bound((parameters += 1), MAX_PARAMETERS, 'parameters', reader);
        readParameter(reader, request.parameters);
        break;
      case 5:
        bound(request.inputs.length + 1, MAX_TENSORS, 'inputs', reader);
        request.inputs.push(readInput(reader));
        break;
      case 6:
        bound(request.outputs.length + 1, MAX_TENSORS, 'outputs', reader);
        request.outputs.push(readRequestedOutput(reader));
        break;
      case 7:
        reader.expect(WIRE_BYTES);
        bound(request.rawInputs.length + 1, MAX_TENSORS, 'raw_input_contents', reader);
        request.rawInputs.push(reader.view());
        break;
      default:
        reader.skip();
    }
  }
  return request;
}

function readInput(reader: WireReader): InferInput {
  const input: InferInput = {
    name: '',
    datatype: '',
    shape: [],
    parameters: noParameters(),
    contents: undefined,
  };
  let parameters = 0;
  const outer = reader.enter();
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    switch (field) {
      case 1:
        input.name = readString(reader);
        break;
      case 2:
        input.datatype = readString(reader);
        break;
      case 3:
        readShape(reader, input.shape);
        break;
      case 4:
        bound((parameters += 1), MAX_PARAMETERS, 'parameters', reader);
        readParameter(reader, input.parameters);
        break;
      case 5:
        reader.expect(WIRE_BYTES);
        // The last one counts, should there be several.
        input.contents = readContents(reader.view());
        break;
      default:
        reader.skip();
    }
  }
  reader.leave(outer);
  return input;
}

function readRequestedOutput(reader: WireReader): RequestedOutput {
  const output: RequestedOutput = { name: '', parameters: noParameters() };
  let parameters = 0;
  const outer = reader.enter();
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) output.name = readString(reader);
    else if (field === 2) {
      bound((parameters += 1), MAX_PARAMETERS, 'parameters', reader);
      readParameter(reader, output.parameters);
    } else reader.skip();
  }
  reader.leave(outer);
  return output;
}

/** Packed or not, as the format allows of any list of numbers. */
function readShape(reader: WireReader, shape: number[]): void {
  if (reader.wireType === WIRE_VARINT) {
    bound(shape.length + 1, MAX_RANK, 'dimensions', reader);
    shape.push(reader.int64());
    return;
  }
  const outer = reader.enter();
  while (reader.position < reader.end) {
    bound(shape.length + 1, MAX_RANK, 'dimensions', reader);
    shape.push(reader.int64());
  }
  reader.leave(outer);
}

/** One entry of a map of parameters. The last one counts where a key comes twice. */
function readParameter(reader: WireReader, parameters: RequestParameters): void {
  let key = '';
  let value: RequestParameters[string] | undefined;
  const outer = reader.enter();
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) key = readString(reader);
    else if (field === 2) value = readParameterValue(reader);
    else reader.skip();
  }
  reader.leave(outer);
  if (value !== undefined) parameters[key] = value;
}

function readParameterValue(reader: WireReader): RequestParameters[string] | undefined {
  let value: RequestParameters[string] | undefined;
  const outer = reader.enter();
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    switch (field) {
      case 1:
        reader.expect(WIRE_VARINT);
        value = reader.bool();
        break;
      case 2:
        reader.expect(WIRE_VARINT);
        value = reader.int64();
        break;
      case 3:
        value = readString(reader);
        break;
      case 4:
        reader.expect(WIRE_FIXED64);
        value = reader.double();
        break;
      case 5:
        reader.expect(WIRE_VARINT);
        value = reader.uint64();
        break;
      default:
        reader.skip();
    }
  }
  reader.leave(outer);
  return value;
}

function readString(reader: WireReader): string {
  reader.expect(WIRE_BYTES);
  return reader.string();
}

function bound(count: number, most: number, what: string, reader: WireReader): void {
  if (count > most) throw new WireError(`more than ${most} ${what}`, reader.position);
}

/** Keys come from outside: without a prototype `__proto__` is a key like any other. */
function noParameters(): RequestParameters {
  return Object.create(null) as RequestParameters;
}

/** `ServerLiveResponse`, `ServerReadyResponse` and `ModelReadyResponse`, which have the same field. */
export function writeFlag(value: boolean): Buffer {
  const writer = new WireWriter(2);
  writer.bool(1, value);
  return writer.finish();
}

export function writeServerMetadata(server: {
  name: string;
  version: string;
  extensions: readonly string[];
}): Buffer {
  const writer = new WireWriter();
  writer.string(1, server.name);
  writer.string(2, server.version);
  for (const extension of server.extensions) writer.stringAt(3, extension);
  return writer.finish();
}

export function writeModelMetadata(model: ModelReference, metadata: ModelMetadata): Buffer {
  const writer = new WireWriter();
  writer.string(1, model.name);
  writer.stringAt(2, model.version);
  writer.string(3, metadata.platform);
  for (const spec of metadata.inputs) writer.message(4, () => writeSignature(writer, spec));
  for (const spec of metadata.outputs) writer.message(5, () => writeSignature(writer, spec));
  return writer.finish();
}

export function writeModelInferResponse(response: ModelInferResponse): GatheredMessage {
  const { model, id, parameters, outputs } = response;
  const writer = new WireWriter();
  writer.string(1, model.name);
  writer.string(2, model.version);
  writer.string(3, id);
  for (const [key, value] of Object.entries(parameters ?? {})) {
    writer.message(4, () => writeParameter(writer, key, value));
  }
  for (const output of outputs) writer.message(5, () => writeSignature(writer, output));
  const insertions = outputs.map(({ data }) => ({ at: writer.bytesHeader(6, data.byteLength), data }));
  return new GatheredMessage(writer.finish(), insertions);
}

/** `TensorMetadata` and `InferOutputTensor`, which share their first three fields. */
function writeSignature(writer: WireWriter, { name, datatype, shape }: TensorSpec): void {
  writer.string(1, name);
  writer.string(2, datatype);
  writer.packedInt64(3, shape);
}

function writeParameter(writer: WireWriter, key: string, value: RequestParameters[string]): void {
  writer.string(1, key);
  writer.message(2, () => {
    if (typeof value === 'boolean') writer.boolAt(1, value);
    else if (typeof value === 'string') writer.stringAt(3, value);
    else if (Number.isSafeInteger(value) && !Object.is(value, -0)) writer.int64At(2, value);
    else writer.doubleAt(4, value);
  });
}
