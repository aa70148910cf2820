/** The containment of systems without subreapers, as far as it can be tried on Linux: groups, parents and marks. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import { StateDir } from '../state/directory.js';
import { Keeper } from './keeper.js';
import { onLinux } from './libc.js';
import { alive, killAll, newToken, see, until } from './token-census.js';
import { Unit } from './unit.js';

const skip = onLinux ? false : 'needs /proc';
const folder = mkdtempSync(join(tmpdir(), 'sv-portable-'));
const dir = StateDir.at(folder, 'portable');
const LONG_GRACE_MS = 60_000;

let keeper: Keeper;
before(async () => {
  await dir.ensure();
  keeper = await Keeper.open({
    stateDir: dir,
    experiment: 'portable',
    runId: 'run',
    containment: 'portable',
  });
});
after(() => {
  keeper.close();
  rmSync(folder, { recursive: true, force: true });
});

async function start(t: TestContext, script: string): Promise<{ unit: Unit; token: string }> {
  const token = newToken();
  t.after(() => killAll(token));
  const unit = await Unit.spawn(
    {
      id: `tree/${token}`,
      kind: 'process',
      command: ['/bin/sh', '-c', script, 'sh', token],
      env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin' },
      cwd: folder,
      graceMs: 0,
    },
    keeper,
  );
  unit.stdout.resume();
  unit.stderr.resume();
  return { unit, token };
}

const sleepers = (token: string) => alive(token).filter(({ command }) => command.startsWith('sleep'));

test('it says that it is weaker', () => {
  assert.equal(keeper.tier, 'portable');
  assert.match(keeper.degraded ?? '', /may escape/);
});

test('what obeys ends by SIGTERM, its exit is known, and its record is gone', { skip }, async (t) => {
  const { unit, token } = await start(t, 'exec sleep 1000.$1');
  const { processes, survivors } = await unit.stop({ graceMs: LONG_GRACE_MS });
  assert.deepEqual(alive(token), []);
  assert.deepEqual(survivors, []);
  assert.deepEqual(
    processes.map(({ foundBy, signals, exit }) => ({ foundBy, signals, exit })),
    [{ foundBy: 'leader', signals: ['SIGTERM'], exit: { code: null, signal: 'SIGTERM' } }],
  );
  assert.deepEqual(readdirSync(dir.recordsDir), []);
});

test('what ignores SIGTERM, in the group and in a session of its own', { skip }, async (t) => {
  const { unit, token } = await start(
    t,
    `trap '' TERM; setsid sleep 1000.$1 & sleep 1001.$1 & sleep 1002.$1; :`,
  );
  await until('it is grown', () => sleepers(token).length === 3);
  const { processes, survivors } = await unit.stop({ graceMs: 50 });
  assert.deepEqual(alive(token), []);
  assert.deepEqual(survivors, []);
  assert.ok(processes.length >= 4);
  for (const { signals } of processes) assert.deepEqual(signals, ['SIGTERM', 'SIGKILL']);
});

test('a double-forked daemon is found by its environment', { skip }, async (t) => {
  const { unit, token } = await start(
    t,
    `(setsid sleep 1000.$1 </dev/null >/dev/null 2>&1 &); exec sleep 1001.$1`,
  );
  await until('it is orphaned', () =>
    sleepers(token).some(({ ppid }) => ppid !== unit.identity.pid && ppid !== process.pid),
  );
  await until('both are there', () => sleepers(token).length === 2);
  const { processes } = await unit.stop({ graceMs: LONG_GRACE_MS });
  assert.deepEqual(alive(token), []);
  assert.equal(processes.find(({ command }) => command.startsWith('sleep 1000'))?.foundBy, 'cookie');
});

test('one that cleared its environment is known by the pipe that it holds', { skip }, async (t) => {
  const { unit, token } = await start(t, `(setsid env -i sleep 1000.$1 &); exec sleep 1001.$1`);
  await until('both are there', () => sleepers(token).length === 2);
  await until('it is orphaned', () =>
    sleepers(token).some(
      ({ pid, ppid }) => pid !== unit.identity.pid && see(ppid)?.command.includes(token) !== true,
    ),
  );
  await unit.stop({ graceMs: LONG_GRACE_MS });
  assert.deepEqual(alive(token), []);
});

test('the units of another state directory are bystanders', { skip }, async (t) => {
  const other = StateDir.at(join(folder, 'elsewhere'), 'portable');
  await other.ensure();
  const theirs = await Keeper.open({
    stateDir: other,
    experiment: 'portable',
    runId: 'run',
    containment: 'portable',
  });
  t.after(() => theirs.close());
  const { unit, token } = await start(
    t,
    `(setsid sleep 1000.$1 </dev/null >/dev/null 2>&1 &); exec sleep 1001.$1`,
  );
  await until('both are there', () => sleepers(token).length === 2);
  assert.deepEqual((await theirs.sweep({ graceMs: 0 })).processes, []);
  assert.equal(sleepers(token).length, 2);
  await unit.stop({ graceMs: LONG_GRACE_MS });
  assert.deepEqual(alive(token), []);
});
