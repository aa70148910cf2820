/**
 * The binary meta of `infer` and `result`, and the payload that follows it. Little-endian:
 *
 *     u32 deadline ms | u16 tensors | u16 0 | u32 parameter bytes | u32 0
 *     per tensor: u8 datatype | u8 rank | u16 name bytes | u32 0 | u64 data bytes | i64 size of each dimension | name, padded to 8
 *     parameters as JSON, padded to 8
 *
 * The payload is each tensor's data in the same order, each padded to 8.
 */
import { datatypeCode, datatypeOfCode } from './datatypes.js';
import { ProtocolError } from './errors.js';
import { HEADER_BYTES, pad8, writeHeader } from './header.js';
import { MAX_RANK } from './limits.js';
import type { RequestParameters } from './messages.js';
import type { Tensor } from './tensors.js';

const META_BYTES = 16;
const TENSOR_BYTES = 16;
const U32 = 0x1_0000_0000;
/** Up to here one small copy is cheaper than one more entry for writev. */
const INLINE_PAYLOAD_BYTES = 4096;
const PADDING = new Uint8Array(8);

const utf8 = new TextEncoder();
const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export interface TensorFrame {
  deadlineMs: number;
  tensors: Tensor[];
  parameters?: RequestParameters;
}

/** Header, meta and payload as a list of buffers. Tensor data is passed on as it is, except where it is tiny. */
export function encodeTensorFrame(type: number, id: number, frame: TensorFrame): Uint8Array[] {
  const names = frame.tensors.map(({ name }) => utf8.encode(name));
  const parameters = frame.parameters
    ? utf8.encode(JSON.stringify(frame.parameters))
    : PADDING.subarray(0, 0);
  let metaBytes = META_BYTES + pad8(parameters.length);
  let payloadBytes = 0;
  frame.tensors.forEach((tensor, i) => {
    const nameBytes = names[i]?.length ?? 0;
    checkEncodable(tensor, nameBytes);
    metaBytes += TENSOR_BYTES + tensor.shape.length * 8 + pad8(nameBytes);
    payloadBytes += pad8(tensor.data.byteLength);
  });
  if (frame.tensors.length > 0xffff)
    throw new RangeError(`${frame.tensors.length} tensors; a message holds at most 65535`);

  const inline = payloadBytes <= INLINE_PAYLOAD_BYTES;
  const head = new Uint8Array(HEADER_BYTES + metaBytes + (inline ? payloadBytes : 0));
  const view = new DataView(head.buffer);
  writeHeader(head, { type, id, metaBytes, payloadBytes });
  view.setUint32(24, Math.min(Math.ceil(frame.deadlineMs), U32 - 1), true);
  view.setUint16(28, frame.tensors.length, true);
  view.setUint32(32, parameters.length, true);
  let at = HEADER_BYTES + META_BYTES;
  frame.tensors.forEach((tensor, i) => {
    const name = names[i] ?? PADDING.subarray(0, 0);
    view.setUint8(at, datatypeCode(tensor.datatype));
    view.setUint8(at + 1, tensor.shape.length);
    view.setUint16(at + 2, name.length, true);
    setU64(view, at + 8, tensor.data.byteLength);
    at += TENSOR_BYTES;
    for (const size of tensor.shape) {
      setU64(view, at, size);
      at += 8;
    }
    head.set(name, at);
    at += pad8(name.length);
  });
  head.set(parameters, at);
  at += pad8(parameters.length);

  const buffers: Uint8Array[] = [head];
  for (const { data } of frame.tensors) {
    if (inline) {
      head.set(data, at);
      at += pad8(data.byteLength);
    } else if (data.byteLength > 0) {
      buffers.push(data);
      const gap = pad8(data.byteLength) - data.byteLength;
      if (gap > 0) buffers.push(PADDING.subarray(0, gap));
    }
  }
  return buffers;
}

/**
 * Reads what {@link encodeTensorFrame} writes, tensors as views into `body`. Holds it to its structure only: whether a
 * tensor's data fits its own shape is the receiver's question (`tensorProblem`), since that is one request's mistake
 * and no reason to give up the stream.
 */
export function decodeTensorFrame(body: Uint8Array, metaBytes: number): TensorFrame {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const need = (bytes: number) => {
    if (at + bytes > metaBytes) bad(`its meta ends after ${metaBytes} bytes, inside of a field`);
  };
  let at = 0;
  need(META_BYTES);
  const deadlineMs = view.getUint32(0, true);
  const count = view.getUint16(4, true);
  const parameterBytes = view.getUint32(8, true);
  if (view.getUint16(6, true) !== 0 || view.getUint32(12, true) !== 0)
    bad('reserved bytes of its meta are not 0');
  at = META_BYTES;

  const tensors: Tensor[] = [];
  let dataAt = pad8(metaBytes);
  for (let i = 0; i < count; i++) {
    need(TENSOR_BYTES);
    const code = view.getUint8(at);
    const rank = view.getUint8(at + 1);
    const nameBytes = view.getUint16(at + 2, true);
    const dataBytes = getU64(view, at + 8);
    if (view.getUint32(at + 4, true) !== 0) bad(`reserved bytes of tensor ${i} are not 0`);
    const datatype = datatypeOfCode(code) ?? bad(`datatype code ${code} of tensor ${i} is unknown`);
    if (rank > MAX_RANK) bad(`tensor ${i} has ${rank} dimensions; at most ${MAX_RANK} are allowed`);
    at += TENSOR_BYTES;
    need(rank * 8 + pad8(nameBytes));
    const shape: number[] = [];
    for (let d = 0; d < rank; d++, at += 8) {
      const size = getU64(view, at);
      if (!Number.isSafeInteger(size)) bad(`dimension ${d} of tensor ${i} is negative or beyond 2^53`);
      shape.push(size);
    }
    const name = string(body.subarray(at, at + nameBytes), `the name of tensor ${i}`);
    at += pad8(nameBytes);
    if (dataAt + pad8(dataBytes) > body.byteLength) {
      bad(`tensor "${name}" announces ${dataBytes} bytes of data, more than the payload has left`);
    }
    tensors.push({ name, datatype, shape, data: body.subarray(dataAt, dataAt + dataBytes) });
    dataAt += pad8(dataBytes);
  }
  need(parameterBytes);
  if (at + pad8(parameterBytes) !== metaBytes)
    bad(`its meta has ${metaBytes} bytes, but its fields fill ${at + pad8(parameterBytes)}`);
  if (dataAt !== body.byteLength)
    bad(`its payload has ${body.byteLength - dataAt} bytes that belong to no tensor`);
  if (parameterBytes === 0) return { deadlineMs, tensors };
  return {
    deadlineMs,
    tensors,
    parameters: readParameters(string(body.subarray(at, at + parameterBytes), 'parameters')),
  };
}

function readParameters(json: string): RequestParameters {
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch (cause) {
    throw new ProtocolError(
      'BAD_MESSAGE',
      `parameters of a tensor message are not JSON: ${json.slice(0, 200)}`,
      { cause },
    );
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    return bad('parameters are not a JSON object');
  for (const [key, value] of Object.entries(parsed)) {
    if (!['string', 'number', 'boolean'].includes(typeof value)) {
      bad(`parameter "${key}" is neither a string, a number nor a boolean`);
    }
  }
  return parsed as RequestParameters;
}

function checkEncodable({ name, shape }: Tensor, nameBytes: number): void {
  if (nameBytes > 0xffff) throw new RangeError(`a tensor's name has ${nameBytes} bytes; at most 65535 fit`);
  if (shape.length > MAX_RANK)
    throw new RangeError(`tensor "${name}" has ${shape.length} dimensions; at most ${MAX_RANK} are allowed`);
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) {
      throw new RangeError(
        `tensor "${name}" has the shape [${shape.join(', ')}]; sizes are whole numbers from 0`,
      );
    }
  }
}

function string(bytes: Uint8Array, what: string): string {
  try {
    return text.decode(bytes);
  } catch (cause) {
    throw new ProtocolError('BAD_MESSAGE', `${what} is not UTF-8`, { cause });
  }
}

function setU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % U32, true);
  view.setUint32(at + 4, Math.floor(value / U32), true);
}

function getU64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * U32;
}

function bad(what: string): never {
  throw new ProtocolError('BAD_MESSAGE', `a tensor message is broken: ${what}`);
}
