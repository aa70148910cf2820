/** Tensors of the protocol to tensors of ONNX Runtime and back; numbers are viewed, never copied or converted. */
import ort from 'onnxruntime-node';
import { elementCount, WorkerFault, type Datatype, type Tensor } from '../../protocol/index.js';

type Numbers = new (buffer: ArrayBufferLike, byteOffset: number, length: number) => ArrayBufferView;

const TYPES = {
  BOOL: ['bool', Uint8Array],
  UINT8: ['uint8', Uint8Array],
  UINT16: ['uint16', Uint16Array],
  UINT32: ['uint32', Uint32Array],
  UINT64: ['uint64', BigUint64Array],
  INT8: ['int8', Int8Array],
  INT16: ['int16', Int16Array],
  INT32: ['int32', Int32Array],
  INT64: ['int64', BigInt64Array],
  FP16: ['float16', Uint16Array],
  FP32: ['float32', Float32Array],
  FP64: ['float64', Float64Array],
} as const satisfies Partial<Record<Datatype, [ort.Tensor.Type, Numbers & { BYTES_PER_ELEMENT: number }]>>;

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** The data must be what datatype and shape say. */
export function toOrt({ name, datatype, shape, data }: Tensor): ort.Tensor {
  if (datatype === 'BYTES')
    return new ort.Tensor('string', readStrings(name, data, elementCount(shape)), shape);
  if (datatype === 'BF16')
    throw new WorkerFault('INVALID_ARGUMENT', `input "${name}": ONNX Runtime for Node has no BF16`);
  const [type, array] = TYPES[datatype];
  const size = array.BYTES_PER_ELEMENT;
  const aligned = data.byteOffset % size === 0 ? data : Uint8Array.from(data);
  const view = new (array as Numbers)(aligned.buffer, aligned.byteOffset, aligned.byteLength / size);
  // The constructor is typed per element type; the pairs above are those types.
  return new (
    ort.Tensor as unknown as new (type: string, data: ArrayBufferView, dims: number[]) => ort.Tensor
  )(type, view, shape);
}

export function fromOrt(name: string, datatype: Datatype, tensor: ort.Tensor): Tensor {
  const shape = [...tensor.dims];
  const { data } = tensor;
  if (Array.isArray(data)) return { name, datatype, shape, data: writeStrings(data) };
  return { name, datatype, shape, data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) };
}

function readStrings(name: string, data: Uint8Array, count: number): string[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const strings: string[] = [];
  for (let at = 0; strings.length < count;) {
    const length = view.getUint32(at, true);
    at += 4;
    try {
      strings.push(utf8.decode(data.subarray(at, at + length)));
    } catch (cause) {
      throw new WorkerFault('INVALID_ARGUMENT', `element ${strings.length} of input "${name}" is not UTF-8`, {
        cause,
      });
    }
    at += length;
  }
  return strings;
}

function writeStrings(strings: string[]): Uint8Array {
  const encoded = strings.map((text) => Buffer.from(text));
  const data = new Uint8Array(encoded.reduce((bytes, { length }) => bytes + 4 + length, 0));
  const view = new DataView(data.buffer);
  let at = 0;
  for (const bytes of encoded) {
    view.setUint32(at, bytes.length, true);
    data.set(bytes, at + 4);
    at += 4 + bytes.length;
  }
  return data;
}
