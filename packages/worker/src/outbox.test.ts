import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { Outbox } from './outbox.js';

/** A pipe that takes what it is given when the test says so. */
class SlowPipe extends Writable {
  readonly batches: string[] = [];
  take: () => void = () => {};

  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    this.batches.push(chunks.map(({ chunk }) => chunk.toString()).join(''));
    this.take = done;
  }
}

function outboxOn(pipe: Writable) {
  const events: string[] = [];
  const outbox = new Outbox(pipe, {
    onFull: () => events.push('full'),
    onDrained: () => events.push('drained'),
    onLost: (error) => events.push(error.message),
  });
  return { outbox, events };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('frames of one turn leave together', async () => {
  const pipe = new SlowPipe();
  const { outbox } = outboxOn(pipe);
  outbox.write([Buffer.from('a'), Buffer.from('b')]);
  outbox.write([Buffer.from('c')]);
  await turn();
  assert.deepEqual(pipe.batches, ['abc']);
});

test('a full pipe is felt once, and so is room', async () => {
  const pipe = new SlowPipe({ highWaterMark: 4 });
  const { outbox, events } = outboxOn(pipe);
  outbox.write([Buffer.from('12345')]);
  outbox.write([Buffer.from('67890')]);
  await turn();
  assert.deepEqual(events, ['full']);
  pipe.take();
  await turn();
  assert.deepEqual(events, ['full', 'drained']);
});

test('end resolves when everything was taken, and nothing is written after it', async () => {
  const pipe = new SlowPipe();
  const { outbox } = outboxOn(pipe);
  outbox.write([Buffer.from('last')]);
  let ended = false;
  const end = outbox.end().then(() => (ended = true));
  outbox.write([Buffer.from('too late')]);
  await turn();
  assert.equal(ended, false);
  pipe.take();
  await end;
  assert.deepEqual(pipe.batches, ['last']);
});

test('a broken pipe is told', async () => {
  const { outbox, events } = outboxOn(
    new Writable({ write: (_chunk, _encoding, done) => done(new Error('EPIPE')) }),
  );
  outbox.write([Buffer.from('a')]);
  await turn();
  assert.deepEqual(events, ['EPIPE']);
});
