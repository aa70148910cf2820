/**
 * The protobuf wire format: reading with every length checked before it is used, and writing.
 * Reading never copies: byte fields are views of the message.
 */

/** The bytes are not a message of the expected type. `offset` counts from the start of the message. */
export class WireError extends Error {
  override readonly name = 'WireError';
  readonly offset: number;

  constructor(problem: string, offset: number) {
    super(`${problem} at byte ${offset}`);
    this.offset = offset;
  }
}

export const WIRE_VARINT = 0;
export const WIRE_FIXED64 = 1;
export const WIRE_BYTES = 2;
const WIRE_GROUP_START = 3;
const WIRE_GROUP_END = 4;
export const WIRE_FIXED32 = 5;

/** Unknown groups nest; a message that nests deeper is refused before it exhausts the stack. */
const MAX_GROUP_DEPTH = 32;

export class WireReader {
  readonly bytes: Buffer;
  /** Next byte to read. */
  position: number;
  /** One past the last byte of the message being read. */
  end: number;
  /** Wire type of the field whose number `field()` returned last. */
  wireType = 0;
  /** Halves of the varint read last, unsigned. */
  #low = 0;
  #high = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = Buffer.isBuffer(bytes)
      ? bytes
      : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.position = 0;
    this.end = bytes.byteLength;
  }

  /** Number of the next field, or 0 at the end of the message. */
  field(): number {
    if (this.position >= this.end) return 0;
    const start = this.position;
    const tag = this.uint32();
    if (this.#high !== 0 || tag >>> 3 === 0) throw new WireError('field number out of range', start);
    this.wireType = tag & 7;
    return tag >>> 3;
  }

  /** Throws unless the field's wire type is the one its definition has. */
  expect(wireType: number): void {
    if (this.wireType !== wireType) {
      throw new WireError(`wire type ${this.wireType} where ${wireType} belongs`, this.position);
    }
  }

  /** Low 32 bits of a varint, unsigned. */
  uint32(): number {
    const byte = this.position < this.end ? this.bytes[this.position]! : 0x80;
    if (byte < 0x80) {
      this.position += 1;
      this.#low = byte;
      this.#high = 0;
    } else {
      this.#varint();
    }
    return this.#low;
  }

  /** Upper 32 bits of the varint that `uint32()` read, unsigned. */
  get high32(): number {
    return this.#high;
  }

  bool(): boolean {
    return (this.uint32() | this.#high) !== 0;
  }

  /** A signed 64-bit varint; throws where a number cannot hold it exactly. */
  int64(): number {
    const start = this.position;
    const low = this.uint32();
    return this.#exact((this.#high | 0) * 0x1_0000_0000 + low, start);
  }

  /** An unsigned 64-bit varint; throws where a number cannot hold it exactly. */
  uint64(): number {
    const start = this.position;
    const low = this.uint32();
    return this.#exact(this.#high * 0x1_0000_0000 + low, start);
  }

  double(): number {
    return this.bytes.readDoubleLE(this.#take(8));
  }

  string(): string {
    const length = this.length();
    const start = this.#take(length);
    return this.bytes.toString('utf8', start, start + length);
  }

  /** A view, not a copy. */
  view(): Buffer {
    const length = this.length();
    const start = this.#take(length);
    return this.bytes.subarray(start, start + length);
  }

  /** Length of a byte field, checked against what is left. */
  length(): number {
    const start = this.position;
    const length = this.uint32();
    if (this.#high !== 0 || length > this.end - this.position) {
      throw new WireError(
        `a length of ${this.#high * 0x1_0000_0000 + length} where ${this.end - this.position} bytes are left`,
        start,
      );
    }
    return length;
  }

  /** Narrows the reader to the embedded message that follows; hand what it returns to `leave()`. */
  enter(): number {
    this.expect(WIRE_BYTES);
    const outer = this.end;
    const length = this.length();
    this.end = this.position + length;
    return outer;
  }

  leave(outer: number): void {
    this.position = this.end;
    this.end = outer;
  }

  /** Passes over a field that is not known. */
  skip(): void {
    this.#skip(0);
  }

  #skip(depth: number): void {
    switch (this.wireType) {
      case WIRE_VARINT:
        this.uint32();
        return;
      case WIRE_FIXED64:
        this.#take(8);
        return;
      case WIRE_BYTES:
        this.#take(this.length());
        return;
      case WIRE_FIXED32:
        this.#take(4);
        return;
      case WIRE_GROUP_START:
        return this.#skipGroup(depth);
      default:
        throw new WireError(`wire type ${this.wireType} where a field belongs`, this.position);
    }
  }

  #skipGroup(depth: number): void {
    if (depth >= MAX_GROUP_DEPTH)
      throw new WireError(`groups nested deeper than ${MAX_GROUP_DEPTH}`, this.position);
    while (this.field() !== 0) {
      if (this.wireType === WIRE_GROUP_END) return;
      this.#skip(depth + 1);
    }
    throw new WireError('the message ends inside a group', this.position);
  }

  #varint(): void {
    const { bytes, end } = this;
    const start = this.position;
    let low = 0;
    let high = 0;
    for (let i = 0; i < 10; i += 1) {
      if (start + i >= end) throw new WireError('the message ends inside a number', start);
      const byte = bytes[start + i]!;
      const bits = byte & 0x7f;
      if (i < 4) low |= bits << (7 * i);
      else if (i === 4) {
        low |= bits << 28;
        high = bits >>> 4;
      } else high |= bits << (7 * i - 32);
      if (byte < 0x80) {
        this.position = start + i + 1;
        this.#low = low >>> 0;
        this.#high = high >>> 0;
        return;
      }
    }
    throw new WireError('a number of more than ten bytes', start);
  }

  #take(length: number): number {
    const start = this.position;
    if (length > this.end - start)
      throw new WireError(`${length} bytes wanted where ${this.end - start} are left`, start);
    this.position = start + length;
    return start;
  }

  #exact(value: number, start: number): number {
    if (!Number.isSafeInteger(value)) throw new WireError('a 64-bit number beyond 2^53', start);
    return value;
  }
}

/** Fields that hold their type's default are left out, as proto3 has it; use the `...At` forms to force one. */
export class WireWriter {
  #bytes: Buffer;
  #position = 0;

  /** `capacity` in bytes: a good guess saves copying. */
  constructor(capacity = 256) {
    this.#bytes = Buffer.allocUnsafe(capacity);
  }

  finish(): Buffer {
    return this.#bytes.subarray(0, this.#position);
  }

  bool(field: number, value: boolean): void {
    if (value) this.boolAt(field, value);
  }

  boolAt(field: number, value: boolean): void {
    this.#tag(field, WIRE_VARINT);
    this.#varint(value ? 1 : 0);
  }

  enumeration(field: number, value: number): void {
    if (value === 0) return;
    this.#tag(field, WIRE_VARINT);
    this.#varint(value);
  }

  int64At(field: number, value: number): void {
    this.#tag(field, WIRE_VARINT);
    this.#varint(value);
  }

  doubleAt(field: number, value: number): void {
    this.#tag(field, WIRE_FIXED64);
    this.#reserve(8);
    this.#position = this.#bytes.writeDoubleLE(value, this.#position);
  }

  string(field: number, value: string): void {
    if (value !== '') this.stringAt(field, value);
  }

  stringAt(field: number, value: string): void {
    this.#tag(field, WIRE_BYTES);
    const length = Buffer.byteLength(value);
    this.#varint(length);
    this.#reserve(length);
    this.#position += this.#bytes.write(value, this.#position, 'utf8');
  }

  bytesAt(field: number, value: Uint8Array): void {
    this.#tag(field, WIRE_BYTES);
    this.#varint(value.byteLength);
    this.#reserve(value.byteLength);
    this.#bytes.set(value, this.#position);
    this.#position += value.byteLength;
  }

  /** The start of a byte field whose bytes are put in elsewhere; returns where they belong. */
  bytesHeader(field: number, byteLength: number): number {
    this.#tag(field, WIRE_BYTES);
    this.#varint(byteLength);
    return this.#position;
  }

  packedInt64(field: number, values: readonly number[]): void {
    if (values.length > 0) this.message(field, () => values.forEach((value) => this.#varint(value)));
  }

  /** An embedded message: what `write` writes, with its length in front. */
  message(field: number, write: () => void): void {
    this.#tag(field, WIRE_BYTES);
    this.#reserve(1);
    this.#position += 1;
    const start = this.#position;
    write();
    const length = this.#position - start;
    const extra = varintBytes(length) - 1;
    // Before the position goes back: growing keeps only what lies before it.
    this.#reserve(10);
    if (extra > 0) {
      this.#bytes.copyWithin(start + extra, start, this.#position);
    }
    this.#position = start - 1;
    this.#varint(length);
    this.#position += length;
  }

  #tag(field: number, wireType: number): void {
    this.#varint(field * 8 + wireType);
  }

  /** `value`: a safe integer; a negative one takes ten bytes, as the format has it. */
  #varint(value: number): void {
    this.#reserve(10);
    if (value >= 0) {
      let rest = value;
      while (rest >= 0x80) {
        this.#bytes[this.#position++] = (rest % 0x80) | 0x80;
        rest = Math.floor(rest / 0x80);
      }
      this.#bytes[this.#position++] = rest;
      return;
    }
    let rest = BigInt.asUintN(64, BigInt(value));
    while (rest >= 0x80n) {
      this.#bytes[this.#position++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.#bytes[this.#position++] = Number(rest);
  }

  #reserve(bytes: number): void {
    const needed = this.#position + bytes;
    if (needed <= this.#bytes.byteLength) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, this.#bytes.byteLength * 2));
    this.#bytes.copy(larger, 0, 0, this.#position);
    this.#bytes = larger;
  }
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes += 1;
  return bytes;
}
