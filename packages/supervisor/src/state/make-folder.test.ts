import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { makeFolder } from './make-folder.js';

function temporary(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'make-folder-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

test('makes what is missing above, with the mode, and is content with what is there', async (t) => {
  const path = join(temporary(t), 'a', 'b', 'c');
  await makeFolder(path, 0o700);
  await makeFolder(path, 0o700);
  assert.equal(statSync(path).mode & 0o777, 0o700);
});

test('a file in the way is an error', async (t) => {
  const file = join(temporary(t), 'file');
  writeFileSync(file, '');
  await assert.rejects(makeFolder(file, 0o700), { code: 'EEXIST' });
  await assert.rejects(makeFolder(join(file, 'below'), 0o700), { code: 'ENOTDIR' });
});

test(
  'a file system that takes no folders is an error, not an endless loop',
  { skip: process.platform === 'linux' ? false : 'there is no /proc', timeout: 60_000 },
  async () => {
    await assert.rejects(makeFolder('/proc/no-such/folder', 0o700), { code: 'ENOENT' });
  },
);
