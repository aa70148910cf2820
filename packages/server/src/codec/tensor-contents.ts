/**
 * `InferTensorContents`: a tensor's elements in the typed field of its datatype.
 *
 * Counted first and turned into raw bytes only when asked, so that a message is held against its model's
 * shapes before anything is allocated for it: one byte on the wire can be an eight-byte element.
 */
import { WIRE_BYTES, WIRE_FIXED32, WIRE_FIXED64, WIRE_VARINT, WireError, WireReader } from './wire.js';

export type ContentsField =
  | 'bool_contents'
  | 'int_contents'
  | 'int64_contents'
  | 'uint_contents'
  | 'uint64_contents'
  | 'fp32_contents'
  | 'fp64_contents'
  | 'bytes_contents';

export interface TensorContents {
  /** The fields that hold elements, in order of appearance; empty when there is no element. */
  fields: ContentsField[];
  /** Elements in all fields. */
  count: number;
  /** What `rawContents` will return, in bytes. */
  rawBytes: number;
  message: Buffer;
}

interface FieldLayout {
  name: ContentsField;
  wireType: number;
  /** Bytes of one raw element; 0 for BYTES, whose elements carry their length in four bytes. */
  elementBytes: number;
}

const LAYOUT: (FieldLayout | undefined)[] = [
  undefined,
  { name: 'bool_contents', wireType: WIRE_VARINT, elementBytes: 1 },
  { name: 'int_contents', wireType: WIRE_VARINT, elementBytes: 4 },
  { name: 'int64_contents', wireType: WIRE_VARINT, elementBytes: 8 },
  { name: 'uint_contents', wireType: WIRE_VARINT, elementBytes: 4 },
  { name: 'uint64_contents', wireType: WIRE_VARINT, elementBytes: 8 },
  { name: 'fp32_contents', wireType: WIRE_FIXED32, elementBytes: 4 },
  { name: 'fp64_contents', wireType: WIRE_FIXED64, elementBytes: 8 },
  { name: 'bytes_contents', wireType: WIRE_BYTES, elementBytes: 0 },
];

const LENGTH_PREFIX_BYTES = 4;

/** Checks and counts a whole contents message. Throws `WireError`. */
export function readContents(message: Buffer): TensorContents {
  const reader = new WireReader(message);
  const fields: ContentsField[] = [];
  let count = 0;
  let rawBytes = 0;
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    const layout = LAYOUT[field];
    if (!layout) {
      reader.skip();
      continue;
    }
    const before = reader.position;
    const elements = countElements(reader, layout);
    if (elements === 0) continue;
    count += elements;
    rawBytes +=
      layout.elementBytes > 0
        ? elements * layout.elementBytes
        : LENGTH_PREFIX_BYTES + bytesElement(reader, before);
    if (!fields.includes(layout.name)) fields.push(layout.name);
  }
  return { fields, count, rawBytes, message };
}

/**
 * The elements as raw little-endian bytes, each as wide as its field's type (so an INT8 of `int_contents`
 * is four bytes here). A view of the message where the wire already has that form.
 */
export function rawContents(contents: TensorContents): Uint8Array {
  const { message, rawBytes } = contents;
  if (rawBytes === 0) return new Uint8Array(0);
  const whole = wholeView(contents);
  if (whole) return whole;
  const raw = Buffer.allocUnsafe(rawBytes);
  const reader = new WireReader(message);
  let offset = 0;
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    const layout = LAYOUT[field];
    if (layout) offset = copyElements(reader, layout, raw, offset);
    else reader.skip();
  }
  return raw;
}

function countElements(reader: WireReader, layout: FieldLayout): number {
  if (layout.wireType === WIRE_BYTES) {
    reader.expect(WIRE_BYTES);
    reader.skip();
    return 1;
  }
  if (reader.wireType !== WIRE_BYTES) {
    reader.expect(layout.wireType);
    reader.skip();
    return 1;
  }
  const length = reader.length();
  const start = reader.position;
  reader.position = start + length;
  if (layout.wireType === WIRE_VARINT) return countVarints(reader.bytes, start, start + length);
  if (length % layout.elementBytes !== 0) {
    throw new WireError(
      `${length} bytes of ${layout.name}, whose elements are ${layout.elementBytes} bytes each,`,
      start,
    );
  }
  return length / layout.elementBytes;
}

function countVarints(bytes: Buffer, start: number, end: number): number {
  let count = 0;
  let from = start;
  for (let i = start; i < end; i += 1) {
    if (bytes[i]! >= 0x80) continue;
    if (i - from >= 10) throw new WireError('a number of more than ten bytes', from);
    from = i + 1;
    count += 1;
  }
  if (from !== end) throw new WireError('a list that ends inside a number', from);
  return count;
}

/** Length of the BYTES element that starts at `position`. */
function bytesElement(reader: WireReader, position: number): number {
  const after = reader.position;
  reader.position = position;
  const length = reader.length();
  reader.position = after;
  return length;
}

/** Floats in one packed run, the form that clients send, need no conversion. */
function wholeView({ fields, rawBytes, message }: TensorContents): Buffer | undefined {
  if (fields.length !== 1 || (fields[0] !== 'fp32_contents' && fields[0] !== 'fp64_contents'))
    return undefined;
  const reader = new WireReader(message);
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (LAYOUT[field]?.name !== fields[0] || reader.wireType !== WIRE_BYTES) {
      reader.skip();
      continue;
    }
    const run = reader.view();
    if (run.byteLength > 0) return run.byteLength === rawBytes ? run : undefined;
  }
  return undefined;
}

function copyElements(reader: WireReader, layout: FieldLayout, raw: Buffer, start: number): number {
  let offset = start;
  if (layout.wireType === WIRE_BYTES) {
    const element = reader.view();
    offset = raw.writeUInt32LE(element.byteLength, offset);
    raw.set(element, offset);
    return offset + element.byteLength;
  }
  if (layout.wireType !== WIRE_VARINT) {
    const isRun = reader.wireType === WIRE_BYTES;
    const length = isRun ? reader.length() : layout.elementBytes;
    raw.set(reader.bytes.subarray(reader.position, reader.position + length), offset);
    reader.position += length;
    return offset + length;
  }
  const outer = reader.wireType === WIRE_BYTES ? reader.enter() : undefined;
  do {
    if (outer !== undefined && reader.position === reader.end) break;
    const low = reader.uint32();
    if (layout.elementBytes === 1) {
      raw[offset] = (low | reader.high32) === 0 ? 0 : 1;
    } else {
      raw.writeUInt32LE(low, offset);
      if (layout.elementBytes === 8) raw.writeUInt32LE(reader.high32, offset + 4);
    }
    offset += layout.elementBytes;
  } while (outer !== undefined);
  if (outer !== undefined) reader.leave(outer);
  return offset;
}
