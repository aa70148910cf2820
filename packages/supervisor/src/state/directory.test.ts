import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { defaultStateRoot, listExperiments, StateDir } from './directory.js';

const root = mkdtempSync(join(tmpdir(), 'sv-dir-'));
after(() => rmSync(root, { recursive: true, force: true }));

test('folders are made for this user only, and mended where they are open to others', async () => {
  const dir = StateDir.at(join(root, 'deep', 'root'), 'mine');
  await dir.ensure();
  for (const path of [dir.path, dir.recordsDir, dir.logsDir])
    assert.equal(statSync(path).mode & 0o777, 0o700);
  chmodSync(dir.path, 0o755);
  await dir.ensure();
  assert.equal(statSync(dir.path).mode & 0o777, 0o700);
});

test('what is in the way is named', async () => {
  writeFileSync(join(root, 'file'), '');
  for (const dir of [StateDir.at(root, 'file'), StateDir.at(join(root, 'file'), 'below')]) {
    await assert.rejects(dir.ensure(), { code: 'STATE_DIR_UNUSABLE', message: /not a folder/ });
    await assert.rejects(dir.lock(), { code: 'STATE_DIR_UNUSABLE' });
  }
});

test('the lock is held once, released once, and leaves no file', async () => {
  const dir = StateDir.at(root, 'locked');
  await dir.ensure();
  const files = readdirSync(dir.path);
  const lock = await dir.lock();
  assert.ok(lock);
  assert.equal(await dir.lock(), null);
  await lock.release();
  const again = await dir.lock();
  assert.ok(again);
  await lock.release();
  assert.equal(await dir.lock(), null, 'a second release does not let go of what another holds');
  await again.release();
  assert.deepEqual(readdirSync(dir.path), files);
});

test('a holder that is killed lets go, also while its children live', async (t) => {
  const dir = StateDir.at(root, 'killed');
  await dir.ensure();
  const module = new URL('./directory.js', import.meta.url).href;
  const code = `
    const { StateDir } = await import(${JSON.stringify(module)});
    const lock = await StateDir.open(${JSON.stringify(dir.path)}).lock();
    const { spawn } = await import('node:child_process');
    const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
    console.log(lock === null ? 'null' : child.pid);
    setInterval(() => lock, 1e9);`;
  const holder = spawn(process.execPath, ['--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => void holder.kill('SIGKILL'));
  const [said] = (await once(holder.stdout, 'data')) as [Buffer];
  const child = Number(said.toString());
  assert.ok(child > 0);
  t.after(() => void process.kill(child, 'SIGKILL'));
  assert.equal(await dir.lock(), null);
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  const lock = await dir.lock();
  assert.ok(lock);
  await lock.release();
});

test('experiments are the folders that hold state', async () => {
  const at = join(root, 'list');
  assert.deepEqual(listExperiments(at), []);
  mkdirSync(join(at, 'foreign'), { recursive: true });
  writeFileSync(join(at, 'file'), '');
  for (const name of ['b', 'a']) await StateDir.at(at, name).ensure();
  assert.deepEqual(
    listExperiments(at).map(({ name }) => name),
    ['a', 'b'],
  );
});

test('the default place', () => {
  assert.equal(defaultStateRoot({ RUNTIME_DIRECTORY: '/run/a:/run/b', XDG_RUNTIME_DIR: '/x' }), '/run/a');
  assert.equal(defaultStateRoot({ XDG_RUNTIME_DIR: '/x', XDG_STATE_HOME: '/y' }), '/x/supervisor');
  assert.equal(defaultStateRoot({ XDG_STATE_HOME: '/y' }), '/y/supervisor');
  assert.match(defaultStateRoot({}), /\/\.local\/state\/supervisor$/);
});
