/** No signal to anybody but the process that is meant. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { identify, isIdentity, isRunning, sendSignal, type ProcessIdentity } from './identity.js';
import { onLinux } from './libc.js';
import { see } from './token-census.js';

const skip = onLinux ? false : 'needs /proc';

function sleeper(t: TestContext): { child: ChildProcess; id: ProcessIdentity } {
  const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
  t.after(() => void child.kill('SIGKILL'));
  return { child, id: identify(child.pid as number) as ProcessIdentity };
}

test('the process that is meant gets the signal', async (t) => {
  const { child, id } = sleeper(t);
  assert.equal(isRunning(id), true);
  assert.equal(sendSignal(id, 'SIGTERM'), 'sent');
  assert.deepEqual(await once(child, 'exit'), [null, 'SIGTERM']);
  assert.equal(isRunning(id), false);
  assert.equal(sendSignal(id, 'SIGTERM'), 'gone');
});

test('another one with its pid does not, nor one of another boot or PID namespace', async (t) => {
  const { child, id } = sleeper(t);
  const others: ProcessIdentity[] = [
    { ...id, startTicks: '1' },
    { ...id, bootId: 'another' },
    { ...id, pidNamespace: '1' },
  ];
  for (const other of others) {
    assert.equal(isRunning(other), false);
    assert.equal(sendSignal(other, 'SIGKILL'), 'gone');
  }
  // The first signal that it gets is the one that was meant for it.
  assert.equal(sendSignal(id, 'SIGTERM'), 'sent');
  assert.deepEqual(await once(child, 'exit'), [null, 'SIGTERM']);
});

test('a zombie has ended', { skip }, () => {
  // Nothing is awaited: while the event loop stands still nobody reaps it.
  const { pid = 0 } = spawn('true', { stdio: 'ignore' });
  const giveUpAt = performance.now() + 10_000;
  while (see(pid)?.state !== 'Z') assert.ok(performance.now() < giveUpAt, 'it does not end');
  const id = identify(pid) as ProcessIdentity;
  assert.equal(isRunning(id), false);
  assert.equal(sendSignal(id, 'SIGTERM'), 'gone');
});

test('no descriptor is left open', { skip }, (t) => {
  const { id } = sleeper(t);
  sendSignal(id, 'SIGCONT');
  const before = readdirSync('/proc/self/fd').length;
  for (let i = 0; i < 50; i++) sendSignal(i % 2 === 0 ? id : { ...id, startTicks: '1' }, 'SIGCONT');
  assert.equal(readdirSync('/proc/self/fd').length, before);
});

test('an identity from a file is looked at before it is believed', () => {
  const id = identify(process.pid);
  assert.equal(isIdentity(id), true);
  for (const bad of [
    null,
    'x',
    {},
    { ...id, pid: 0 },
    { ...id, pid: -1 },
    { ...id, pid: 1.5 },
    { ...id, pid: '1' },
    { ...id, startTicks: 1 },
    { ...id, bootId: undefined },
  ]) {
    assert.equal(isIdentity(bad), false, JSON.stringify(bad));
  }
});
