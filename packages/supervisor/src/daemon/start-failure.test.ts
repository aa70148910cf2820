import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { EXIT } from '../commands/command-error.js';
import { START_FAILURE_CODES } from './start-failure.js';

const page = readFileSync(new URL('../../../../docs/errors.md', import.meta.url), 'utf8');

function firstColumn(heading: string): string[] {
  const section = page.split(heading)[1]?.split(/^#/m)[0] ?? '';
  return [...section.matchAll(/^\| `?([A-Z_]+|\d)`? +\|/gm)].map(([, cell]) => cell ?? '');
}

test('docs/errors.md lists why a start fails, no more and no less', () => {
  assert.deepEqual(firstColumn('### Why a start fails'), [...START_FAILURE_CODES]);
});

test('docs/errors.md lists the exit codes, no more and no fewer', () => {
  assert.deepEqual(firstColumn('### Exit codes'), Object.values(EXIT).map(String));
});
