import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { identify } from '../process/identity.js';
import { StateDir } from './directory.js';
import { readPidFile, removePidFile, writePidFile } from './pid-file.js';

const root = mkdtempSync(join(tmpdir(), 'sv-pid-'));
after(() => rmSync(root, { recursive: true, force: true }));
let names = 0;

async function newDir(): Promise<StateDir> {
  const dir = StateDir.at(root, `n${names++}`);
  await dir.ensure();
  return dir;
}

const self = identify(process.pid);

test('what is written is read, and the pid stands alone on the first line', async () => {
  const dir = await newDir();
  await writePidFile(dir, 'run-1');
  assert.deepEqual(readPidFile(dir), { kind: 'running', identity: self, runId: 'run-1' });
  assert.equal(readFileSync(dir.pidFile, 'utf8').split('\n')[0], String(process.pid));
  assert.equal(statSync(dir.pidFile).mode & 0o777, 0o600);
});

test('only the run that wrote it removes it', async () => {
  const dir = await newDir();
  await writePidFile(dir, 'run-1');
  assert.equal(await removePidFile(dir, 'run-2'), false);
  assert.equal(existsSync(dir.pidFile), true);
  assert.equal(await removePidFile(dir, 'run-1'), true);
  assert.deepEqual(readPidFile(dir), { kind: 'none' });
  assert.equal(await removePidFile(dir, 'run-1'), false);
});

test('a process that is gone, recycled, or of another boot or PID namespace is stale', async () => {
  const dir = await newDir();
  const cases: [object, RegExp][] = [
    [{ startTicks: '1' }, /now belongs to another process/],
    [{ bootId: 'another' }, /another boot or PID namespace/],
    [{ pidNamespace: '1' }, /another boot or PID namespace/],
  ];
  for (const [change, why] of cases) {
    writeFileSync(dir.pidFile, `${process.pid}\n${JSON.stringify({ ...self, ...change, runId: 'r' })}\n`);
    const file = readPidFile(dir);
    assert.equal(file.kind, 'stale');
    assert.match(file.why, why);
    assert.equal(file.runId, 'r');
  }
  const gone = { ...self, pid: 2 ** 22 + 1 };
  writeFileSync(dir.pidFile, `${gone.pid}\n${JSON.stringify({ ...gone, runId: 'r' })}\n`);
  const file = readPidFile(dir);
  assert.match(file.kind === 'stale' ? file.why : '', /has ended/);
});

test('a pid that does not say who it means is nobody', async () => {
  const dir = await newDir();
  for (const second of [
    '',
    '{',
    'null',
    '[]',
    '{"pid":1}',
    JSON.stringify({ ...self, pid: 1, runId: 'r' }),
  ]) {
    writeFileSync(dir.pidFile, `${process.pid}\n${second}\n`);
    assert.equal(readPidFile(dir).kind, 'stale', second);
  }
});

test('junk', async () => {
  const dir = await newDir();
  for (const text of ['', 'hello', '-1\n', '12x\n', '0x10\n', '99999999999\n', '\0\0\0']) {
    writeFileSync(dir.pidFile, text);
    assert.equal(readPidFile(dir).kind, 'junk', JSON.stringify(text));
  }
  rmSync(dir.pidFile);
  mkdirSync(dir.pidFile);
  assert.deepEqual(readPidFile(dir), { kind: 'junk', text: 'a folder' });
});
