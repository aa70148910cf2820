import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { findLeftovers, holdsExperiment, type RunningRun } from './leftovers.js';
import { readTable, type TableEntry } from './process-table.js';

const root = '/state';

function entry(
  pid: number,
  parentPid: number,
  more: { command?: string; ended?: boolean; run?: string; stateDir?: string } = {},
): TableEntry {
  const { command = 'sleep 60', ended = false, run, stateDir = `${root}/demo` } = more;
  const cookie = run === undefined ? null : { experiment: 'demo', runId: run, unit: 'a/0', stateDir };
  return { pid, parentPid, command, ended, cookie };
}

function pidsLeft(table: TableEntry[], runs: string[] = []): number[] {
  const running = runs.map((runId) => ({ experiment: 'demo', runId }));
  return findLeftovers({ table, root, running, recorded: [] }).map(({ pid }) => pid);
}

test('a real process is found by the cookie in its environment, and gone after it', async (t) => {
  const runId = `run-${process.pid}`;
  const cookie = {
    SUPERVISOR_RUN: `audit-test:${runId}`,
    SUPERVISOR_UNIT: 'a/0',
    SUPERVISOR_STATE: `${root}/audit-test`,
  };
  const child = spawn('sleep', ['60'], { env: { ...process.env, ...cookie } });
  t.after(() => child.kill('SIGKILL'));
  await once(child, 'spawn');
  const search = async (running: RunningRun[], where = root) => {
    const leftovers = findLeftovers({ table: await readTable(), root: where, running, recorded: [] });
    return leftovers.filter(({ pid }) => pid === child.pid);
  };
  assert.deepEqual(await search([]), [
    { pid: child.pid, experiment: 'audit-test', unit: 'a/0', command: 'sleep 60', foundBy: 'cookie' },
  ]);
  assert.deepEqual(
    await search([{ experiment: 'audit-test', runId }]),
    [],
    'it belongs to a run that goes on',
  );
  assert.deepEqual(await search([], '/elsewhere'), [], 'it belongs to another state directory');
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.deepEqual(await search([]), []);
});

test('another run of the same name does not cover it, a living daemon or guardian above it does', () => {
  assert.deepEqual(pidsLeft([entry(10, 1, { run: 'old' })], ['new']), [10]);
  assert.deepEqual(pidsLeft([entry(10, 1, { run: 'old' })], ['old']), []);
  const daemon = entry(9, 8, { command: 'supervisor daemon demo' });
  assert.deepEqual(pidsLeft([daemon, entry(10, 9, { run: 'x' }), entry(11, 10, { run: 'x' })]), []);
  const foreground = entry(9, 8, { command: 'node /usr/bin/supervisor start a.yaml' });
  assert.deepEqual(pidsLeft([foreground, entry(10, 9, { run: 'x' })]), []);
});

test('processes that have ended are not leftovers, recorded ones are', () => {
  const table = [entry(10, 1, { run: 'x', ended: true }), entry(11, 1), entry(12, 1, { ended: true })];
  const recorded = [11, 12, 13].map((pid) => ({ pid, experiment: 'demo', unit: 'a/0' }));
  assert.deepEqual(findLeftovers({ table, root, running: [], recorded }), [
    { pid: 11, experiment: 'demo', unit: 'a/0', command: 'sleep 60', foundBy: 'record' },
  ]);
});

test('only commands that hold an experiment count as supervisors', () => {
  const holds = (command: string) => holdsExperiment(entry(1, 0, { command }));
  assert.equal(holds('node /x/packages/supervisor/dist/daemon/main.js'), true);
  assert.equal(holds('/usr/local/bin/node --enable-source-maps /x/guardian/main.js'), true);
  assert.equal(holds('keeper demo'), true);
  assert.equal(holds('node bin/supervisor run a.yaml'), true);
  assert.equal(holds('node /a/b/bin/supervisor --state-dir /x start a.yaml'), true);
  assert.equal(holds('node bin/supervisor check'), false);
  assert.equal(holds('vim supervisor start'), false);
});
