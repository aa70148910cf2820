import { status } from '@grpc/grpc-js';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import type { Tensor } from './client.js';
import { runLoad, type LoadProgress } from './load.js';
import { echo, echoMetadata, FakeServer, type FakeInfer } from './testing/fake-server.js';

test('every cell gets its warm-up and its requests, of its batch size', async () => {
  const batches: number[] = [];
  using server = await FakeServer.start(echoMetadata, (request) => {
    batches.push(request.inputs[0]?.shape[0] ?? 0);
    return echo(request);
  });
  const results = await runLoad({
    endpoint: server.endpoint,
    model: 'echo',
    batchSizes: [1, 3],
    concurrencyLevels: [1, 2],
    warmupIterations: 2,
    benchmarkRequests: 5,
  });
  assert.deepEqual(batches, [...Array<number>(14).fill(1), ...Array<number>(14).fill(3)]);
  assert.deepEqual(
    results.cells.map(({ batchSize, concurrency, requests, errors }) => [
      batchSize,
      concurrency,
      requests,
      errors,
    ]),
    [
      [1, 1, 5, 0],
      [1, 2, 5, 0],
      [3, 1, 5, 0],
      [3, 2, 5, 0],
    ],
  );
  assert.equal(results.requests, 20);
  assert.equal(results.partial, false);
  for (const { latenciesMs, latencyMs, itemsPerS, requestsPerS, batchSize } of results.cells) {
    assert.equal(latenciesMs.length, 5);
    assert.equal(latencyMs?.max, Math.max(...latenciesMs));
    assert.equal(itemsPerS, requestsPerS * batchSize);
  }
});

test('as many requests are in flight as there are callers, never more', async () => {
  let inFlight = 0;
  let most = 0;
  let release = () => {};
  // No request is answered before all seven callers have one at the server.
  const allThere = new Promise<void>((resolve) => (release = resolve));
  using server = await FakeServer.start(echoMetadata, async (request) => {
    most = Math.max(most, ++inFlight);
    if (inFlight === 7) release();
    await allThere;
    inFlight--;
    return echo(request);
  });
  const results = await runLoad({
    endpoint: server.endpoint,
    model: 'echo',
    concurrencyLevels: [7],
    warmupIterations: 0,
    benchmarkRequests: 40,
  });
  assert.equal(most, 7);
  assert.equal(results.requests, 40);
});

test('repeats are interleaved over the cells', async () => {
  using server = await FakeServer.start(echoMetadata, echo);
  const measured: string[] = [];
  const results = await runLoad({
    endpoint: server.endpoint,
    model: 'echo',
    batchSizes: [1, 2],
    warmupIterations: 0,
    benchmarkRequests: 3,
    repeats: 2,
    onProgress: ({ stage, batchSize, repeat }: LoadProgress) => {
      if (stage === 'measured') measured.push(`batch ${batchSize} repeat ${repeat}`);
    },
  });
  assert.deepEqual(measured, [
    'batch 1 repeat 1',
    'batch 2 repeat 1',
    'batch 1 repeat 2',
    'batch 2 repeat 2',
  ]);
  assert.deepEqual(
    results.cells.map(({ repeats, requests }) => [repeats.length, requests]),
    [
      [2, 6],
      [2, 6],
    ],
  );
});

test('failed requests are counted by status with the first message of each, and are not latencies', async () => {
  using server = await FakeServer.start(echoMetadata, (request) => {
    if (request.number % 4 === 0) throw refusal(status.UNAVAILABLE, `worker gone at ${request.number}`);
    if (request.number === 2) throw refusal(status.INTERNAL, 'the model failed');
    return echo(request);
  });
  const results = await runLoad({
    endpoint: server.endpoint,
    model: 'echo',
    warmupIterations: 0,
    benchmarkRequests: 12,
  });
  const [cell] = results.cells;
  assert.equal(cell?.requests, 8);
  assert.equal(cell.latenciesMs.length, 8);
  assert.equal(results.errors, 4);
  assert.deepEqual(cell.errorsByStatus, [
    { status: 'INTERNAL', count: 1, firstMessage: 'the model failed' },
    { status: 'UNAVAILABLE', count: 3, firstMessage: 'worker gone at 4' },
  ]);
});

test('an abort ends requests in flight at once and leaves partial results', async () => {
  const abort = new AbortController();
  const cancelled: Promise<unknown>[] = [];
  using server = await FakeServer.start(echoMetadata, (request) => {
    if (request.number <= 6) return echo(request);
    cancelled.push(untilCancelled(request));
    if (cancelled.length === 2) abort.abort();
    return new Promise<Tensor[]>(() => {});
  });
  const results = await runLoad({
    endpoint: server.endpoint,
    model: 'echo',
    concurrencyLevels: [2, 4],
    warmupIterations: 0,
    benchmarkRequests: 100,
    signal: abort.signal,
  });
  assert.equal(results.partial, true);
  assert.equal(results.requests, 6);
  assert.equal(results.errors, 0);
  assert.deepEqual(
    results.cells.map(({ concurrency, partial }) => [concurrency, partial]),
    [[2, true]],
  );
  await Promise.all(cancelled);
});

test('an abort before the start yields empty partial results', async () => {
  using server = await FakeServer.start(echoMetadata, echo);
  const results = await runLoad({ endpoint: server.endpoint, model: 'echo', signal: AbortSignal.abort() });
  assert.equal(results.partial, true);
  assert.deepEqual(results.cells, []);
});

test('a duration ends the measurement, requests in flight are finished', async () => {
  using server = await FakeServer.start(echoMetadata, echo);
  const results = await runLoad({
    endpoint: server.endpoint,
    model: 'echo',
    concurrencyLevels: [3],
    warmupIterations: 0,
    benchmarkDurationS: 0.1,
  });
  const [cell] = results.cells;
  assert.equal(results.partial, false);
  assert.equal(results.benchmarkRequests, null);
  assert.ok(cell && cell.durationS >= 0.1, `lasted ${cell?.durationS} s`);
  assert.ok(cell.requests > 0);
  assert.equal(cell.errors, 0);
});

test('many callers on one signal leave no listener behind and cause no warning', async () => {
  using server = await FakeServer.start(echoMetadata, echo);
  const warnings: Error[] = [];
  const collect = (warning: Error) => warnings.push(warning);
  process.on('warning', collect);
  await runLoad({
    endpoint: server.endpoint,
    model: 'echo',
    concurrencyLevels: [64],
    warmupIterations: 0,
    benchmarkRequests: 128,
    signal: new AbortController().signal,
  });
  process.off('warning', collect);
  assert.deepEqual(warnings, []);
});

test('a request that takes too long is an error with its status', async () => {
  using server = await FakeServer.start(echoMetadata, () => new Promise<Tensor[]>(() => {}));
  const results = await runLoad({
    endpoint: server.endpoint,
    model: 'echo',
    warmupIterations: 0,
    benchmarkRequests: 1,
    requestTimeoutMs: 30,
  });
  assert.deepEqual(
    results.cells[0]?.errorsByStatus.map(({ status: name, count }) => [name, count]),
    [['DEADLINE_EXCEEDED', 1]],
  );
});

test('an unknown model is an error that names it', async () => {
  using server = await FakeServer.start(echoMetadata, echo);
  await assert.rejects(runLoad({ endpoint: server.endpoint, model: 'ocr' }), {
    code: 'UNKNOWN_MODEL',
    message: `127.0.0.1:${server.endpoint.port} has no model "ocr": no model ocr`,
  });
});

test('a port where nobody listens is an error that names it', async () => {
  // A port that was free a moment ago.
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as { port: number };
  listener.close();
  await once(listener, 'close');
  await assert.rejects(runLoad({ endpoint: { host: '127.0.0.1', port }, model: 'echo' }), {
    code: 'SERVER_UNREACHABLE',
    message: new RegExp(`^127\\.0\\.0\\.1:${port} does not serve: `),
  });
});

function refusal(code: status, details: string): Error {
  return Object.assign(new Error(details), { code, details });
}

function untilCancelled({ cancelled }: FakeInfer): Promise<void> {
  return new Promise((resolve) => cancelled.addEventListener('abort', () => resolve(), { once: true }));
}
