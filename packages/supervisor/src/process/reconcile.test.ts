/** What a run that was killed together with its guardian leaves, at each step it may have come to. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test, type TestContext } from 'node:test';
import type { DaemonStart } from '../daemon/messages.js';
import { StateDir } from '../state/directory.js';
import { writeRecord, readRecords, type UnitRecord } from '../state/records.js';
import { readReceipt } from '../state/receipts.js';
import { writeSnapshot } from '../state/snapshot.js';
import { identify, type ProcessIdentity } from './identity.js';
import { onLinux } from './libc.js';
import { readPipes } from './proc.js';
import { reconcile } from './reconcile.js';
import { stopExperiment } from './stop-experiment.js';
import { alive, killAll, newToken, until } from './token-census.js';

const skip = onLinux ? false : 'needs /proc';
const root = mkdtempSync(join(tmpdir(), 'sv-rec-'));
after(() => rmSync(root, { recursive: true, force: true }));
let names = 0;

async function newDir(): Promise<StateDir> {
  const dir = StateDir.at(root, `n${names++}`);
  await dir.ensure();
  return dir;
}

/** A process of a unit, as a daemon would have spawned it; its parent is gone. */
async function orphan(
  t: TestContext,
  {
    dir,
    script,
    marked = true,
    size = 1,
  }: { dir: StateDir; script?: string; marked?: boolean; size?: number },
): Promise<{ token: string; id: ProcessIdentity; pipes: string[]; child: ChildProcess }> {
  const token = newToken();
  t.after(() => killAll(token));
  const env = {
    PATH: process.env['PATH'] ?? '',
    ...(marked && { SUPERVISOR_RUN: `${dir.name}:run`, SUPERVISOR_STATE: dir.path, SUPERVISOR_UNIT: 'u/0' }),
  };
  const child = spawn('/bin/sh', ['-c', script ?? 'exec sleep 1000.$1', 'sh', token], {
    env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const id = identify(child.pid ?? 0) as ProcessIdentity;
  const pipes = readPipes(id.pid);
  await until(
    'it is there',
    () => alive(token).filter(({ command }) => command.startsWith('sleep')).length >= size,
  );
  return { token, id, pipes, child };
}

function record(leader: ProcessIdentity | null, o: Partial<UnitRecord> = {}): UnitRecord {
  return { unit: 'u/0', kind: 'process', runId: 'run', command: ['x'], graceMs: 60_000, leader, ...o };
}

const nobody: ProcessIdentity = { pid: 2 ** 22 + 1, startTicks: '1', bootId: 'x', pidNamespace: '1' };

function snapshot(dir: StateDir): Parameters<typeof writeSnapshot>[1] {
  const start = {
    stateDir: dir.path,
    runId: 'run',
    experiment: { supervision: { grace_s: 0.1, drain_s: 0 } },
  };
  return { ...(start as unknown as DaemonStart), daemon: nobody, guardian: nobody };
}

function leftIn(dir: StateDir): string[] {
  return readdirSync(dir.path, { recursive: true, encoding: 'utf8' }).filter(
    (path) => !/^(logs|receipts|records$)/.test(path),
  );
}

test('a name that was never used is clean, and nothing is made for it', async () => {
  const dir = StateDir.at(root, 'never');
  assert.deepEqual(await reconcile(dir), { state: 'clean', receipt: null });
  assert.deepEqual(await stopExperiment(dir), { outcome: 'not_running', receipt: null });
  assert.equal(existsSync(dir.path), false);
});

test('an empty folder is clean', async () => {
  const dir = await newDir();
  assert.deepEqual(await reconcile(dir), { state: 'clean', receipt: null });
});

test('a folder that somebody holds is left alone', { skip }, async (t) => {
  const dir = await newDir();
  const lock = await dir.lock();
  const { token, id } = await orphan(t, { dir });
  await writeRecord(dir, record(id));
  assert.deepEqual(await reconcile(dir), { state: 'running', receipt: null });
  assert.equal(alive(token).length, 1);
  await lock?.release();
});

test('crash after the intent: the process is found by its cookie', { skip }, async (t) => {
  const dir = await newDir();
  await writeRecord(dir, record(null));
  const { token, id } = await orphan(t, { dir });
  const { state, receipt } = await reconcile(dir);
  assert.equal(state, 'cleaned');
  assert.deepEqual(alive(token), []);
  assert.deepEqual(
    receipt?.processes.map(({ pid, foundBy, signals }) => ({ pid, foundBy, signals })),
    [{ pid: id.pid, foundBy: 'cookie', signals: ['SIGTERM'] }],
  );
  assert.deepEqual(leftIn(dir), []);
  assert.deepEqual(readReceipt(dir), receipt);
});

test('crash with a full record: found by it, also without a cookie', { skip }, async (t) => {
  const dir = await newDir();
  const { token, id } = await orphan(t, { dir, marked: false });
  await writeRecord(dir, record(id));
  const { receipt } = await reconcile(dir);
  assert.deepEqual(alive(token), []);
  assert.equal(receipt?.processes[0]?.foundBy, 'leader');
  assert.deepEqual(leftIn(dir), []);
});

test(
  'a leader that is gone: what it left is known by its pipes, without cookie and session',
  { skip },
  async (t) => {
    const dir = await newDir();
    const script = `setsid env -i sleep 1000.$1 & sleep 1001.$1 & exec sleep 1002.$1`;
    const { token, id, pipes, child } = await orphan(t, { dir, script, marked: false, size: 3 });
    await writeRecord(dir, record(id, { pipes }));
    child.kill('SIGKILL');
    await once(child, 'exit');
    assert.equal(alive(token).length, 2);
    const { receipt } = await reconcile(dir);
    assert.deepEqual(alive(token), []);
    assert.deepEqual(receipt?.survivors, []);
  },
);

test('a session number alone does not make a stranger ours', { skip }, async (t) => {
  const dir = await newDir();
  const { token, id, child } = await orphan(t, { dir, script: 'sleep 1000.$1 & read line', marked: false });
  if (child.exitCode === null) await new Promise((resolve) => child.once('exit', resolve));
  // The record is of an earlier process whose pid the stranger's session was given later.
  await writeRecord(
    dir,
    record({ ...id, startTicks: String(Number(id.startTicks) - 1) }, { pipes: ['socket:[1]'] }),
  );
  await reconcile(dir);
  assert.equal(alive(token).length, 1);
  assert.deepEqual(leftIn(dir), []);
});

test('a record of another boot or namespace is discarded without a signal', { skip }, async (t) => {
  for (const change of [{ bootId: 'another' }, { pidNamespace: '1' }, { startTicks: '1' }]) {
    const dir = await newDir();
    const { token, id } = await orphan(t, { dir, marked: false });
    await writeRecord(dir, record({ ...id, ...change }));
    const { state, receipt } = await reconcile(dir);
    assert.equal(state, 'cleaned');
    assert.deepEqual(receipt?.processes, []);
    assert.equal(alive(token).length, 1);
    assert.deepEqual(leftIn(dir), []);
  }
});

test(
  'the cookie of another state directory, or of a name that begins alike, is not ours',
  { skip },
  async (t) => {
    const dir = await newDir();
    const elsewhere = StateDir.at(join(root, 'elsewhere'), dir.name);
    const longer = StateDir.at(root, `${dir.name}0`);
    const others = [await orphan(t, { dir: elsewhere }), await orphan(t, { dir: longer })];
    await writeRecord(dir, record(null));
    await reconcile(dir);
    for (const { token } of others) assert.equal(alive(token).length, 1);
  },
);

test('the cookie names the folder by a path through a symbolic link', { skip }, async (t) => {
  const link = join(root, `link-${names++}`);
  symlinkSync(root, link);
  const dir = await newDir();
  const marked = await orphan(t, { dir: StateDir.at(link, dir.name) });
  const loop = join(root, `loop-${names++}`);
  symlinkSync(loop, loop);
  const others = [
    await orphan(t, { dir: StateDir.at(join(root, 'removed'), dir.name) }),
    await orphan(t, { dir: StateDir.at(loop, dir.name) }),
  ];
  const { receipt } = await reconcile(dir);
  assert.deepEqual(alive(marked.token), []);
  assert.deepEqual(
    receipt?.processes.map(({ pid, foundBy }) => ({ pid, foundBy })),
    [{ pid: marked.id.pid, foundBy: 'cookie' }],
  );
  for (const { token } of others) assert.equal(alive(token).length, 1);
});

test('junk of every kind goes, and means nobody', { skip }, async () => {
  const dir = await newDir();
  writeFileSync(dir.pidFile, 'junk');
  writeFileSync(dir.experimentFile, '{}');
  writeFileSync(`${dir.pidFile}.1.ab.tmp`, 'half');
  writeFileSync(join(dir.recordsDir, 'a.json'), '{"unit":"a","leader":{"pid":1}}');
  writeFileSync(join(dir.recordsDir, 'b.json'), '{');
  writeFileSync(join(dir.recordsDir, 'c.json.1.ab.tmp'), '');
  assert.deepEqual(readRecords(dir), []);
  const { state, receipt } = await reconcile(dir);
  assert.equal(state, 'cleaned');
  assert.deepEqual(receipt?.processes, []);
  assert.deepEqual(leftIn(dir), []);
});

test('a PID file without records, and records without a PID file', { skip }, async (t) => {
  const dir = await newDir();
  writeFileSync(dir.pidFile, `${nobody.pid}\n${JSON.stringify({ ...nobody, runId: 'run' })}\n`);
  await writeSnapshot(dir, snapshot(dir));
  const { token } = await orphan(t, { dir, script: `trap '' TERM; sleep 1000.$1; :` });
  const { receipt } = await reconcile(dir);
  assert.equal(receipt?.runId, 'run');
  assert.deepEqual(alive(token), []);
  assert.deepEqual(leftIn(dir), []);
});

test('plain processes get their grace, those of workers none', { skip }, async (t) => {
  const dir = await newDir();
  const plain = await orphan(t, { dir, script: `trap 'exit 0' TERM; sleep 1000.$1 & wait` });
  const worker = await orphan(t, { dir, script: `trap '' TERM; sleep 1000.$1; :`, marked: false });
  await writeRecord(dir, record(plain.id));
  await writeRecord(dir, record(worker.id, { unit: 'w/0', kind: 'worker' }));
  const { receipt } = await reconcile(dir);
  const of = (unit: string) =>
    receipt?.processes.filter((each) => each.unit === unit).flatMap(({ signals }) => signals);
  assert.deepEqual([...new Set(of('u/0'))], ['SIGTERM']);
  assert.deepEqual([...new Set(of('w/0'))], ['SIGKILL']);
});

test('a force skips the grace', { skip }, async (t) => {
  const dir = await newDir();
  const { token, id } = await orphan(t, { dir, script: `trap '' TERM; sleep 1000.$1; :` });
  await writeRecord(dir, record(id));
  const { receipt } = await reconcile(dir, AbortSignal.abort());
  assert.deepEqual(alive(token), []);
  assert.deepEqual([...new Set(receipt?.processes.flatMap(({ signals }) => signals))], ['SIGKILL']);
});

test('children of the process that reconciles are not taken for leftovers', { skip }, async (t) => {
  const dir = await newDir();
  const token = newToken();
  t.after(() => killAll(token));
  const child = spawn('sleep', [`1000.${token}`], { detached: true, stdio: 'ignore' });
  await writeRecord(dir, record(null));
  const { receipt } = await reconcile(dir);
  assert.deepEqual(receipt?.processes, []);
  assert.equal(child.exitCode ?? child.signalCode, null);
});

test('two that reconcile at once: both end, one did the work', { skip }, async (t) => {
  const dir = await newDir();
  const { token, id } = await orphan(t, { dir });
  await writeRecord(dir, record(id));
  const results = await Promise.all([stopExperiment(dir), stopExperiment(dir)]);
  assert.deepEqual(alive(token), []);
  assert.equal(results.filter(({ receipt }) => receipt !== null).length, 1);
  assert.deepEqual(leftIn(dir), []);
});
