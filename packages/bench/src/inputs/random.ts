/** Seeded random tensors: the same seed gives the same bytes on every machine. */
import type { TensorMetadata } from '../client.js';

/** Numbers from 0 (included) to 2^32 (not included); mulberry32. */
export function randomSource(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
}

/**
 * Raw elements for a tensor without open sizes. Floating point: 0 to 1. UINT8 and INT8, which mostly are pictures:
 * every value. Wider integers, which mostly are ids and masks, and BOOL: 0 or 1, valid in every vocabulary. BYTES:
 * eight lower-case letters.
 */
export function randomElements({ name, datatype, shape }: TensorMetadata, random: () => number): Uint8Array {
  const count = shape.reduce((product, size) => product * size, 1);
  const fill = fillers[datatype];
  if (!fill) throw new RangeError(`input ${name} has the datatype ${datatype}, which is not known here`);
  const bytes = new Uint8Array(count * fill.bytes);
  const view = new DataView(bytes.buffer);
  for (let offset = 0; offset < bytes.length; offset += fill.bytes) fill.write(view, offset, random);
  return bytes;
}

interface Filler {
  /** Of one element. */
  bytes: number;
  write(view: DataView, offset: number, random: () => number): void;
}

const TWO_TO_32 = 2 ** 32;
const LETTERS = 8;

/** Little-endian: the low bit decides, the upper bytes stay zero. */
function zeroOrOne(bytes: number): Filler {
  return { bytes, write: (view, offset, random) => view.setUint8(offset, random() & 1) };
}

const anyByte: Filler = { bytes: 1, write: (view, offset, random) => view.setUint8(offset, random() & 0xff) };

const fillers: Partial<Record<string, Filler>> = {
  BOOL: zeroOrOne(1),
  UINT8: anyByte,
  INT8: anyByte,
  UINT16: zeroOrOne(2),
  INT16: zeroOrOne(2),
  UINT32: zeroOrOne(4),
  INT32: zeroOrOne(4),
  UINT64: zeroOrOne(8),
  INT64: zeroOrOne(8),
  // Exponents for the half from 0.5 to 1, the mantissa random: no conversion needed.
  FP16: { bytes: 2, write: (view, at, random) => view.setUint16(at, 0x3800 | (random() & 0x3ff), true) },
  BF16: { bytes: 2, write: (view, at, random) => view.setUint16(at, 0x3f00 | (random() & 0x7f), true) },
  FP32: { bytes: 4, write: (view, at, random) => view.setFloat32(at, (random() >>> 8) / 2 ** 24, true) },
  FP64: { bytes: 8, write: (view, at, random) => view.setFloat64(at, random() / TWO_TO_32, true) },
  BYTES: {
    bytes: 4 + LETTERS,
    write: (view, offset, random) => {
      view.setUint32(offset, LETTERS, true);
      for (let index = 0; index < LETTERS; index++) view.setUint8(offset + 4 + index, 97 + (random() % 26));
    },
  },
};
