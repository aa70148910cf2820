/** The escalation, with searches that are played: who is sent what, when it stops looking, and what it reports. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import { identify, isRunning, type ProcessIdentity } from './identity.js';
import { onLinux } from './libc.js';
import type { ObservedProcess } from './observe.js';
import { stopTree } from './stop-tree.js';

const skip = onLinux ? false : 'needs /proc';

/** A process that says which signals it got and goes on. */
async function deaf(
  t: TestContext,
  handler = '',
): Promise<{ observed: ObservedProcess; said: () => string }> {
  const code = `
    for (const s of ['SIGTERM', 'SIGINT', 'SIGCONT']) process.on(s, () => { console.log(s); ${handler} });
    console.log('up'); setInterval(() => {}, 1e9)`;
  const child = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'ignore'] });
  t.after(() => void child.kill('SIGKILL'));
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  await once(child.stdout, 'data');
  const identity = identify(child.pid ?? 0) as ProcessIdentity;
  return { observed: observe(identity), said: () => said };
}

function observe(identity: ProcessIdentity): ObservedProcess {
  return { identity, startTime: '', command: 'deaf', forked: false, unit: 'u/0', foundBy: 'leader' };
}

const living = (processes: ObservedProcess[]) => () =>
  processes.filter(({ identity }) => isRunning(identity));

test('nothing to stop', async () => {
  const report = await stopTree({ find: () => [], graceMs: 60_000 });
  assert.deepEqual(report.processes, []);
  assert.deepEqual(report.survivors, []);
});

test('SIGTERM and SIGCONT once, then SIGKILL after the grace', { skip }, async (t) => {
  const { observed, said } = await deaf(t);
  const report = await stopTree({ find: living([observed]), graceMs: 300 });
  assert.deepEqual(report.survivors, []);
  assert.deepEqual(report.processes[0]?.signals, ['SIGTERM', 'SIGKILL']);
  assert.ok(report.durationMs >= 300);
  assert.deepEqual(said().split('\n').filter(Boolean).sort(), ['SIGCONT', 'SIGTERM', 'up']);
});

test('another first signal, and an end within the grace', { skip }, async (t) => {
  const { observed } = await deaf(t, `if (s === 'SIGINT') process.exit(0)`);
  const report = await stopTree({ find: living([observed]), graceMs: 60_000, signal: 'SIGINT' });
  assert.deepEqual(report.processes[0]?.signals, ['SIGINT']);
});

test('a grace of nothing, and a force that has fired, go straight to SIGKILL', { skip }, async (t) => {
  for (const o of [{ graceMs: 0 }, { graceMs: 60_000, force: AbortSignal.abort() }]) {
    const { observed } = await deaf(t);
    const report = await stopTree({ find: living([observed]), ...o });
    assert.deepEqual(report.processes[0]?.signals, ['SIGKILL']);
  }
});

test('a force cuts the grace short', { skip }, async (t) => {
  const { observed } = await deaf(t);
  const force = new AbortController();
  let searches = 0;
  const find = () => {
    if (++searches === 3) force.abort();
    return living([observed])();
  };
  const report = await stopTree({ find, graceMs: 60_000, force: force.signal });
  assert.deepEqual(report.processes[0]?.signals, ['SIGTERM', 'SIGKILL']);
});

test('the end of a child wakes it, and what appears during the stop is stopped too', { skip }, async (t) => {
  const first = await deaf(t, 'process.exit(0)');
  const second = await deaf(t, 'process.exit(0)');
  let searches = 0;
  const find = () => (++searches === 1 ? [first.observed] : living([first.observed, second.observed])());
  const report = await stopTree({ find, graceMs: 60_000 });
  assert.equal(report.processes.length, 2);
  for (const { signals } of report.processes) assert.deepEqual(signals, ['SIGTERM']);
});

test('what was signalled between its fork and its exec is signalled again', { skip }, async (t) => {
  const { observed, said } = await deaf(t);
  let searches = 0;
  const find = () => living([{ ...observed, forked: ++searches < 3 }])();
  const report = await stopTree({ find, graceMs: 300 });
  assert.deepEqual(report.processes[0]?.signals, ['SIGTERM', 'SIGKILL']);
  assert.equal(
    said()
      .split('\n')
      .filter((line) => line === 'SIGTERM').length,
    2,
  );
});

test(
  'a group is killed after each search that finds somebody, and not during the grace',
  { skip },
  async (t) => {
    const { observed } = await deaf(t);
    const sent: string[] = [];
    const find = () => {
      const found = living([observed])();
      sent.push(found.length > 0 ? 'found' : 'empty');
      return found;
    };
    await stopTree({ find, graceMs: 100, killGroup: () => sent.push('group') });
    assert.equal(sent.at(-1), 'empty');
    const first = sent.indexOf('group');
    assert.ok(first > 1, sent.join());
    assert.deepEqual(
      sent.slice(first).filter((_, i) => i % 2 === 0),
      sent.slice(first).filter((what) => what === 'group'),
    );
  },
);

test('one that cannot be ended is a survivor, and is named', { timeout: 60_000 }, async () => {
  const nobody = observe({ ...(identify(process.pid) as ProcessIdentity), bootId: 'another' });
  const report = await stopTree({ find: () => [nobody], graceMs: 0 });
  assert.deepEqual(report.survivors, report.processes);
  assert.equal(report.survivors[0]?.outcome, 'unkillable');
  assert.deepEqual(report.survivors[0].signals, [], 'a process of another boot is not signalled');
});

test('a search that fails proves nothing and is repeated', { skip }, async (t) => {
  const { observed } = await deaf(t);
  let searches = 0;
  const find = () => {
    if (searches++ % 2 === 0) throw new Error('EMFILE');
    return living([observed])();
  };
  const report = await stopTree({ find, graceMs: 0 });
  assert.deepEqual(report.processes[0]?.signals, ['SIGKILL']);
  assert.equal(isRunning(observed.identity), false);
});
