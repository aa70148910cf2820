import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SpawnGate } from './spawn-gate.js';

const never = new AbortController().signal;
const settled = () => new Promise((resolve) => setImmediate(resolve));

test('no more than its width are inside; the next enters when one leaves', async () => {
  const gate = new SpawnGate(2);
  const first = await gate.enter(never);
  await gate.enter(never);
  let entered = false;
  void gate.enter(never).then(() => (entered = true));
  await settled();
  assert.equal(entered, false);
  first();
  first();
  await settled();
  assert.equal(entered, true);
});

test('an aborted wait gives its place to nobody and takes none', async () => {
  const gate = new SpawnGate(1);
  const leave = await gate.enter(never);
  const controller = new AbortController();
  const waiting = gate.enter(controller.signal);
  controller.abort();
  (await waiting)();
  leave();
  await gate.enter(never);
});
