/** Tensors as both sides hold them, what a model says about its own, and whether one agrees with itself. */
import { datatypeBytes, type Datatype } from './datatypes.js';

/** `shape`: -1 = any size; it includes the batch dimension when the model's `maxBatchSize` is above 0. */
export interface TensorSpec {
  name: string;
  datatype: Datatype;
  shape: number[];
}

/**
 * `data`: little-endian, row-major, without gaps. BYTES elements are each a u32 length and that many bytes.
 * A decoded tensor's data is a view into the body of its frame: 8-aligned there, and valid for as long as it is held.
 */
export interface Tensor {
  name: string;
  datatype: Datatype;
  shape: number[];
  data: Uint8Array;
}

/** `maxBatchSize` 0: the model has no batch dimension and shapes are taken as they are. */
export interface ModelMetadata {
  platform: string;
  inputs: TensorSpec[];
  outputs: TensorSpec[];
  maxBatchSize: number;
  version?: string;
}

/** Bytes of data in these tensors, without names, shapes and padding. */
export function byteLength(tensors: readonly Tensor[]): number {
  let bytes = 0;
  for (const { data } of tensors) bytes += data.byteLength;
  return bytes;
}

/** Elements in a tensor of this shape; a scalar (no dimensions) has one. */
export function elementCount(shape: readonly number[]): number {
  let count = 1;
  for (const size of shape) count *= size;
  return count;
}

/** Why the data cannot be what the datatype and shape say, or undefined when they agree. */
export function tensorProblem({ name, datatype, shape, data }: Tensor): string | undefined {
  const elements = elementCount(shape);
  const label = `tensor "${name}" (${datatype} [${shape.join(', ')}])`;
  if (datatype !== 'BYTES') {
    const expected = elements * datatypeBytes(datatype);
    if (data.byteLength === expected) return undefined;
    return `${label} has ${data.byteLength} bytes of data; its shape needs ${expected}`;
  }
  const found = countBytesElements(data);
  if (found === undefined) {
    return `${label}: an element's length runs past the ${data.byteLength} bytes of data; each element is a u32 length and that many bytes`;
  }
  if (found === elements) return undefined;
  return `${label} has ${found} elements in its data; its shape needs ${elements}`;
}

/** Whether a shape is one of those a spec allows. */
export function shapeMatches(shape: readonly number[], spec: readonly number[]): boolean {
  return shape.length === spec.length && spec.every((size, i) => size === -1 || size === shape[i]);
}

function countBytesElements(data: Uint8Array): number | undefined {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let count = 0;
  for (let offset = 0; offset < data.byteLength; count++) {
    if (offset + 4 > data.byteLength) return undefined;
    offset += 4 + view.getUint32(offset, true);
    if (offset > data.byteLength) return undefined;
  }
  return count;
}
