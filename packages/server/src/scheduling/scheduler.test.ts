import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WorkerFault, type Tensor } from '@supervisor/worker/protocol';
import { ServerError } from '../errors.js';
import { FakeReplica } from '../testing/fake-replica.js';
import { Scheduler, type SchedulerOptions } from './scheduler.js';

const cancelled = () => new ServerError('CANCELLED', 'by the test');

function scheduler(options: Partial<SchedulerOptions> = {}, ...replicas: FakeReplica[]): Scheduler {
  const made = new Scheduler({ model: 'm', routing: 'round_robin', maxQueueSize: 4, ...options });
  for (const replica of replicas) made.addReplica(replica);
  return made;
}

function request(label: number, { bytes = 1, deadline = Infinity } = {}) {
  const tensor: Tensor = { name: 'x', datatype: 'UINT8', shape: [bytes], data: Buffer.alloc(bytes, label) };
  return { inputs: [tensor], bytes, deadline };
}

const labels = (replica: FakeReplica) => replica.held.map(({ inputs }) => inputs[0]!.data[0]);

test('requests go out in order of arrival, as replicas have room', async () => {
  const replica = new FakeReplica('0', { requests: 2 });
  const s = scheduler({}, replica);
  const tickets = [1, 2, 3, 4].map((label) => s.submit(request(label)));
  assert.deepEqual(labels(replica), [1, 2]);
  assert.deepEqual(s.stats, { inFlight: 2, queued: 2, succeeded: 0, failed: 0 });
  replica.held[1]!.answer();
  await tickets[1]!.result;
  await replica.whenReceived(3);
  assert.deepEqual(labels(replica), [1, 3]);
  replica.held[0]!.answer();
  await replica.whenReceived(4);
  assert.deepEqual(labels(replica), [3, 4]);
  while (replica.held.length > 0) replica.held[0]!.answer();
  await Promise.all(tickets.map(({ result }) => result));
  assert.deepEqual(s.stats, { inFlight: 0, queued: 0, succeeded: 4, failed: 0 });
});

test('a queue that is full refuses at once, and says how many wait', async () => {
  const replica = new FakeReplica('0', { requests: 1 });
  const s = scheduler({ maxQueueSize: 1 }, replica);
  const first = s.submit(request(1));
  const second = s.submit(request(2));
  assert.throws(() => s.submit(request(3)), { code: 'QUEUE_FULL', message: /1 requests wait for model "m"/ });
  replica.held[0]!.answer();
  await first.result;
  await replica.whenReceived(2);
  replica.held[0]!.answer();
  await second.result;
});

test('with no room for waiting, what can start at once still does', async () => {
  const replica = new FakeReplica('0', { requests: 1 });
  const s = scheduler({ maxQueueSize: 0 }, replica);
  const ticket = s.submit(request(1));
  assert.throws(() => s.submit(request(2)), { code: 'QUEUE_FULL' });
  replica.held[0]!.answer();
  await ticket.result;
});

test('a cancelled request leaves the queue and never reaches a replica', async () => {
  const replica = new FakeReplica('0', { requests: 1 });
  const s = scheduler({}, replica);
  const first = s.submit(request(1));
  const second = s.submit(request(2));
  const third = s.submit(request(3));
  second.cancel(cancelled);
  await assert.rejects(second.result, { code: 'CANCELLED' });
  assert.equal(s.stats.queued, 1);
  replica.held[0]!.answer();
  await first.result;
  await replica.whenReceived(2);
  assert.deepEqual(labels(replica), [3]);
  replica.held[0]!.answer();
  await third.result;
});

test('a cancelled request in flight is aborted, and its slot is free when the replica has let go', async () => {
  const replica = new FakeReplica('0', { requests: 1 });
  const s = scheduler({}, replica);
  const first = s.submit(request(1));
  const second = s.submit(request(2));
  const { signal } = replica.held[0]!.options;
  first.cancel(cancelled);
  first.cancel(cancelled);
  assert.equal(signal?.aborted, true);
  await assert.rejects(first.result, { code: 'CANCELLED' });
  await replica.whenReceived(2);
  assert.deepEqual(labels(replica), [2]);
  replica.held[0]!.answer();
  await second.result;
  assert.deepEqual(s.stats, { inFlight: 0, queued: 0, succeeded: 1, failed: 1 });
});

test('a replica that still works on what was cancelled gets the next when it says that it has room', async () => {
  const replica = new FakeReplica('0', { requests: 1 });
  replica.inFlight = 1;
  const s = scheduler({}, replica);
  const ticket = s.submit(request(1));
  assert.equal(s.stats.queued, 1);
  replica.inFlight = 0;
  await replica.whenReceived(1);
  replica.held[0]!.answer();
  await ticket.result;
});

test('deadlines: passed on as time left, enforced in the queue and in flight', async () => {
  const replica = new FakeReplica('0', { requests: 1 });
  const s = scheduler({}, replica);
  assert.throws(() => s.submit(request(0, { deadline: Date.now() - 1 })), { code: 'DEADLINE_EXCEEDED' });
  const inFlight = s.submit(request(1, { deadline: Date.now() + 60 }));
  const queued = s.submit(request(2, { deadline: Date.now() + 30 }));
  const { deadlineMs, signal } = replica.held[0]!.options;
  assert.ok(deadlineMs > 0 && deadlineMs <= 60, String(deadlineMs));
  await assert.rejects(queued.result, { code: 'DEADLINE_EXCEEDED' });
  assert.equal(s.stats.queued, 0);
  await assert.rejects(inFlight.result, { code: 'DEADLINE_EXCEEDED' });
  assert.equal(signal?.aborted, true);
  assert.equal(replica.received, 1);
  const none = s.submit(request(3));
  await replica.whenReceived(2);
  assert.equal(replica.held[0]!.options.deadlineMs, 0);
  replica.held[0]!.answer();
  await none.result;
});

test('a replica that fails, or throws, fails its request alone', async () => {
  const replica = new FakeReplica('0', { requests: 2 });
  const s = scheduler({}, replica);
  const first = s.submit(request(1));
  const second = s.submit(request(2));
  replica.held[0]!.fail(new WorkerFault('UNAVAILABLE', 'the worker died'));
  await assert.rejects(first.result, { code: 'UNAVAILABLE', retryable: true });
  replica.held[0]!.answer();
  await second.result;
  replica.infer = () => {
    throw new Error('not even a promise');
  };
  await assert.rejects(s.submit(request(3)).result, /not even a promise/);
  assert.equal(s.stats.inFlight, 0);
});

test('a removed replica finishes what it has and gets nothing new', async () => {
  const [a, b] = [new FakeReplica('a', { requests: 1 }), new FakeReplica('b', { requests: 1 })];
  const s = scheduler({}, a, b);
  const tickets = [1, 2, 3].map((label) => s.submit(request(label)));
  s.removeReplica('a');
  a.held[0]!.answer();
  await tickets[0]!.result;
  assert.equal(a.received, 1);
  b.held[0]!.answer();
  await b.whenReceived(2);
  b.held[0]!.answer();
  await Promise.all(tickets.map(({ result }) => result));
});

test('when the last replica goes, those who wait are told; new requests are refused', async () => {
  const replica = new FakeReplica('0', { requests: 1 });
  const s = scheduler({}, replica);
  const inFlight = s.submit(request(1));
  const waiting = s.submit(request(2));
  s.removeReplica('0');
  await assert.rejects(waiting.result, { code: 'MODEL_NOT_READY' });
  assert.throws(() => s.submit(request(3)), { code: 'MODEL_NOT_READY' });
  replica.held[0]!.answer();
  await inFlight.result;
});

test('a large request at the head waits for room and holds its place', async () => {
  const replica = new FakeReplica('0', { requests: 4, bytes: 10 });
  const s = scheduler({}, replica);
  const small = s.submit(request(1, { bytes: 6 }));
  const large = s.submit(request(2, { bytes: 100 }));
  const next = s.submit(request(3, { bytes: 1 }));
  assert.deepEqual(labels(replica), [1]);
  large.cancel(cancelled);
  await assert.rejects(large.result);
  assert.deepEqual(labels(replica), [1, 3]);
  replica.held.slice().forEach((held) => held.answer());
  await Promise.all([small.result, next.result]);
});

test('idle means that every caller has an answer', async () => {
  const replica = new FakeReplica('0', { requests: 1 });
  const s = scheduler({}, replica);
  await s.whenIdle();
  const tickets = [s.submit(request(1)), s.submit(request(2))];
  const idle = s.whenIdle();
  assert.equal(s.cancelAll(cancelled), 2);
  await idle;
  const results = await Promise.allSettled(tickets.map(({ result }) => result));
  assert.deepEqual(
    results.map((result) => result.status),
    ['rejected', 'rejected'],
  );
});

test('ids are unique among the replicas of a model', () => {
  const s = scheduler({}, new FakeReplica('0'));
  assert.throws(() => s.addReplica(new FakeReplica('0')), /has a replica "0" already/);
});
