/** One message of every kind, with the corners that an implementation is most likely to get wrong. */
import type { HostMessage, Tensor, WorkerMessage } from '../protocol/index.js';

export type GoldenCase = { name: string } & (
  { from: 'host'; message: HostMessage } | { from: 'worker'; message: WorkerMessage }
);

/** Deterministic and not all alike. */
function bytes(count: number): Uint8Array {
  return Uint8Array.from({ length: count }, (_, i) => (i * 37 + 11) % 256);
}

function strings(...texts: string[]): Uint8Array {
  return Uint8Array.from(
    texts.flatMap((text) => {
      const encoded = Buffer.from(text);
      const length = Buffer.alloc(4);
      length.writeUInt32LE(encoded.length);
      return [...length, ...encoded];
    }),
  );
}

const floats: Tensor = {
  name: 'x',
  datatype: 'FP32',
  shape: [1, 3],
  data: new Uint8Array(Float32Array.of(1, -2.5, 0.1).buffer),
};

export const goldenCases: GoldenCase[] = [
  {
    name: 'host-hello',
    from: 'host',
    message: {
      type: 'hello',
      protocol: { min: 1, max: 1 },
      worker: 'echo/0',
      limits: { maxFrameBytes: 268_435_456, maxInFlight: 2, maxInFlightBytes: 536_870_912 },
      config: { greeting: 'grüezi', delay_ms: 0 },
    },
  },
  { name: 'host-infer', from: 'host', message: { type: 'infer', id: 7, deadlineMs: 1500, inputs: [floats] } },
  {
    name: 'host-infer-many',
    from: 'host',
    message: {
      type: 'infer',
      id: 0xffff_fffe,
      deadlineMs: 0,
      inputs: [
        {
          name: 'ids',
          datatype: 'INT64',
          shape: [1, 2],
          data: new Uint8Array(BigInt64Array.of(-1n, 1n << 40n).buffer),
        },
        { name: 'text', datatype: 'BYTES', shape: [3], data: strings('a', '', 'zwölf') },
        { name: 'mask', datatype: 'BOOL', shape: [3], data: Uint8Array.of(1, 0, 1) },
        {
          name: 'scalar',
          datatype: 'FP64',
          shape: [],
          data: new Uint8Array(Float64Array.of(Math.PI).buffer),
        },
        { name: 'nothing', datatype: 'FP16', shape: [0, 4], data: new Uint8Array(0) },
      ],
      parameters: { top_k: 5, threshold: 0.5, exact: true, language: 'de' },
    },
  },
  {
    name: 'host-infer-large',
    from: 'host',
    message: {
      type: 'infer',
      id: 8,
      deadlineMs: 20,
      inputs: [
        { name: 'image', datatype: 'UINT8', shape: [1, 61, 85], data: bytes(61 * 85) },
        { name: 'after', datatype: 'UINT16', shape: [1], data: Uint8Array.of(0x34, 0x12) },
      ],
    },
  },
  { name: 'host-cancel', from: 'host', message: { type: 'cancel', id: 7 } },
  { name: 'host-ping', from: 'host', message: { type: 'ping', id: 9 } },
  { name: 'host-shutdown', from: 'host', message: { type: 'shutdown', drainMs: 5000 } },
  {
    name: 'worker-hello',
    from: 'worker',
    message: { type: 'hello', protocol: 1, runtime: 'python 3.11', pid: 4242 },
  },
  {
    name: 'worker-progress',
    from: 'worker',
    message: { type: 'progress', stage: 'read', done: 1_048_576, total: 10_822_323, unit: 'bytes' },
  },
  {
    name: 'worker-ready',
    from: 'worker',
    message: {
      type: 'ready',
      model: {
        platform: 'echo',
        inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 3] }],
        outputs: [{ name: 'y', datatype: 'FP32', shape: [-1, 3] }],
        maxBatchSize: 8,
        version: '2',
      },
      device: 'cpu',
      notes: ['device cuda:0 is not available -- running on cpu'],
    },
  },
  {
    name: 'worker-result',
    from: 'worker',
    message: { type: 'result', id: 7, outputs: [{ ...floats, name: 'y' }], parameters: { tokens: 3 } },
  },
  { name: 'worker-result-empty', from: 'worker', message: { type: 'result', id: 1, outputs: [] } },
  {
    name: 'worker-error',
    from: 'worker',
    message: {
      type: 'error',
      id: 7,
      code: 'INVALID_ARGUMENT',
      message: 'input "x" must be FP32, not INT64',
      retryable: false,
    },
  },
  {
    name: 'worker-error-fatal',
    from: 'worker',
    message: {
      type: 'error',
      id: 0,
      code: 'MODEL_NOT_FOUND',
      message: 'there is no file m.onnx',
      retryable: false,
    },
  },
  {
    name: 'worker-pong',
    from: 'worker',
    message: { type: 'pong', id: 9, busy: true, completed: 12, inFlight: 1 },
  },
  {
    name: 'worker-stats',
    from: 'worker',
    message: { type: 'stats', rssBytes: 54_079_488, deviceBytes: { 'cuda:0': 1_073_741_824 } },
  },
  {
    name: 'worker-log',
    from: 'worker',
    message: { type: 'log', level: 'warn', message: 'slow kernel', fields: { milliseconds: 12.5 } },
  },
];
