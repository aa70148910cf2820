import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { WireError, WireReader, WireWriter, WIRE_BYTES, WIRE_VARINT } from './wire.js';

describe('reading', () => {
  test('a length past the end is refused before anything is taken', () => {
    const reader = new WireReader(Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]));
    reader.field();
    assert.throws(() => reader.view(), {
      name: 'WireError',
      message: /a length of 4294967295 where 0 bytes are left at byte 1/,
    });
  });

  test('a number that never ends is refused', () => {
    assert.throws(() => new WireReader(Buffer.alloc(20, 0xff)).uint32(), /more than ten bytes/);
    assert.throws(() => new WireReader(Buffer.alloc(3, 0xff)).uint32(), /ends inside a number/);
  });

  test('field number 0 is refused, not taken for the end', () => {
    assert.throws(() => new WireReader(Buffer.from([0x00, 0x00])).field(), /field number out of range/);
  });

  test('an embedded message cannot be read past its own end', () => {
    const reader = new WireReader(Buffer.from([0x0a, 0x01, 0x08, 0x05]));
    reader.field();
    reader.enter();
    assert.equal(reader.field(), 1);
    assert.throws(() => reader.uint32(), WireError);
  });

  test('groups of unknown fields are passed over, unless they nest without end', () => {
    const reader = new WireReader(Buffer.from([0x4b, 0x08, 0x01, 0x53, 0x54, 0x4c, 0x08, 0x07]));
    assert.equal(reader.field(), 9);
    reader.skip();
    assert.equal(reader.field(), 1);
    assert.equal(reader.uint32(), 7);
    const endless = new WireReader(Buffer.alloc(100_000, 0x4b));
    endless.field();
    assert.throws(() => endless.skip(), /groups nested deeper/);
    const open = new WireReader(Buffer.from([0x4b, 0x08, 0x01]));
    open.field();
    assert.throws(() => open.skip(), /ends inside a group/);
  });

  test('64-bit numbers come exactly or not at all', () => {
    const read = (value: bigint, signed: boolean) => {
      const bytes: number[] = [];
      let rest = BigInt.asUintN(64, value);
      for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
      bytes.push(Number(rest));
      const reader = new WireReader(Buffer.from(bytes));
      return signed ? reader.int64() : reader.uint64();
    };
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (value) => {
        if (Number.isSafeInteger(Number(value))) assert.equal(read(value, true), Number(value));
        else assert.throws(() => read(value, true), /beyond 2\^53/);
      }),
    );
    assert.equal(read(-1n, true), -1);
    assert.equal(read(2n ** 53n - 1n, false), Number.MAX_SAFE_INTEGER);
    assert.throws(() => read(2n ** 53n, false), /beyond 2\^53/);
  });

  test('byte fields are views, not copies', () => {
    const message = Buffer.from([0x0a, 0x02, 0x01, 0x02]);
    const reader = new WireReader(message);
    reader.field();
    const view = reader.view();
    message[2] = 9;
    assert.equal(view[0], 9);
  });
});

describe('writing', () => {
  test('embedded messages of any length keep their contents, whatever the first capacity', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 }),
        fc.integer({ min: 1, max: 64 }),
        (parts, capacity) => {
          const writer = new WireWriter(capacity);
          writer.message(3, () => writer.message(2, () => parts.forEach((part) => writer.bytesAt(1, part))));
          const reader = new WireReader(writer.finish());
          assert.equal(reader.field(), 3);
          const outer = reader.enter();
          assert.equal(reader.field(), 2);
          const inner = reader.enter();
          const read: Uint8Array[] = [];
          while (reader.field() !== 0) read.push(new Uint8Array(reader.view()));
          reader.leave(inner);
          reader.leave(outer);
          assert.equal(reader.field(), 0);
          assert.deepEqual(
            read,
            parts.map((part) => new Uint8Array(part)),
          );
        },
      ),
    );
  });

  test('whole numbers come back as they were, negative ones too', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), (value) => {
        const writer = new WireWriter(1);
        writer.int64At(1, value);
        const reader = new WireReader(writer.finish());
        assert.equal(reader.field(), 1);
        assert.equal(reader.wireType, WIRE_VARINT);
        assert.equal(reader.int64(), value === 0 ? 0 : value);
      }),
    );
  });

  test('text of any script comes back as it was', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1 }), (text) => {
        const writer = new WireWriter(1);
        writer.string(1, text);
        const reader = new WireReader(writer.finish());
        reader.field();
        assert.equal(reader.wireType, WIRE_BYTES);
        assert.equal(reader.string(), text);
      }),
    );
  });
});
