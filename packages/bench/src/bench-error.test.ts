import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { BENCH_ERROR_CODES } from './bench-error.js';

test('the page on experiments explains every code, and no other', () => {
  const page = readFileSync(new URL('../../../docs/experiments.md', import.meta.url), 'utf8');
  const explained = [...page.matchAll(/^\| `([A-Z_]+)`/gm)].map(([, code]) => code);
  assert.deepEqual(explained.sort(), [...BENCH_ERROR_CODES]);
});
