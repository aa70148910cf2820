import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { findExecutable } from './executable.js';

const folder = mkdtempSync(join(tmpdir(), 'sv-exec-'));
after(() => rmSync(folder, { recursive: true, force: true }));
mkdirSync(join(folder, 'bin'));
mkdirSync(join(folder, 'other'));

function program(path: string, text = '#!/bin/sh\n', mode = 0o755): string {
  const file = join(folder, path);
  writeFileSync(file, text);
  chmodSync(file, mode);
  return file;
}

const runs = program('bin/runs');
const PATH = `${join(folder, 'nothing')}:${join(folder, 'other')}:${join(folder, 'bin')}`;

test('a name is looked up in PATH, a path against the folder', () => {
  assert.equal(findExecutable('runs', folder, PATH), runs);
  assert.equal(findExecutable('bin/runs', folder, undefined), runs);
  assert.equal(findExecutable('./runs', join(folder, 'bin'), ''), runs);
  assert.equal(findExecutable(runs, '/', ''), runs);
  assert.equal(findExecutable('runs', join(folder, 'bin'), ''), runs, 'an empty PATH entry is the folder');
});

test('a file that cannot run does not hide one further on in PATH', () => {
  program('other/twice', '#!/bin/sh\n', 0o644);
  assert.throws(() => findExecutable('twice', folder, PATH), {
    code: 'NOT_EXECUTABLE',
    message: /chmod \+x/,
  });
  const later = program('bin/twice');
  assert.equal(findExecutable('twice', folder, PATH), later);
});

test('what is wrong is said', () => {
  const cases: [string, string, string | undefined, string, RegExp][] = [
    ['none', folder, PATH, 'NOT_FOUND', /no such program in PATH/],
    ['./none', folder, PATH, 'NOT_FOUND', /there is no such file/],
    ['./bin', folder, PATH, 'NOT_EXECUTABLE', /not a file/],
    [program('plain', 'text', 0o644), folder, PATH, 'NOT_EXECUTABLE', /chmod \+x/],
    [
      program('lost', '#!/no/such/interpreter -x\n'),
      folder,
      PATH,
      'NOT_FOUND',
      /interpreter \/no\/such\/interpreter/,
    ],
    ['runs', join(folder, 'gone'), PATH, 'BAD_CWD', /gone: it is not a folder/],
    ['runs', runs, PATH, 'BAD_CWD', /not a folder/],
  ];
  for (const [name, cwd, path, code, message] of cases) {
    assert.throws(() => findExecutable(name, cwd, path), { name: 'SpawnError', code, message });
  }
});
