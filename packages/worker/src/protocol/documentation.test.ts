import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  DATATYPES,
  datatypeBytes,
  exitCodeOf,
  PROTOCOL_ERROR_CODES,
  WORKER_ERROR_CODES,
  WORKER_EXIT,
} from './index.js';

const file = (path: string) => fileURLToPath(new URL(`../../../../${path}`, import.meta.url));
const page = readFileSync(file('docs/protocol.md'), 'utf8');
const rows = page
  .split('\n')
  .filter((line) => line.startsWith('|'))
  .map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );

test('the page lists every error code with its exit code, and no other', () => {
  const listed = rows.filter(([code, , exit]) => /^`[A-Z_]+`$/.test(code ?? '') && /^\d+$/.test(exit ?? ''));
  assert.deepEqual(
    listed.map(([code, , exit]) => [code, exit]),
    WORKER_ERROR_CODES.map((code) => [`\`${code}\``, String(exitCodeOf(code))]),
  );
});

test('the page lists every way for a stream to be broken', () => {
  const listed = rows
    .filter((row) => row.length === 2 && /^`[A-Z_]+`$/.test(row[0] ?? ''))
    .map(([code]) => code);
  assert.deepEqual(listed.sort(), PROTOCOL_ERROR_CODES.map((code) => `\`${code}\``).sort());
});

test('the page lists every exit code', () => {
  const listed = rows.filter(
    ([code, name]) =>
      /^\d+$/.test(code ?? '') && /^[A-Z_]+$/.test(name ?? '') && !DATATYPES.includes(name as never),
  );
  assert.deepEqual(Object.fromEntries(listed.map(([code, name]) => [name, Number(code)])), {
    ...WORKER_EXIT,
  });
});

test('the page lists every datatype with its code and size', () => {
  const cells = rows.flatMap((row) => (row.length === 7 ? [row.slice(0, 3), row.slice(4)] : []));
  for (const [index, name] of DATATYPES.entries()) {
    const [code, , size] = cells.find((cell) => cell[1] === name) ?? [];
    assert.equal(code, String(index + 1), name);
    if (name !== 'BYTES') assert.equal(size, String(datatypeBytes(name)), name);
  }
});

test('the bytes on the page are golden frames', () => {
  const examples = [...page.matchAll(/```hex\n([^`]*)```/g)].map(([, block = '']) =>
    block
      .split('\n')
      .map((line) => /^([0-9a-f]{2}( |$))*/.exec(line)?.[0].replaceAll(' ', '') ?? '')
      .join(''),
  );
  const golden = ['host-infer', 'host-ping', 'host-shutdown'].map((name) =>
    readFileSync(file(`packages/worker/golden/${name}.bin`)).toString('hex'),
  );
  assert.deepEqual(examples, golden);
});
