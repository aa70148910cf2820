/** Reads one item of an input from a file: `.npy`, `.json` (nested lists of numbers), else raw elements. */
import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { BenchError } from '../bench-error.js';

/** Raw little-endian elements; the shape where the file knows it. */
export interface Item {
  shape: number[] | null;
  data: Uint8Array;
}

/** @throws BenchError BAD_INPUT_FILE */
export function readItem(file: string, datatype: string): Item {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw bad(file, `cannot be read: ${(error as Error).message}`, error);
  }
  switch (extname(file).toLowerCase()) {
    case '.npy':
      return fromNpy(file, bytes, datatype);
    case '.json':
      return fromJson(file, bytes, datatype);
    default:
      return { shape: null, data: bytes };
  }
}

function bad(file: string, what: string, cause?: unknown): BenchError {
  return new BenchError('BAD_INPUT_FILE', `${file} ${what}`, cause);
}

const npyDatatypes: Partial<Record<string, string>> = {
  '|b1': 'BOOL',
  '|u1': 'UINT8',
  '|i1': 'INT8',
  '<u2': 'UINT16',
  '<i2': 'INT16',
  '<u4': 'UINT32',
  '<i4': 'INT32',
  '<u8': 'UINT64',
  '<i8': 'INT64',
  '<f2': 'FP16',
  '<f4': 'FP32',
  '<f8': 'FP64',
};

/** Magic, version, length of the header, a Python dictionary as text, then the elements. */
function fromNpy(file: string, bytes: Buffer, datatype: string): Item {
  if (bytes.subarray(0, 6).toString('latin1') !== '\x93NUMPY' || bytes.length < 12) {
    throw bad(file, 'is not in numpy format: it does not begin with \\x93NUMPY');
  }
  const [headerStart, headerBytes] =
    bytes[6] === 1 ? [10, bytes.readUInt16LE(8)] : [12, bytes.readUInt32LE(8)];
  const header = bytes.subarray(headerStart, headerStart + headerBytes).toString('latin1');
  const written = /'descr':\s*'([^']+)'/.exec(header)?.[1] ?? '';
  const shape = /'shape':\s*\(([^)]*)\)/.exec(header)?.[1];
  if (shape === undefined || !header.includes("'fortran_order': False")) {
    throw bad(file, 'is not in row-major order; save numpy.ascontiguousarray(array)');
  }
  if (npyDatatypes[written] !== datatype) {
    const found = npyDatatypes[written] ?? `"${written}"`;
    throw bad(file, `holds ${found}, but the input is ${datatype}; convert it with array.astype(...)`);
  }
  const sizes = shape.split(',').map((size) => size.trim());
  return {
    shape: sizes.filter((size) => size !== '').map(Number),
    data: bytes.subarray(headerStart + headerBytes),
  };
}

type Nested = unknown[];

function fromJson(file: string, bytes: Buffer, datatype: string): Item {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw bad(file, `is not valid JSON: ${(error as Error).message}`, error);
  }
  if (!Array.isArray(value)) throw bad(file, 'must hold a list of numbers, nested as the shape says');
  const shape: number[] = [];
  for (let level: unknown = value; Array.isArray(level); level = (level as Nested)[0])
    shape.push(level.length);
  const elements = value.flat(Infinity) as unknown[];
  if (elements.length !== shape.reduce((product, size) => product * size, 1)) {
    throw bad(file, `is ragged: ${elements.length} elements do not make up [${shape.join(', ')}]`);
  }
  return { shape, data: packElements(file, elements, datatype) };
}

/** Undefined for datatypes that JSON numbers and strings cannot be put into. */
const writers: Partial<
  Record<string, [bytes: number, write: (view: DataView, at: number, value: number) => void]>
> = {
  BOOL: [1, (view, at, value) => view.setUint8(at, value)],
  UINT8: [1, (view, at, value) => view.setUint8(at, value)],
  INT8: [1, (view, at, value) => view.setInt8(at, value)],
  UINT16: [2, (view, at, value) => view.setUint16(at, value, true)],
  INT16: [2, (view, at, value) => view.setInt16(at, value, true)],
  UINT32: [4, (view, at, value) => view.setUint32(at, value, true)],
  INT32: [4, (view, at, value) => view.setInt32(at, value, true)],
  UINT64: [8, (view, at, value) => view.setBigUint64(at, BigInt(value), true)],
  INT64: [8, (view, at, value) => view.setBigInt64(at, BigInt(value), true)],
  FP32: [4, (view, at, value) => view.setFloat32(at, value, true)],
  FP64: [8, (view, at, value) => view.setFloat64(at, value, true)],
};

function packElements(file: string, elements: unknown[], datatype: string): Uint8Array {
  if (datatype === 'BYTES') return packTexts(file, elements);
  const writer = writers[datatype];
  if (!writer)
    throw bad(file, `cannot hold ${datatype}, which JSON has no numbers for; use a .npy or a raw file`);
  const [bytes, write] = writer;
  const view = new DataView(new ArrayBuffer(elements.length * bytes));
  const whole = !datatype.startsWith('FP');
  for (const [index, element] of elements.entries()) {
    const value = typeof element === 'boolean' ? Number(element) : element;
    if (typeof value !== 'number' || (whole && !Number.isSafeInteger(value))) {
      throw bad(file, `holds ${JSON.stringify(element)}, which is no ${datatype}`);
    }
    write(view, index * bytes, value);
  }
  return new Uint8Array(view.buffer);
}

function packTexts(file: string, elements: unknown[]): Uint8Array {
  return Buffer.concat(
    elements.flatMap((element) => {
      if (typeof element !== 'string') throw bad(file, `holds ${JSON.stringify(element)}, which is no text`);
      const text = Buffer.from(element, 'utf8');
      const length = Buffer.alloc(4);
      length.writeUInt32LE(text.length);
      return [length, text];
    }),
  );
}
