import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  byteLength,
  DATATYPES,
  datatypeBytes,
  encodeHostMessage,
  encodeWorkerMessage,
  FrameDecoder,
  ProtocolError,
  tensorProblem,
  type HostMessage,
  type Tensor,
  type WorkerMessage,
} from './index.js';

const LIMIT = 1 << 20;
const limits = { maxFrameBytes: LIMIT };

const tensor: fc.Arbitrary<Tensor> = fc.record({
  name: fc.string({ unit: 'grapheme', maxLength: 40 }),
  datatype: fc.constantFrom(...DATATYPES),
  shape: fc.array(fc.nat({ max: 2 ** 40 }), { maxLength: 5 }),
  data: fc.uint8Array({ maxLength: 6000 }),
});
const parameters = fc.dictionary(
  fc.string(),
  fc.oneof(
    fc.string(),
    fc.boolean(),
    fc.double({ noNaN: true, noDefaultInfinity: true }).filter((n) => !Object.is(n, -0)),
  ),
  { minKeys: 1, maxKeys: 4, noNullPrototype: true },
);
const id = fc.integer({ min: 1, max: 2 ** 32 - 1 });

const hostMessage: fc.Arbitrary<HostMessage> = fc.oneof(
  fc.record(
    {
      type: fc.constant('infer' as const),
      id,
      deadlineMs: fc.nat({ max: 2 ** 31 }),
      inputs: fc.array(tensor, { maxLength: 4 }),
      parameters,
    },
    { requiredKeys: ['type', 'id', 'deadlineMs', 'inputs'], noNullPrototype: true },
  ),
  fc.record({ type: fc.constantFrom('cancel' as const, 'ping' as const), id }, { noNullPrototype: true }),
  fc.record({ type: fc.constant('shutdown' as const), drainMs: fc.nat() }, { noNullPrototype: true }),
);

/** The chunks of a byte sequence cut at these places. */
function cut(bytes: Uint8Array, places: number[]): Uint8Array[] {
  const at = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].map((from, i) => bytes.subarray(from, at[i] ?? bytes.length));
}

test('messages survive any chunking', () => {
  fc.assert(
    fc.property(
      fc.array(hostMessage, { minLength: 1, maxLength: 4 }),
      fc.array(fc.nat(), { maxLength: 20 }),
      (messages, places) => {
        const bytes = Buffer.concat(messages.flatMap(encodeHostMessage));
        const decoder = new FrameDecoder<HostMessage>('worker', limits);
        const decoded = cut(bytes, places).flatMap((chunk) => decoder.push(chunk));
        decoder.end();
        assert.deepEqual(decoded, messages.map(withPlainData));
      },
    ),
    { numRuns: 200 },
  );
});

test('messages survive one byte at a time', () => {
  fc.assert(
    fc.property(fc.array(hostMessage, { minLength: 1, maxLength: 2 }), (messages) => {
      const bytes = Buffer.concat(messages.flatMap(encodeHostMessage));
      const decoder = new FrameDecoder<HostMessage>('worker', limits);
      const decoded: HostMessage[] = [];
      for (let i = 0; i < bytes.length; i++) decoded.push(...decoder.push(bytes.subarray(i, i + 1)));
      assert.deepEqual(decoded, messages.map(withPlainData));
    }),
    { numRuns: 20 },
  );
});

test('corruption is a ProtocolError or another message, never anything else, and nothing above the limit is allocated', () => {
  fc.assert(
    fc.property(
      hostMessage,
      fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 8 }),
      (message, flips) => {
        const bytes = Buffer.concat(encodeHostMessage(message));
        for (const [place, value] of flips) bytes[place % bytes.length] = value;
        const decoder = new FrameDecoder<HostMessage>('worker', limits);
        try {
          for (const decoded of decoder.push(bytes)) {
            if (decoded.type === 'infer') assert.ok(byteLength(decoded.inputs) < LIMIT);
          }
          decoder.end();
        } catch (error) {
          assert.ok(error instanceof ProtocolError, `expected a ProtocolError, got ${String(error)}`);
        }
      },
    ),
    { numRuns: 1000 },
  );
});

test('random bytes are refused or waited on', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const decoder = new FrameDecoder<WorkerMessage>('host', limits);
      try {
        assert.deepEqual(decoder.push(bytes), []);
      } catch (error) {
        assert.ok(error instanceof ProtocolError);
      }
    }),
  );
});

test('tensors are 8-aligned views into one buffer of their own', () => {
  const inputs: Tensor[] = [5, 0, 5000, 3].map((length, i) => ({
    name: `t${i}`,
    datatype: 'UINT8',
    shape: [length],
    data: new Uint8Array(length).fill(i + 1),
  }));
  const bytes = Buffer.concat(encodeHostMessage({ type: 'infer', id: 1, deadlineMs: 0, inputs }));
  const [message] = new FrameDecoder<HostMessage>('worker', limits).push(bytes);
  assert.ok(message?.type === 'infer');
  const buffers = new Set(message.inputs.map(({ data }) => data.buffer));
  assert.equal(buffers.size, 1);
  for (const { data } of message.inputs) assert.equal(data.byteOffset % 8, 0);
  assert.ok([...buffers].every((buffer) => buffer.byteLength < bytes.length && buffer !== bytes.buffer));
});

test('large tensor data is passed on, not copied', () => {
  const data = new Uint8Array(10_000);
  const frame = encodeHostMessage({
    type: 'infer',
    id: 1,
    deadlineMs: 0,
    inputs: [{ name: 'x', datatype: 'UINT8', shape: [10_000], data }],
  });
  assert.ok(frame.includes(data));
});

test('text on the stream is refused at its first byte, and shown', () => {
  const decoder = new FrameDecoder<WorkerMessage>('host', limits);
  assert.throws(
    () => decoder.push(Buffer.from('Loading "model"...\n\u0007')),
    (error) =>
      error instanceof ProtocolError &&
      error.code === 'BAD_MAGIC' &&
      error.message.includes('Loading \\"model\\"...\\n\\x07'),
  );
  assert.throws(() => decoder.push(Buffer.from('S')), { code: 'BAD_MAGIC' });
});

test('text that begins like a frame is shown whole, whatever the chunks', () => {
  const decoder = new FrameDecoder<WorkerMessage>('host', limits);
  assert.deepEqual(decoder.push(Buffer.from('SV')), []);
  assert.throws(() => decoder.push(Buffer.from('G icons loaded')), /"SVG icons loaded"/);
});

test('no more than 200 bytes of it are shown', () => {
  const decoder = new FrameDecoder<WorkerMessage>('host', limits);
  assert.throws(
    () => decoder.push(Buffer.alloc(60_000, 'x')),
    (error) =>
      error instanceof ProtocolError &&
      error.message.includes('x'.repeat(200)) &&
      !error.message.includes('x'.repeat(201)),
  );
});

test('whole messages in front of garbage are not lost', () => {
  const decoder = new FrameDecoder<WorkerMessage>('host', limits);
  const last = { type: 'error', id: 0, code: 'INTERNAL', message: 'dying', retryable: false } as const;
  const bytes = Buffer.concat([
    ...encodeWorkerMessage(last),
    Buffer.from('Traceback (most recent call last)'),
  ]);
  assert.deepEqual(decoder.push(bytes), [last]);
  assert.equal(decoder.failure?.code, 'BAD_MAGIC');
  assert.throws(() => decoder.end(), /Traceback/);
});

test('a frame above the limit is refused by its header alone', () => {
  const header = Buffer.alloc(24);
  header.write('SVW1');
  header[4] = 0x84;
  header.writeUInt32LE(1, 8);
  header.writeUInt32LE(16, 12);
  header.writeBigUInt64LE(2n ** 63n, 16);
  const decoder = new FrameDecoder<WorkerMessage>('host', limits);
  assert.throws(() => decoder.push(header), {
    code: 'FRAME_TOO_LARGE',
    message: /1048576 \(max_frame_bytes\)/,
  });
});

test('control messages hold no payload and little JSON', () => {
  const header = Buffer.from(Buffer.concat(encodeHostMessage({ type: 'ping', id: 1 })));
  header.writeUInt32LE(8, 16);
  assert.throws(() => new FrameDecoder('worker', limits).push(header), { code: 'BAD_HEADER' });
  const large = Buffer.from(Buffer.concat(encodeHostMessage({ type: 'ping', id: 1 })));
  large.writeUInt32LE(2 << 20, 12);
  assert.throws(() => new FrameDecoder('worker', { maxFrameBytes: 8 << 20 }).push(large), {
    code: 'BAD_HEADER',
  });
});

test('one side does not take its own messages', () => {
  const frame = Buffer.concat(encodeHostMessage({ type: 'ping', id: 1 }));
  assert.throws(() => new FrameDecoder('host', limits).push(frame), {
    code: 'BAD_HEADER',
    message: /0x4 is not .* a worker sends/,
  });
});

test('the end of input between frames is fine and inside of one is not', () => {
  const frame = Buffer.concat(encodeHostMessage({ type: 'shutdown', drainMs: 5 }));
  for (let length = 0; length <= frame.length; length++) {
    const decoder = new FrameDecoder<HostMessage>('worker', limits);
    decoder.push(frame.subarray(0, length));
    if (length === 0 || length === frame.length) decoder.end();
    else
      assert.throws(() => decoder.end(), { code: 'EOF_IN_FRAME', message: new RegExp(`after ${length} of`) });
  }
});

test('a field of the wrong type is named, with what was found', () => {
  const frame = Buffer.concat(
    encodeWorkerMessage({ type: 'hello', protocol: '1' as never, runtime: 'x', pid: 1 }),
  );
  assert.throws(() => new FrameDecoder('host', limits).push(frame), {
    code: 'BAD_MESSAGE',
    message: '"protocol" of hello must be a whole number from 0, found "1"',
  });
});

test('unknown keys are ignored', () => {
  const message = { type: 'stats', rssBytes: 1, deviceBytes: {} } as const;
  const json = Buffer.from('{"rss_bytes":1,"device_bytes":{},"fans":3}  ');
  const frame = Buffer.alloc(24 + Math.ceil(json.length / 8) * 8);
  Buffer.concat(encodeWorkerMessage(message)).copy(frame, 0, 0, 24);
  frame.writeUInt32LE(json.length, 12);
  json.copy(frame, 24);
  assert.deepEqual(new FrameDecoder<WorkerMessage>('host', limits).push(frame), [message]);
});

test('a tensor that cannot be encoded says why', () => {
  const bad = (change: Partial<Tensor>) => () =>
    encodeHostMessage({
      type: 'infer',
      id: 1,
      deadlineMs: 0,
      inputs: [{ name: 'x', datatype: 'UINT8', shape: [1], data: new Uint8Array(1), ...change }],
    });
  assert.throws(bad({ shape: [-1] }), /"x" has the shape \[-1\]/);
  assert.throws(bad({ shape: [0.5] }), /\[0.5\]/);
  assert.throws(bad({ shape: new Array<number>(65).fill(1) }), /65 dimensions/);
  assert.throws(bad({ datatype: 'FLOAT' as never }), /"FLOAT" is not a datatype/);
  assert.throws(bad({ name: 'x'.repeat(70_000) }), /70000 bytes/);
});

test('a tensor whose data is not what its shape says is described', () => {
  const of = (datatype: Tensor['datatype'], shape: number[], data: number[]) =>
    tensorProblem({ name: 'x', datatype, shape, data: Uint8Array.from(data) });
  assert.equal(of('FP32', [1, 2], [0, 0, 0, 0, 0, 0, 0, 0]), undefined);
  assert.equal(
    of('FP32', [2, 2], [0, 0, 0, 0]),
    'tensor "x" (FP32 [2, 2]) has 4 bytes of data; its shape needs 16',
  );
  assert.equal(of('BYTES', [2], [0, 0, 0, 0, 1, 0, 0, 0, 65]), undefined);
  assert.match(
    of('BYTES', [1], [0, 0, 0, 0, 1, 0, 0, 0, 65]) ?? '',
    /has 2 elements in its data; its shape needs 1/,
  );
  assert.match(of('BYTES', [1], [255, 255, 255, 255, 1]) ?? '', /runs past the 5 bytes/);
  assert.match(of('BYTES', [1], [1, 0]) ?? '', /runs past the 2 bytes/);
});

test('every datatype has a size', () => {
  assert.deepEqual(DATATYPES.map(datatypeBytes), [1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 2, 4, 8, 0]);
});

function withPlainData(message: HostMessage): HostMessage {
  if (message.type !== 'infer') return message;
  return {
    ...message,
    inputs: message.inputs.map((input) => ({ ...input, data: Uint8Array.from(input.data) })),
  };
}
