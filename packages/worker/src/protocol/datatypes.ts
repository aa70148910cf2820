/** Element types of tensors: their names, sizes and the codes that stand for them on the wire. */

export type Datatype =
  | 'BOOL'
  | 'UINT8'
  | 'UINT16'
  | 'UINT32'
  | 'UINT64'
  | 'INT8'
  | 'INT16'
  | 'INT32'
  | 'INT64'
  | 'FP16'
  | 'BF16'
  | 'FP32'
  | 'FP64'
  | 'BYTES';

/** Position = code on the wire; never reorder, only append. Code 0 is no datatype. */
export const DATATYPES: readonly Datatype[] = [
  'BOOL',
  'UINT8',
  'UINT16',
  'UINT32',
  'UINT64',
  'INT8',
  'INT16',
  'INT32',
  'INT64',
  'FP16',
  'BF16',
  'FP32',
  'FP64',
  'BYTES',
];

const SIZES: Record<Datatype, number> = {
  BOOL: 1,
  UINT8: 1,
  UINT16: 2,
  UINT32: 4,
  UINT64: 8,
  INT8: 1,
  INT16: 2,
  INT32: 4,
  INT64: 8,
  FP16: 2,
  BF16: 2,
  FP32: 4,
  FP64: 8,
  BYTES: 0,
};

const CODES = new Map<string, number>(DATATYPES.map((name, index) => [name, index + 1]));

/** Bytes of one element; 0 for BYTES, whose elements are each a u32 length (little-endian) and that many bytes. */
export function datatypeBytes(datatype: Datatype): number {
  return SIZES[datatype];
}

export function isDatatype(name: unknown): name is Datatype {
  return typeof name === 'string' && CODES.has(name);
}

/** 1 to 14. Throws a RangeError for a name that is no datatype. */
export function datatypeCode(datatype: Datatype): number {
  const code = CODES.get(datatype);
  if (code === undefined) {
    throw new RangeError(`"${String(datatype)}" is not a datatype; use one of ${DATATYPES.join(', ')}`);
  }
  return code;
}

export function datatypeOfCode(code: number): Datatype | undefined {
  return DATATYPES[code - 1];
}
