import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { parseLine } from './line.js';
import { FollowedFile, lastLines } from './read.js';

const folder = mkdtempSync(join(tmpdir(), 'logs-read-'));
after(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
function logFile(text?: string): string {
  const path = join(folder, `${files++}.log`);
  if (text !== undefined) writeFileSync(path, text);
  return path;
}

test('the latest lines of a file, also where it is longer than what is read at a time', () => {
  const lines = Array.from({ length: 20_000 }, (_, index) => `line ${index} with an ä in it`);
  const path = logFile(`${lines.join('\n')}\n`);
  assert.deepEqual(lastLines(path, 3), lines.slice(-3));
  assert.deepEqual(lastLines(path, 15_000), lines.slice(-15_000));
  assert.deepEqual(lastLines(path, 30_000), lines);
  assert.deepEqual(lastLines(path, 0), []);
  assert.deepEqual(lastLines(logFile(), 3), []);
  assert.deepEqual(lastLines(logFile('a\nb\nunfinished'), 5), ['a', 'b']);
});

test('a followed file yields whole lines, each once', (t) => {
  const path = logFile('old\nhal');
  const followed = new FollowedFile(path, 'end');
  t.after(() => followed.close());
  assert.deepEqual(followed.read(), []);
  appendFileSync(path, 'f\nnew\nunfin');
  assert.deepEqual(followed.read(), ['half', 'new']);
  appendFileSync(path, 'ished\n');
  assert.deepEqual(followed.read(), ['unfinished']);
  assert.deepEqual(followed.read(), []);
});

test('a character that is cut by the read comes out whole', (t) => {
  const path = logFile('');
  const followed = new FollowedFile(path, 'end');
  t.after(() => followed.close());
  const bytes = Buffer.from('grün\n');
  appendFileSync(path, bytes.subarray(0, 3));
  assert.deepEqual(followed.read(), []);
  appendFileSync(path, bytes.subarray(3));
  assert.deepEqual(followed.read(), ['grün']);
});

test('a rotation loses nothing and repeats nothing', (t) => {
  const path = logFile('1\n');
  const followed = new FollowedFile(path, 'beginning');
  t.after(() => followed.close());
  assert.deepEqual(followed.read(), ['1']);
  appendFileSync(path, '2\n');
  renameSync(path, `${path}.1`);
  assert.deepEqual(followed.read(), ['2'], 'the old file is read while there is no new one');
  appendFileSync(`${path}.1`, '3\n');
  writeFileSync(path, '4\n');
  assert.deepEqual(followed.read(), ['3', '4']);
});

test('a file that was cut short is read from its beginning, one that is not there yet when it comes', (t) => {
  const path = logFile('1\n2\n');
  const followed = new FollowedFile(path, 'end');
  t.after(() => followed.close());
  truncateSync(path, 0);
  appendFileSync(path, '3\n');
  assert.deepEqual(followed.read(), ['3']);

  const later = logFile();
  const waiting = new FollowedFile(later, 'end');
  t.after(() => waiting.close());
  assert.deepEqual(waiting.read(), []);
  writeFileSync(later, 'x\n');
  assert.deepEqual(waiting.read(), ['x']);
});

test('lines are taken apart by the file they stand in', () => {
  const time = '2026-01-02T03:04:05.678Z';
  assert.deepEqual(parseLine(`${time} hello world`, 'unit'), { time, level: '', text: 'hello world' });
  assert.deepEqual(parseLine('no time', 'unit'), { time: '', level: '', text: 'no time' });
  const entry = JSON.stringify({
    level: 'warn',
    message: 'unit ended',
    timestamp: time,
    unit: 'a/0',
    code: 1,
  });
  assert.deepEqual(parseLine(entry, 'daemon'), { time, level: 'warn', text: 'unit ended unit="a/0" code=1' });
  assert.deepEqual(parseLine('{"cut', 'daemon'), { time: '', level: '', text: '{"cut' });
});
