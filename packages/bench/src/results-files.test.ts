import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { LoadResults } from './load.js';
import { formatMarkdown } from './report.js';
import { writeResults } from './results-files.js';

const folder = mkdtempSync(join(tmpdir(), 'results-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const measured = {
  requests: 3,
  errors: 2,
  errorsByStatus: [{ status: 'UNAVAILABLE', count: 2, firstMessage: 'the worker is gone' }],
  durationS: 0.5,
  requestsPerS: 6,
  itemsPerS: 24,
  latencyMs: { avg: 2, p50: 1.5, p90: 12.25, p95: 99.99, p99: 123.4, max: 250 },
  partial: false,
};

const results: LoadResults & { name: string } = {
  name: 'quick',
  model: 'ocr',
  endpoint: '127.0.0.1:50051',
  inputs: 'random values, seed 1',
  startedAt: '2026-01-02T03:04:05.000Z',
  finishedAt: '2026-01-02T03:04:06.000Z',
  warmupIterations: 1,
  benchmarkRequests: 5,
  benchmarkDurationS: null,
  repeats: 1,
  partial: false,
  requests: 3,
  errors: 2,
  cells: [
    { batchSize: 4, concurrency: 2, ...measured, repeats: [measured], latenciesMs: [1.5, 1.00049, 250] },
  ],
};

test('both files are written into a folder that is made for them, and nothing else', async () => {
  const target = join(folder, 'deep/er');
  const paths = await writeResults(target, results);
  assert.deepEqual(readdirSync(target).sort(), ['results.json', 'results.md']);
  const read = JSON.parse(readFileSync(paths.json, 'utf8')) as typeof results;
  assert.deepEqual(read.cells[0]?.latenciesMs, [1.5, 1, 250]);
  assert.deepEqual(read.cells[0].errorsByStatus, measured.errorsByStatus);
  assert.equal(readFileSync(paths.markdown, 'utf8'), formatMarkdown(results));
});

test('older results are replaced', async () => {
  const target = join(folder, 'again');
  await writeResults(target, results);
  const { json } = await writeResults(target, { ...results, name: 'second' });
  assert.equal((JSON.parse(readFileSync(json, 'utf8')) as { name: string }).name, 'second');
});

test('a folder that cannot be made is an error that says why', async () => {
  const file = join(folder, 'file');
  writeFileSync(file, '');
  await assert.rejects(writeResults(join(file, 'results'), results), {
    code: 'RESULTS_NOT_WRITTEN',
    message: `the results could not be written to ${join(file, 'results')}: a part of the path is a file, not a folder`,
  });
});

test('a write that fails leaves no temporary file', async () => {
  const target = join(folder, 'blocked');
  await writeResults(target, results);
  // A folder in the place of the file: the rename fails.
  rmSync(join(target, 'results.json'));
  const { mkdirSync } = await import('node:fs');
  mkdirSync(join(target, 'results.json/occupied'), { recursive: true });
  await assert.rejects(writeResults(target, results), { code: 'RESULTS_NOT_WRITTEN' });
  assert.deepEqual(readdirSync(target).sort(), ['results.json', 'results.md']);
});

test('the page shows the numbers in a table and the errors below it', () => {
  assert.equal(
    formatMarkdown(results),
    [
      '# quick',
      '',
      'Model `ocr` at 127.0.0.1:50051; random values, seed 1.',
      'Each row: 1 request to warm up, then 5 requests. Started 2026-01-02T03:04:05.000Z.',
      '',
      '| batch | callers | requests | errors | requests/s | items/s | ms avg |  p50 |  p90 |   p95 | p99 | max |',
      '| ----: | ------: | -------: | -----: | ---------: | ------: | -----: | ---: | ---: | ----: | --: | --: |',
      '|     4 |       2 |        3 |      2 |        6.0 |    24.0 |   2.00 | 1.50 | 12.3 | 100.0 | 123 | 250 |',
      '',
      'Errors:',
      '- batch 4, 2 callers: 2 x UNAVAILABLE, first: the worker is gone',
      '',
    ].join('\n'),
  );
});

test('partial results say so, also when nothing was measured', () => {
  const page = formatMarkdown({ ...results, partial: true, cells: [] });
  assert.match(page, /\*\*Partial: /);
  assert.match(page, /\nNothing was measured\.\n$/);
});
