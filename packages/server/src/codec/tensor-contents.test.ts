import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeMessage } from '../testing/messages.js';
import { rawContents, readContents, type ContentsField } from './tensor-contents.js';
import { WireError } from './wire.js';

const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const uint32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const uint64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const bytes = fc.uint8Array({ maxLength: 20 }).map((array) => Buffer.from(array));

interface Case {
  field: ContentsField;
  /** What protobufjs is given, and the raw bytes that must come of it. */
  values: fc.Arbitrary<{ given: unknown[]; raw: Buffer }>;
}

const CASES: Case[] = [
  numbers('bool_contents', fc.boolean(), (values) => Buffer.from(values.map(Number))),
  numbers('int_contents', int32, (values) => Buffer.from(Int32Array.from(values).buffer)),
  numbers('uint_contents', uint32, (values) => Buffer.from(Uint32Array.from(values).buffer)),
  numbers('int64_contents', int64, (values) => Buffer.from(BigInt64Array.from(values).buffer)),
  numbers('uint64_contents', uint64, (values) => Buffer.from(BigUint64Array.from(values).buffer)),
  numbers('fp32_contents', fc.float({ noNaN: true }), (values) =>
    Buffer.from(Float32Array.from(values).buffer),
  ),
  numbers('fp64_contents', fc.double({ noNaN: true }), (values) =>
    Buffer.from(Float64Array.from(values).buffer),
  ),
  numbers('bytes_contents', bytes, (values) =>
    Buffer.concat(values.flatMap((value) => [Buffer.from(Uint32Array.of(value.byteLength).buffer), value])),
  ),
];

for (const { field, values } of CASES) {
  test(`${field}: raw bytes of what protobufjs writes`, () => {
    fc.assert(
      fc.property(values, ({ given, raw }) => {
        const message = encodeMessage('inference.InferTensorContents', { [field]: given });
        const contents = readContents(message);
        assert.equal(contents.count, given.length);
        assert.equal(contents.rawBytes, raw.byteLength);
        assert.deepEqual(contents.fields, given.length > 0 ? [field] : []);
        assert.deepEqual(Buffer.from(rawContents(contents)), raw);
      }),
    );
  });
}

test('lists in several runs, packed and not, make one tensor', () => {
  // fp32_contents: packed [0, 0], then a single 1, then packed []
  const one = Buffer.from(Float32Array.of(1).buffer);
  const message = Buffer.concat([
    Buffer.from([0x32, 8]),
    Buffer.alloc(8),
    Buffer.from([0x35]),
    one,
    Buffer.from([0x32, 0]),
  ]);
  const contents = readContents(message);
  assert.equal(contents.count, 3);
  assert.deepEqual(Buffer.from(rawContents(contents)), Buffer.concat([Buffer.alloc(8), one]));
  // int_contents: 5, then packed [6, -1]
  const mixed = Buffer.from([
    0x10, 5, 0x12, 11, 6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
  ]);
  assert.deepEqual(
    Buffer.from(rawContents(readContents(mixed))),
    Buffer.from(Int32Array.of(5, 6, -1).buffer),
  );
});

test('packed floats are a view of the message', () => {
  const message = encodeMessage('inference.InferTensorContents', { fp32_contents: [1, 2, 3] });
  assert.equal(rawContents(readContents(message)).buffer, message.buffer);
});

test('two fields with elements are both named', () => {
  const message = encodeMessage('inference.InferTensorContents', { int_contents: [1], fp64_contents: [1] });
  assert.deepEqual(readContents(message).fields, ['int_contents', 'fp64_contents']);
});

test('lists cut inside an element are refused', () => {
  assert.throws(() => readContents(Buffer.from([0x32, 3, 0, 0, 0])), /3 bytes of fp32_contents/);
  assert.throws(() => readContents(Buffer.from([0x12, 1, 0x80])), /ends inside a number/);
  assert.throws(
    () => readContents(Buffer.from([0x12, 12, ...Buffer.alloc(11, 0x80), 0])),
    /more than ten bytes/,
  );
});

test('millions of empty elements cost no more than their raw bytes', () => {
  const message = Buffer.alloc(4_000_000, Buffer.from([0x42, 0]));
  const contents = readContents(message);
  assert.equal(contents.count, 2_000_000);
  assert.equal(contents.rawBytes, 8_000_000);
});

test('random bytes: what is counted can be made raw, everything else is refused', () => {
  const start = fc.constantFrom(0x08, 0x0a, 0x10, 0x12, 0x1a, 0x22, 0x2a, 0x32, 0x35, 0x3a, 0x39, 0x42);
  fc.assert(
    fc.property(start, fc.uint8Array({ maxLength: 100 }), (first, rest) => {
      let contents;
      try {
        contents = readContents(Buffer.from([first, ...rest]));
      } catch (error) {
        assert.ok(error instanceof WireError, String(error));
        return;
      }
      assert.equal(rawContents(contents).byteLength, contents.rawBytes);
    }),
    { numRuns: 5000 },
  );
});

function numbers<T>(field: ContentsField, element: fc.Arbitrary<T>, toRaw: (values: T[]) => Buffer): Case {
  const given = (value: T): unknown => (typeof value === 'bigint' ? String(value) : value);
  const values = fc.array(element, { maxLength: 40 });
  return { field, values: values.map((list) => ({ given: list.map(given), raw: toRaw(list) })) };
}
