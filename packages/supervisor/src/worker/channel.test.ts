import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { PassThrough, Writable } from 'node:stream';
import { mock, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  encodeWorkerMessage,
  FrameDecoder,
  ProtocolError,
  type HostMessage,
  type ProtocolLimits,
  type Tensor,
  type WorkerMessage,
} from '@supervisor/worker/protocol';
import { WorkerChannel, WorkerFault } from './channel.js';

const defaults: ProtocolLimits = { maxFrameBytes: 1 << 20, maxInFlight: 2, maxInFlightBytes: 1 << 20 };
const metadata = { platform: 'test', inputs: [], outputs: [], maxBatchSize: 0 };
const hello: WorkerMessage = { type: 'hello', protocol: 1, runtime: 'test', pid: 1 };
const ready: WorkerMessage = { type: 'ready', model: metadata, device: 'cpu' };
const none = { deadlineMs: 0 };

/** A worker played by the test: what the channel writes is decoded, what the test says is encoded. */
class PlayedWorker {
  readonly heard: HostMessage[] = [];
  readonly writes: number[] = [];
  readonly stdin: Writable;
  readonly stdout = new PassThrough();
  readonly channel: WorkerChannel;
  readonly closed: (Error | undefined)[] = [];
  readonly events: string[] = [];

  constructor(limits: Partial<ProtocolLimits> = {}, stdin?: Writable) {
    const decoder = new FrameDecoder<HostMessage>('worker', defaults);
    this.stdin =
      stdin ??
      new Writable({
        writev: (chunks, done) => {
          this.writes.push(chunks.length);
          for (const { chunk } of chunks) this.heard.push(...decoder.push(chunk as Buffer));
          done();
        },
      });
    this.channel = new WorkerChannel({
      worker: 'm/0',
      stdin: this.stdin,
      stdout: this.stdout,
      limits: { ...defaults, ...limits },
      config: { backend: 'test' },
    });
    this.channel.onHello = () => this.events.push('hello');
    this.channel.onReady = () => this.events.push('ready');
    this.channel.onProgress = ({ stage, done }) => this.events.push(`progress ${stage} ${done}`);
    this.channel.onStats = ({ rssBytes }) => this.events.push(`stats ${rssBytes}`);
    this.channel.onLog = ({ level, message }) => this.events.push(`${level} ${message}`);
    this.channel.onFatal = ({ code, message }) => this.events.push(`fatal ${code} ${message}`);
    this.channel.onClosed = (error) => this.closed.push(error);
  }

  static async ready(limits: Partial<ProtocolLimits> = {}): Promise<PlayedWorker> {
    const worker = new PlayedWorker(limits);
    await worker.say(hello, ready);
    return worker;
  }

  async say(...messages: WorkerMessage[]): Promise<void> {
    this.stdout.write(Buffer.concat(messages.flatMap(encodeWorkerMessage)));
    await turn();
  }

  async result(id: number, outputs: Tensor[] = []): Promise<void> {
    await this.say({ type: 'result', id, outputs });
  }

  /** Ids of the requests that arrived. */
  get requests(): number[] {
    return this.heard.flatMap((message) => (message.type === 'infer' ? [message.id] : []));
  }

  get cancels(): number[] {
    return this.heard.flatMap((message) => (message.type === 'cancel' ? [message.id] : []));
  }
}

/** Lets everything that is due happen: ticks, promises, stream events. */
async function turn(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
}

function bytesTensor(length: number): Tensor {
  return { name: 'x', datatype: 'UINT8', shape: [length], data: new Uint8Array(length) };
}

function fault(code: string, message?: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof WorkerFault, String(error));
    assert.equal(error.code, code);
    if (message) assert.match(error.message, message);
    return true;
  };
}

test('hello goes out first, and what the worker says is passed on', async () => {
  const worker = await PlayedWorker.ready();
  assert.deepEqual(worker.heard, [
    {
      type: 'hello',
      protocol: { min: 1, max: 1 },
      worker: 'm/0',
      limits: defaults,
      config: { backend: 'test' },
    },
  ]);
  await worker.say(
    { type: 'progress', stage: 'read', done: 3, total: 9, unit: 'bytes' },
    { type: 'stats', rssBytes: 5, deviceBytes: {} },
    { type: 'log', level: 'warn', message: 'slow' },
    { type: 'error', id: 0, code: 'INTERNAL', message: 'dying', retryable: false },
  );
  assert.deepEqual(worker.events, [
    'hello',
    'ready',
    'progress read 3',
    'stats 5',
    'warn slow',
    'fatal INTERNAL dying',
  ]);
  worker.channel.close();
});

test('answers find their requests, in whatever order they come', async () => {
  const worker = await PlayedWorker.ready();
  const first = worker.channel.infer([bytesTensor(1)], { ...none, parameters: { a: 1 } });
  const second = worker.channel.infer([bytesTensor(2)], none);
  await turn();
  const [a = 0, b = 0] = worker.requests;
  assert.equal(worker.channel.inFlight, 2);
  assert.equal(worker.channel.inFlightBytes, 3);
  const refused = assert.rejects(second, fault('INVALID_ARGUMENT', /^no$/));
  await worker.say(
    { type: 'error', id: b, code: 'INVALID_ARGUMENT', message: 'no', retryable: false },
    { type: 'result', id: a, outputs: [bytesTensor(1)], parameters: { b: 2 } },
  );
  assert.deepEqual(await first, { outputs: [bytesTensor(1)], parameters: { b: 2 } });
  await refused;
  assert.deepEqual([worker.channel.inFlight, worker.channel.inFlightBytes], [0, 0]);
  worker.channel.close();
});

test('frames of one turn leave in one write', async () => {
  const worker = await PlayedWorker.ready({ maxInFlight: 100 });
  worker.writes.length = 0;
  const answers = Array.from({ length: 50 }, () => worker.channel.infer([], none));
  await turn();
  assert.deepEqual(worker.writes, [50]);
  worker.channel.close();
  await Promise.allSettled(answers);
});

test('no more requests than agreed are with the worker; the others wait their turn', async () => {
  const worker = await PlayedWorker.ready({ maxInFlight: 2 });
  const answers = [1, 2, 3, 4].map(() => worker.channel.infer([], none));
  await turn();
  assert.equal(worker.requests.length, 2);
  assert.equal(worker.channel.inFlight, 4);
  for (let i = 0; i < 4; i++) await worker.result(worker.requests[i] ?? 0);
  await Promise.all(answers);
  worker.channel.close();
});

test('no more bytes than agreed are with the worker, but a large request goes alone', async () => {
  const worker = await PlayedWorker.ready({ maxInFlight: 10, maxInFlightBytes: 1000 });
  const answers = [600, 600, 5000, 1].map((length) => worker.channel.infer([bytesTensor(length)], none));
  await turn();
  const seen: number[] = [];
  for (let i = 0; i < 4; i++) {
    seen.push(worker.requests.length);
    await worker.result(worker.requests[i] ?? 0);
  }
  assert.deepEqual(seen, [1, 2, 3, 4]);
  await Promise.all(answers);
  worker.channel.close();
});

test('a full pipe holds requests back', async () => {
  let take: () => void = () => {};
  let writes = 0;
  const stdin = new Writable({
    highWaterMark: 2000,
    writev: (_chunks, done) => {
      writes++;
      take = done;
    },
  });
  const worker = new PlayedWorker({ maxInFlight: 10 }, stdin);
  await worker.say(hello, ready);
  take();
  await turn();
  const answers = [1, 2, 3].map(() => worker.channel.infer([bytesTensor(5000)], none));
  await turn();
  assert.equal(writes, 2, 'hello, and the first request');
  take();
  await turn();
  assert.equal(writes, 3);
  worker.channel.close();
  for (const answer of answers) await assert.rejects(answer, fault('UNAVAILABLE'));
});

test('abort: cancel goes to the worker, CANCELLED to the caller, and the late answer is dropped', async () => {
  const worker = await PlayedWorker.ready({ maxInFlight: 1 });
  const controller = new AbortController();
  const sent = worker.channel.infer([], { ...none, signal: controller.signal });
  const waiting = worker.channel.infer([], { ...none, signal: controller.signal });
  await turn();
  controller.abort();
  for (const answer of [sent, waiting]) await assert.rejects(answer, fault('CANCELLED'));
  await turn();
  assert.deepEqual(worker.cancels, worker.requests, 'only what was sent is cancelled');
  assert.equal(worker.channel.inFlight, 1, 'the worker still owes an answer');
  const next = worker.channel.infer([], none);
  await worker.result(worker.requests[0] ?? 0);
  assert.ok(worker.events.includes(`debug late answer to request ${worker.requests[0]} dropped`));
  await worker.result(worker.requests[1] ?? 0);
  await next;
  await assert.rejects(worker.channel.infer([], { ...none, signal: controller.signal }), fault('CANCELLED'));
  worker.channel.close();
});

test('deadline: cancel goes to the worker, DEADLINE_EXCEEDED to the caller', async (t) => {
  const worker = await PlayedWorker.ready({ maxInFlight: 1 });
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const sent = worker.channel.infer([], { deadlineMs: 50 });
  const waiting = worker.channel.infer([], { deadlineMs: 60 });
  await turn();
  const request = worker.heard.find((message) => message.type === 'infer');
  assert.ok(request?.deadlineMs && request.deadlineMs > 0 && request.deadlineMs <= 50);
  t.mock.timers.tick(50);
  await assert.rejects(sent, fault('DEADLINE_EXCEEDED', /m\/0 did not answer within 50 ms/));
  t.mock.timers.tick(10);
  await assert.rejects(waiting, fault('DEADLINE_EXCEEDED'));
  await turn();
  assert.deepEqual(worker.cancels, worker.requests);
  worker.channel.close();
});

test('an answered request leaves no timer and no listener behind', async () => {
  const worker = await PlayedWorker.ready();
  const controller = new AbortController();
  const remove = mock.method(controller.signal, 'removeEventListener');
  const clear = mock.method(globalThis, 'clearTimeout');
  const answer = worker.channel.infer([], { deadlineMs: 60_000, signal: controller.signal });
  await turn();
  await worker.result(worker.requests[0] ?? 0);
  await answer;
  assert.equal(remove.mock.callCount(), 1);
  assert.equal(clear.mock.callCount(), 1);
  clear.mock.restore();
  controller.abort();
  await turn();
  assert.deepEqual(worker.cancels, []);
  worker.channel.close();
});

test('close settles everything exactly once, whatever its state, and again does nothing', async () => {
  const worker = await PlayedWorker.ready({ maxInFlight: 1 });
  const pending = [
    worker.channel.infer([], none),
    worker.channel.infer([], { deadlineMs: 60_000 }),
    worker.channel.ping(),
  ];
  await turn();
  worker.channel.close(new Error('killed'));
  worker.channel.close(new Error('again'));
  for (const promise of pending) {
    await assert.rejects(
      promise,
      (error) =>
        fault('UNAVAILABLE', /m\/0 went away before it answered: killed/)(error) &&
        (error as WorkerFault).retryable,
    );
  }
  assert.deepEqual(
    worker.closed.map((error) => error?.message),
    ['killed'],
  );
  assert.deepEqual([worker.channel.inFlight, worker.channel.inFlightBytes], [0, 0]);
  await assert.rejects(worker.channel.infer([], none), fault('UNAVAILABLE', /is gone/));
  await assert.rejects(worker.channel.ping(), fault('UNAVAILABLE'));
  assert.deepEqual(
    worker.stdout.listenerCount('data') +
      worker.stdout.listenerCount('end') +
      worker.stdin.listenerCount('drain'),
    0,
  );
});

test('the end of output closes: cleanly between frames, with an error inside of one', async () => {
  const clean = await PlayedWorker.ready();
  const unanswered = assert.rejects(clean.channel.ping(), fault('UNAVAILABLE'));
  clean.stdout.end();
  await unanswered;
  assert.deepEqual(clean.closed, [undefined]);

  const torn = await PlayedWorker.ready();
  torn.stdout.end(Buffer.concat(encodeWorkerMessage(ready)).subarray(0, 40));
  await turn();
  assert.equal((torn.closed[0] as ProtocolError).code, 'EOF_IN_FRAME');
});

test('a destroyed stream closes', async () => {
  const worker = await PlayedWorker.ready();
  worker.stdout.destroy();
  await turn();
  assert.equal(worker.closed.length, 1);
  const failed = await PlayedWorker.ready();
  failed.stdout.destroy(new Error('ECONNRESET'));
  await turn();
  assert.deepEqual(
    failed.closed.map((error) => error?.message),
    ['ECONNRESET'],
  );
});

test('garbage closes with an error that shows it, after the messages before it', async () => {
  const worker = await PlayedWorker.ready();
  const answer = worker.channel.infer([], none);
  await turn();
  const result = encodeWorkerMessage({ type: 'result', id: worker.requests[0] ?? 0, outputs: [] });
  worker.stdout.write(Buffer.concat([...result, Buffer.from('Segmentation fault\n')]));
  assert.deepEqual(await answer, { outputs: [] });
  await turn();
  const [error] = worker.closed;
  assert.ok(error instanceof ProtocolError);
  assert.equal(error.code, 'BAD_MAGIC');
  assert.match(error.message, /Segmentation fault/);
});

test('what breaks the protocol closes, and says how', async () => {
  const broken = async (setUp: (worker: PlayedWorker) => Promise<unknown>) => {
    const worker = new PlayedWorker();
    await setUp(worker);
    await turn();
    const [error] = worker.closed;
    assert.ok(error instanceof ProtocolError, String(error));
    return `${error.code}: ${error.message}`;
  };
  assert.match(
    await broken((worker) => worker.say({ ...hello, protocol: 7 })),
    /^VERSION: .* speaks version 7 .* this supervisor speaks 1$/,
  );
  assert.match(await broken((worker) => worker.say(ready)), /^UNEXPECTED_MESSAGE: .* ready before its hello/);
  assert.match(await broken((worker) => worker.say(hello, hello)), /hello twice/);
  assert.match(await broken((worker) => worker.say(hello, ready, ready)), /ready twice/);
  assert.match(
    await broken((worker) => worker.say(hello, ready, { type: 'result', id: 5, outputs: [] })),
    /answered request 5, which is not in flight/,
  );
  assert.match(
    await broken((worker) =>
      worker.say(hello, { type: 'pong', id: 5, busy: false, completed: 0, inFlight: 0 }),
    ),
    /answered ping 5, which nobody sent/,
  );
});

test('a worker that names its end before hello is heard', async () => {
  const worker = new PlayedWorker();
  await worker.say({
    type: 'error',
    id: 0,
    code: 'PROTOCOL',
    message: 'no version in common',
    retryable: false,
  });
  assert.deepEqual(worker.events, ['fatal PROTOCOL no version in common']);
  worker.channel.close();
});

test('requests before ready and after shutdown are refused; those with the worker are still answered', async () => {
  const worker = new PlayedWorker({ maxInFlight: 1 });
  await assert.rejects(worker.channel.infer([], none), fault('UNAVAILABLE', /is not ready/));
  await worker.say(hello, ready);
  const sent = worker.channel.infer([], none);
  const waiting = worker.channel.infer([], none);
  await turn();
  worker.channel.shutdown(1234);
  await assert.rejects(waiting, fault('UNAVAILABLE', /shutting down/));
  await assert.rejects(worker.channel.infer([], none), fault('UNAVAILABLE', /shutting down/));
  await turn();
  assert.deepEqual(worker.heard.at(-1), { type: 'shutdown', drainMs: 1234 });
  await worker.result(worker.requests[0] ?? 0);
  await sent;
  worker.channel.end();
  await once(worker.stdin, 'finish');
  worker.channel.close();
});

test('a stdin that broke: no new requests, what the worker still says is heard, and its end closes', async () => {
  const stdin = new Writable({
    write: (_chunk, _encoding, done) => done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })),
  });
  const worker = new PlayedWorker({}, stdin);
  await turn();
  await worker.say({ type: 'error', id: 0, code: 'CONFIG_INVALID', message: 'bad', retryable: false });
  assert.deepEqual(worker.events, ['fatal CONFIG_INVALID bad']);
  assert.deepEqual(worker.closed, []);
  worker.stdout.end();
  await turn();
  assert.deepEqual(worker.closed, [undefined]);
});

test('a stdin that broke under a worker that lives on closes after a moment', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const stdin = new Writable({ write: (_chunk, _encoding, done) => done(new Error('write EPIPE')) });
  const worker = new PlayedWorker({}, stdin);
  await worker.say(hello, ready);
  await assert.rejects(
    worker.channel.infer([], none),
    fault('UNAVAILABLE', /takes no more input \(write EPIPE\)/),
  );
  t.mock.timers.tick(1000);
  assert.deepEqual(
    worker.closed.map((error) => error?.message),
    ['write EPIPE'],
  );
});

test('a request that cannot be sent is its own error', async () => {
  const worker = await PlayedWorker.ready({ maxFrameBytes: 10_000 });
  await assert.rejects(
    worker.channel.infer([bytesTensor(20_000)], none),
    fault('RESOURCE_EXHAUSTED', /limit of 10000 \(max_frame_bytes\)/),
  );
  await assert.rejects(
    worker.channel.infer([{ ...bytesTensor(1), shape: [-1] }], none),
    fault('INVALID_ARGUMENT', /\[-1\]/),
  );
  assert.equal(worker.channel.inFlight, 0);
  assert.deepEqual(worker.closed, []);
  worker.channel.close();
});

test('an output that is not what its shape says is an error, not an answer', async () => {
  const worker = await PlayedWorker.ready();
  const refused = assert.rejects(
    worker.channel.infer([], none),
    fault('INTERNAL', /bad output: tensor "x" \(UINT8 \[4\]\) has 3 bytes/),
  );
  await turn();
  await worker.result(worker.requests[0] ?? 0, [{ ...bytesTensor(3), shape: [4] }]);
  await refused;
  worker.channel.close();
});

test('with the real worker: answers, pings, shutdown, exit', async () => {
  const main = fileURLToPath(import.meta.resolve('@supervisor/worker/main'));
  const child = spawn(process.execPath, [main], { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  try {
    const channel = new WorkerChannel({
      worker: 'm/0',
      stdin: child.stdin,
      stdout: child.stdout,
      limits: defaults,
      config: { backend: 'identity', inputs: [{ name: 'x', datatype: 'UINT8', shape: [-1] }] },
    });
    const closed = new Promise<Error | undefined>((resolve) => (channel.onClosed = resolve));
    await new Promise<void>((resolve) => (channel.onReady = () => resolve()));
    const x: Tensor = { ...bytesTensor(200_000), data: new Uint8Array(200_000).fill(9) };
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => channel.infer([x], { deadlineMs: 30_000 })),
    );
    for (const { outputs } of answers) assert.deepEqual(outputs, [{ ...x, name: 'OUTPUT0' }]);
    assert.deepEqual(await channel.ping(), { busy: false, completed: 20, inFlight: 0 });
    await assert.rejects(
      channel.infer([bytesTensor(0), bytesTensor(0)], none),
      fault('INVALID_ARGUMENT', /given twice/),
    );
    channel.shutdown(1000);
    assert.equal(await closed, undefined);
    assert.deepEqual(await exited, [0, null]);
  } finally {
    if (child.exitCode === null) child.kill('SIGKILL');
    await exited;
  }
});

test('with the real worker killed: pending requests are UNAVAILABLE and retryable', async () => {
  const main = fileURLToPath(import.meta.resolve('@supervisor/worker/main'));
  const child = spawn(process.execPath, [main], { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  try {
    const channel = new WorkerChannel({
      worker: 'm/0',
      stdin: child.stdin,
      stdout: child.stdout,
      limits: defaults,
      config: {
        backend: 'identity',
        delay_ms: 600_000,
        inputs: [{ name: 'x', datatype: 'UINT8', shape: [1] }],
      },
    });
    await new Promise<void>((resolve) => (channel.onReady = () => resolve()));
    const answers = [1, 2, 3].map(() => channel.infer([bytesTensor(1)], none));
    assert.equal((await channel.ping()).inFlight, 2);
    child.kill('SIGKILL');
    for (const answer of answers) {
      await assert.rejects(
        answer,
        (error) => fault('UNAVAILABLE')(error) && (error as WorkerFault).retryable,
      );
    }
  } finally {
    child.kill('SIGKILL');
    await exited;
  }
});
